"""Telemetry: one event log of everything that happened, and metrics of how it went.

Promise: what `append` took is with the kernel within 200 ms, on disk as JSON lines that any shipper
reads, later as Parquet; when the disk cannot keep up, the app goes on and every lost record is counted.
Public: `TelemetryRoom`, `Config`, `track`, `RecordProcessor` (structlog).
"""

from holdfast.rooms.telemetry.engine.structlog import RecordProcessor
from holdfast.rooms.telemetry.engine.track import track
from holdfast.rooms.telemetry.room import Config, TelemetryRoom

__all__ = ["Config", "RecordProcessor", "TelemetryRoom", "track"]
