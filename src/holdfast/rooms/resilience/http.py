"""The addresses that show every dependency and close a breaker by hand."""

from collections.abc import Sequence

import msgspec

from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.resilience.engine.guards import Guards
from holdfast.rooms.resilience.rules.report import Report

NO_STORE = (("cache-control", "no-store"),)


class Dependencies(msgspec.Struct, frozen=True):
    """Every dependency as this process sees it."""

    dependencies: dict[str, Report]


class Reset(msgspec.Struct, frozen=True):
    """One dependency after its reset."""

    dependency: str
    now: Report


class ResilienceHttp:
    """Reads and resets the guards."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards

    async def show(self, call: Call) -> Answer:
        """All of them, by name."""
        reports = {name: self._guards.report(name) for name in sorted(self._guards.watched)}
        return Answer(Dependencies(reports), headers=NO_STORE)

    async def reset(self, call: Call) -> Answer:
        """Close the breaker; 404 with the known names for one that is not there."""
        name = call.params["dependency"]
        return Answer(Reset(name, await self._guards.reset(name)), headers=NO_STORE)


def routes(http: ResilienceHttp) -> Sequence[Route]:
    """Both ask for the admin token outside development."""
    return (
        Route(
            "GET",
            "/admin/resilience",
            http.show,
            "Every dependency: breaker, bulkhead, budget, last error.",
            answer=Dependencies,
            public=False,
        ),
        Route(
            "POST",
            "/admin/resilience/{dependency}/reset",
            http.reset,
            "Close a dependency's breaker by hand.",
            answer=Reset,
            public=False,
        ),
    )
