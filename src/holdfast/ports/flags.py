"""What rooms and apps ask of flags and experiments, and the null object that changes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

CONTROL = "control"
"""What everybody gets where nothing else is decided."""


class Flags(Protocol):
    """Which variant a unit gets. Implemented by the experiments room.

    A unit is whom a variant sticks to: the current request's user unless one is named. Nothing here waits
    or raises: whatever goes wrong is counted, and the answer is what nobody's absence would break.
    """

    def variant(
        self,
        name: str,
        unit: str = "",
        *,
        attributes: Mapping[str, Any] | None = None,
        otherwise: str = CONTROL,
    ) -> str:
        """The variant of `unit`, which uses it now: its exposure. `otherwise` where there is none."""
        ...

    def value(
        self, name: str, otherwise: Any, unit: str = "", *, attributes: Mapping[str, Any] | None = None
    ) -> Any:
        """The value of that variant, of the type that `otherwise` has; an exposure as well."""
        ...

    def offer(self, name: str, variants: Sequence[str], meaning: str) -> None:
        """Say at composition what the code can serve under `name`: a release of anything else is refused."""
        ...


class NoFlags:
    """A Flags that knows none: everybody gets what the code does by itself."""

    def variant(
        self,
        name: str,
        unit: str = "",
        *,
        attributes: Mapping[str, Any] | None = None,
        otherwise: str = CONTROL,
    ) -> str:
        return otherwise

    def value(
        self, name: str, otherwise: Any, unit: str = "", *, attributes: Mapping[str, Any] | None = None
    ) -> Any:
        return otherwise

    def offer(self, name: str, variants: Sequence[str], meaning: str) -> None:
        pass
