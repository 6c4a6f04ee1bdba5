"""The telemetry room wired: event log, upkeep, log calls, product events, metrics, process figures."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.kernel.clock import Clock
from holdfast.kernel.event import Record
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Room
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import EventLog, NoEventLog
from holdfast.rooms.telemetry import http
from holdfast.rooms.telemetry.engine.bridge import Bridge
from holdfast.rooms.telemetry.engine.exposition import Exposition
from holdfast.rooms.telemetry.engine.figures import LogFigures
from holdfast.rooms.telemetry.engine.logging import Installation
from holdfast.rooms.telemetry.engine.nudge import Nudger
from holdfast.rooms.telemetry.engine.process import ProcessMetrics
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.slots import PUBLISH_S, Slots
from holdfast.rooms.telemetry.engine.track import Tracker, install, uninstall
from holdfast.rooms.telemetry.engine.upkeep import Upkeep
from holdfast.rooms.telemetry.rules.redaction import redaction
from holdfast.rooms.telemetry.rules.retention import Keep
from holdfast.rooms.telemetry.store.reader import read_events
from holdfast.rooms.telemetry.store.writer import SegmentLog

MIB = 1024 * 1024
Level = Literal["debug", "info", "warning", "error", "critical"]


class Config(msgspec.Struct, frozen=True):
    """Settings of the section `telemetry`."""

    events: Annotated[bool, Meta(description="write the event log to disk")] = True
    segment_mib: Annotated[int, Meta(ge=1, le=1024, description="size at which a segment is sealed, MiB")] = (
        16
    )
    segment_age_s: Annotated[float, Meta(ge=1, description="age at which a segment is sealed, seconds")] = (
        300.0
    )
    backlog_mib: Annotated[int, Meta(ge=1, description="memory for records that the disk refuses, MiB")] = 16
    retention_days: Annotated[int, Meta(ge=1, description="days of history to keep")] = 30
    max_total_mib: Annotated[int, Meta(ge=16, description="size of the whole event log, MiB")] = 10_240
    free_disk_floor_mib: Annotated[int, Meta(ge=0, description="free space to leave on the disk, MiB")] = 512
    upkeep_interval_s: Annotated[float, Meta(ge=1, description="seconds between two rounds of upkeep")] = 30.0
    log_level: Annotated[Level, Meta(description="the least level of log calls to take")] = "info"
    echo: Annotated[
        bool, Meta(description="show warnings on standard error too, unless logging is set up already")
    ] = True
    redact_keys: Annotated[tuple[str, ...], Meta(description="more keys whose facts are masked")] = ()
    reveal_keys: Annotated[tuple[str, ...], Meta(description="keys whose facts are never masked")] = ()
    metrics_public: Annotated[bool, Meta(description="serve /metrics without the admin token")] = True


class TelemetryRoom(Room):
    """`log` and `meter` work from construction on; `start` adds files' upkeep, log calls and figures."""

    name = "telemetry"

    def __init__(
        self, config: Config, *, data_dir: Path, clock: Clock, ids: IdSource, supervisor: Supervisor
    ) -> None:
        self.config = config
        self.folder = data_dir / "events"
        self.meter = Registry(clock)
        self.segments = SegmentLog(
            self.folder,
            clock=clock,
            ids=ids,
            segment_bytes=config.segment_mib * MIB,
            segment_age_s=config.segment_age_s,
            backlog_bytes=config.backlog_mib * MIB,
            redaction=redaction(config.redact_keys, config.reveal_keys),
        )
        self.log: EventLog = self.segments if config.events else NoEventLog()
        self.bridge = Bridge(clock, lambda: [family.name for family in self.meter.families()])
        self.slots = Slots(data_dir / "metrics", self.meter, clock, bridge=self.bridge)
        self.exposition = Exposition(self.meter, clock, slots=self.slots, bridge=self.bridge)
        self._supervisor = supervisor
        self._calls = Installation(self.log, level=config.log_level, echo=config.echo)
        self._nudger = Nudger(self.segments)
        self._tracker = Tracker(self.log, clock)
        self._process = ProcessMetrics(self.meter, clock)
        keep = Keep(config.retention_days, config.max_total_mib * MIB, config.free_disk_floor_mib * MIB)
        self.upkeep = Upkeep(self.segments, keep, clock)
        self.figures = LogFigures(self.segments, self.upkeep, self._calls.handler.sink, self.meter, clock)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if self._tasks:
            return
        await self.slots.claim()
        self._process.start()
        self._tasks.append(self._supervisor.every("telemetry figures", PUBLISH_S, self._publish))
        if self.config.events:
            self._calls.install()
            self._nudger.start()
            install(self._tracker)
            self._tasks.append(
                self._supervisor.every("telemetry upkeep", self.config.upkeep_interval_s, self.upkeep.turn)
            )

    async def stop(self) -> None:
        """Flush and seal; a record appended later still gets its segment when the process exits."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        uninstall(self._tracker)
        self._calls.uninstall()
        self._nudger.stop()
        self._process.stop()
        await asyncio.to_thread(self.segments.close)
        self.figures.publish()
        await self.slots.close()

    async def _publish(self) -> None:
        self.figures.publish()
        await self.slots.publish()

    def read(
        self, kinds: Collection[str] | None = None, since: float | None = None, until: float | None = None
    ) -> Iterator[Record]:
        """Every record on disk, from every process on this folder; see `store.reader.read_events`."""
        return read_events(self.folder, kinds, since, until)

    async def api_figures(self) -> http.ApiFigures:
        """Requests, errors and quantiles by route, over all workers."""
        return await http.api_figures(self.exposition)

    def records(self) -> dict[str, int]:
        """How many records this process has written and dropped."""
        return {"written": self.segments.written, "dropped": sum(self.segments.dropped.values())}

    def routes(self) -> Sequence[Route]:
        return http.routes(self.exposition, public=self.config.metrics_public)

    def checks(self) -> Sequence[Check]:
        return (self.figures.check(),) if self.config.events else ()
