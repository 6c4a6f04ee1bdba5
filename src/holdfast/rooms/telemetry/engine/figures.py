"""The event log's own figures: for metrics, and for the health check."""

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Check, Finding
from holdfast.ports.services import Meter
from holdfast.rooms.telemetry.engine.lines import LineSink
from holdfast.rooms.telemetry.engine.upkeep import Upkeep
from holdfast.rooms.telemetry.store.writer import REASONS, SegmentLog

RECENT_S = 60.0
"""How long after the last dropped record the log counts as degraded."""


class LogFigures:
    """Carries what the writer, the handler and the upkeep counted into metrics and findings."""

    def __init__(self, log: SegmentLog, upkeep: Upkeep, lines: LineSink, meter: Meter, clock: Clock) -> None:
        self._log = log
        self._upkeep = upkeep
        self._lines = lines
        self._monotonic = clock.monotonic
        self._seen: dict[str, int] = {}
        self._written = meter.counter(
            "holdfast_telemetry_records_written_total", "Records handed to the kernel."
        ).labels()
        dropped = meter.counter(
            "holdfast_telemetry_records_dropped_total",
            "Records that are not in the event log, by reason.",
            ("reason",),
        )
        self._dropped = {reason: dropped.labels(reason) for reason in REASONS}
        deleted = meter.counter(
            "holdfast_telemetry_files_deleted_total",
            "Files of the event log that retention deleted, by reason.",
            ("reason",),
        )
        self._deleted = {reason: deleted.labels(reason) for reason in ("age", "size", "free_disk")}
        self._rejected = meter.counter(
            "holdfast_telemetry_lines_rejected_total", "Damaged lines set aside when a segment was archived."
        ).labels()
        meter.watch(
            "holdfast_telemetry_waiting_records",
            "Records not yet handed to the kernel.",
            lambda: log.waiting,
        )
        meter.watch(
            "holdfast_telemetry_log_bytes",
            "Size of the event log's finished files, as of the last upkeep.",
            lambda: upkeep.total_bytes,
        )

    def publish(self) -> None:
        """Bring the counters up to now; called about once a second."""
        self._lines.debug_stopped = self._upkeep.shed_debug
        stopped, self._lines.debug_lines_stopped = self._lines.debug_lines_stopped, 0
        if stopped:
            self._log.count_dropped("debug", stopped)
        self._written.add(self._growth("written", self._log.written))
        self._rejected.add(self._growth("rejected", self._upkeep.done.rejected_lines))
        for reason, series in self._dropped.items():
            series.add(self._growth("dropped " + reason, self._log.dropped.get(reason, 0)))
        for reason, series in self._deleted.items():
            series.add(self._growth("deleted " + reason, self._upkeep.done.deleted.get(reason, 0)))

    def _growth(self, name: str, now: int) -> int:
        """What was added since the last look; a forked child counts from zero again."""
        before, self._seen[name] = self._seen.get(name, 0), now
        return now - before if now >= before else now

    def check(self) -> Check:
        return Check("event_log", self._probe)

    async def _probe(self) -> Finding:
        log = self._log
        dropped = {reason: count for reason, count in log.dropped.items() if count}
        facts = {"written": log.written, "waiting": log.waiting, "dropped": dropped}
        lost_s = None if log.dropped_at_s is None else self._monotonic() - log.dropped_at_s
        said = []
        if log.failure:
            said.append(f"the disk refuses: {log.failure}; {log.waiting} records wait in memory")
        if lost_s is not None and lost_s < RECENT_S:
            said.append(f"records were dropped in the last minute: {dropped}")
        if self._upkeep.shed_debug:
            said.append("little space is left on the disk: debug lines are stopped")
        return Finding("degraded" if said else "ok", "; ".join(said), facts)
