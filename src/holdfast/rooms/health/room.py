"""Wiring of the health room."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Check, Room
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import Meter
from holdfast.rooms.health.engine import HealthEngine
from holdfast.rooms.health.http import HealthHttp, routes
from holdfast.rooms.health.rules import State


class Config(msgspec.Struct, frozen=True):
    """Settings of the health room, `[health]` in the file."""

    interval_s: Annotated[
        float,
        Meta(gt=0, description="Seconds between two runs of one check at least; a check may ask for more."),
    ] = 5.0
    timeout_s: Annotated[
        float,
        Meta(gt=0, description="Seconds that one run may take at most; a check may ask for less."),
    ] = 2.0
    jitter: Annotated[
        float,
        Meta(
            ge=0,
            le=0.5,
            description="Share of the interval by which runs are spread, so that they drift apart.",
        ),
    ] = 0.1
    stale_after: Annotated[
        float,
        Meta(ge=1, description="Intervals after which an answer is too old to count as ok."),
    ] = 3.0
    retry_after_s: Annotated[
        float,
        Meta(
            ge=1, description="Seconds that a caller of /health/ready is told to wait when it is not ready."
        ),
    ] = 5.0


class HealthRoom(Room):
    """Answers whether the process lives, may get traffic, and how every part of it is.

    `checks` is asked once at the start for the checks of all rooms; `about` at every
    `GET /health/detailed` for version and rooms.
    """

    name: ClassVar[str] = "health"

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        meter: Meter,
        supervisor: Supervisor,
        checks: Callable[[], Sequence[Check]],
        about: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.engine = HealthEngine(
            clock=clock,
            meter=meter,
            supervisor=supervisor,
            checks=checks,
            interval_s=config.interval_s,
            timeout_s=config.timeout_s,
            jitter=config.jitter,
            stale_after=config.stale_after,
        )
        self._http = HealthHttp(self.engine, about, retry_after_s=config.retry_after_s)

    async def start(self) -> None:
        self.engine.start()

    async def stop(self) -> None:
        await self.engine.stop()

    def set_stopping(self) -> None:
        """Turn readiness off before the listeners close."""
        self.engine.set_stopping()

    def states(self) -> Sequence[State]:
        """Every check's last result."""
        return self.engine.states()

    def routes(self) -> Sequence[Route]:
        return routes(self._http)
