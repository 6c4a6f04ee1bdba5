"""Flags that a test has decided: the port, in the least room."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.kernel.context import current_event
from holdfast.ports.flags import CONTROL


class GivenFlags:
    """Units get the variant that `arms` names, by unit or, where none is named, by the request's user.

    A use is put down in `used` and, as the port's own implementation does it, on the request's record.
    """

    def __init__(self, **arms: str) -> None:
        self.arms: dict[str, str] = arms
        self.values: dict[str, Any] = {}
        self.used: list[tuple[str, str, str]] = []
        self.offered: dict[str, tuple[str, ...]] = {}

    def variant(
        self,
        name: str,
        unit: str = "",
        *,
        attributes: Mapping[str, Any] | None = None,
        otherwise: str = CONTROL,
    ) -> str:
        event = current_event()
        unit = unit or (event.user_id if event is not None else "")
        if not unit:
            return otherwise
        found = self.arms.get(unit, otherwise)
        self.used.append((name, unit, found))
        if event is not None:
            event.note(exposed=f"{name}={found} 1 {unit}")
        return found

    def value(
        self, name: str, otherwise: Any, unit: str = "", *, attributes: Mapping[str, Any] | None = None
    ) -> Any:
        return self.values.get(self.variant(name, unit), otherwise)

    def offer(self, name: str, variants: Sequence[str], meaning: str) -> None:
        assert meaning
        self.offered[name] = tuple(variants)
