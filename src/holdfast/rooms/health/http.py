"""The health addresses. Each answers from memory, however the dependencies are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.health.engine import HealthEngine
from holdfast.rooms.health.rules import OK, Readiness, State, masked, overall, readiness, worst

NO_STORE = (("cache-control", "no-store"),)


class Liveness(msgspec.Struct, frozen=True):
    """The process answers; nothing more is asked."""

    status: str
    uptime_s: float


class Dependency(msgspec.Struct, frozen=True):
    """One check without its facts."""

    status: str
    required: bool
    detail: str
    age_s: float | None


class Dependencies(msgspec.Struct, frozen=True):
    """Everything the service leans on, by name."""

    status: str
    dependencies: dict[str, Dependency]


class Engines(msgspec.Struct, frozen=True):
    """The v2 engines, by name."""

    status: str
    engines: dict[str, State]


class Detailed(msgspec.Struct, frozen=True):
    """All that is known, for people."""

    status: str
    ready: bool
    reasons: list[str]
    uptime_s: float
    about: dict[str, Any]
    checks: dict[str, State]


class HealthHttp:
    """Renders the engine's states; every answer forbids storing it."""

    def __init__(
        self, engine: HealthEngine, about: Callable[[], Mapping[str, Any]], *, retry_after_s: float
    ) -> None:
        self._engine = engine
        self._about = about
        self._retry_after = (("retry-after", str(max(1, round(retry_after_s)))),)

    async def live(self, call: Call) -> Answer:
        """200 as long as the process can answer; touches no dependency and no check."""
        return _answer(Liveness(OK, round(self._engine.uptime_s, 3)))

    async def ready(self, call: Call) -> Answer:
        """200 when traffic may come, 503 with Retry-After and the reasons when not."""
        verdict = readiness(self._engine.states(), stopping=self._engine.stopping)
        if verdict.ready:
            return _answer(verdict)
        return Answer(verdict, status=503, headers=NO_STORE + self._retry_after)

    async def detailed(self, call: Call) -> Answer:
        """Every check with its facts, uptime, version, rooms; 200 whatever it says, for it is a report."""
        states, stopping = self._engine.states(), self._engine.stopping
        verdict = readiness(states, stopping=stopping)
        return _answer(
            Detailed(
                overall(states, stopping=stopping),
                verdict.ready,
                verdict.reasons,
                round(self._engine.uptime_s, 3),
                masked(self._about()),
                {state.name: state for state in states},
            )
        )

    async def dependencies(self, call: Call) -> Answer:
        """What the service leans on, without facts; 200 whatever it says."""
        states = [state for state in self._engine.states() if not state.engine]
        named = {
            state.name: Dependency(state.status, state.required, state.detail, state.age_s)
            for state in states
        }
        return _answer(Dependencies(overall(states, stopping=self._engine.stopping), named))

    async def engines(self, call: Call) -> Answer:
        """The state of the v2 engines; 200 whatever it says."""
        states = [state for state in self._engine.states() if state.engine]
        return _answer(Engines(worst(states), {state.name: state for state in states}))


def routes(http: HealthHttp) -> Sequence[Route]:
    """The room's addresses; `/health/detailed` alone asks for the admin token outside development."""
    return (
        Route("GET", "/health", http.live, "Whether the process is alive.", answer=Liveness),
        Route("GET", "/health/ready", http.ready, "Whether traffic may come.", answer=Readiness),
        Route(
            "GET",
            "/health/detailed",
            http.detailed,
            "Everything that is known.",
            answer=Detailed,
            public=False,
        ),
        Route("GET", "/health/dependencies", http.dependencies, "What it leans on.", answer=Dependencies),
        Route("GET", "/api/v2/health", http.engines, "State of the v2 engines.", answer=Engines),
    )


def _answer(content: msgspec.Struct) -> Answer:
    return Answer(content, headers=NO_STORE)
