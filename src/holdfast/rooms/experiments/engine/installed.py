"""The flags of the room that was started last in this process, for code that is handed nothing."""

from collections.abc import Mapping
from typing import Any

from holdfast.kernel.clock import SystemClock
from holdfast.ports.flags import CONTROL, Flags, NoFlags
from holdfast.ports.services import NoEventLog
from holdfast.rooms.experiments.engine.tracking import Tracking

Installed = tuple[Flags, Tracking]
_none: Installed = (NoFlags(), Tracking(NoEventLog(), SystemClock()))
_installed = _none


def variant(
    name: str, user: str = "", *, attributes: Mapping[str, Any] | None = None, otherwise: str = CONTROL
) -> str:
    """The variant of `user`, else of the current request's user, who uses it now: `variant("new-ranker")`.

    Asks the room that was started last in this process; before any has, the answer is `otherwise`.
    """
    return _installed[0].variant(name, user, attributes=attributes, otherwise=otherwise)


def value(name: str, otherwise: Any, user: str = "", *, attributes: Mapping[str, Any] | None = None) -> Any:
    """The value of that variant, of the type that `otherwise` has: `value("page-size", 20)`."""
    return _installed[0].value(name, otherwise, user, attributes=attributes)


def track(action: str, *, user_id: str = "", **facts: Any) -> None:
    """Note that a user did something: `track("bought", value=39_000)`. Counted where an experiment asks.

    Belongs to the current request and its user unless `user_id` says otherwise.
    """
    _installed[1].track(action, user_id, facts)


def install(flags: Flags, tracking: Tracking) -> None:
    """Make these the ones that are asked."""
    global _installed
    _installed = (flags, tracking)


def uninstall(flags: Flags) -> None:
    """Take them away, unless others have taken their place."""
    global _installed
    if _installed[0] is flags:
        _installed = _none
