"""Who hands out guards for calls that leave the process, so that every one is watched, probed and shown."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from holdfast.kernel.guard import Guard

Probe = Callable[[], Awaitable[Any]]
"""Finds out in the background whether a dependency is back; raises when it is not."""


class Guards(Protocol):
    """The registry of dependencies. Implemented by the resilience room."""

    probes: bool
    """Whether probes that it is given are asked in the background."""

    def guard(
        self,
        name: str,
        *,
        probe: Probe | None = None,
        verdict: Callable[[BaseException], int] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Guard:
        """The guard of `name`, one and the same at every call.

        `options` are arguments of Guard for a dependency that no setting declares; where one does, the
        setting holds. `verdict` says what an error means.
        """
        ...


class PlainGuards:
    """Guards that nobody watches: without the resilience room each is what its code says."""

    probes = False

    def __init__(self, **shared: Any) -> None:
        self._shared = shared
        self._made: dict[str, Guard] = {}

    def guard(
        self,
        name: str,
        *,
        probe: Probe | None = None,
        verdict: Callable[[BaseException], int] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Guard:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = Guard(name, **{**self._shared, **(options or {})})
        if verdict is not None:
            found.verdict = verdict
        return found
