"""What this process costs and how late its event loop is: `holdfast_process_*`."""

import asyncio
import gc
import os
import resource
import sys
import threading
from pathlib import Path

from holdfast.kernel.clock import Clock
from holdfast.ports.services import Meter

BEAT_S = 0.5
_STATM = Path("/proc/self/statm")
_FDS = Path("/proc/self/fd")
_PAGE_BYTES = resource.getpagesize()


class ProcessMetrics:
    """Registers the gauges at once; `start` begins a heartbeat that measures the loop."""

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._cpu = meter.counter(
            "holdfast_process_cpu_seconds_total", "Processor time, user and system."
        ).labels()
        self._lag = meter.histogram(
            "holdfast_process_loop_lag_seconds", "How late the event loop ran a timer."
        ).labels()
        collections = meter.counter(
            "holdfast_process_gc_collections_total", "Runs of the garbage collector.", ("generation",)
        )
        self._collections = [collections.labels(str(generation)) for generation in range(3)]
        self._cpu_seen_s = 0.0
        self._runs_seen = [0, 0, 0]
        self._timer: asyncio.TimerHandle | None = None
        started_s = clock.wall()
        meter.watch("holdfast_process_resident_memory_bytes", "Resident memory.", resident_bytes)
        meter.watch("holdfast_process_open_fds", "Open file descriptors.", open_fds)
        meter.watch("holdfast_process_threads", "Python threads.", threading.active_count)
        meter.watch(
            "holdfast_process_start_time_seconds",
            "When the process was set up, seconds since the epoch.",
            lambda: started_s,
        )

    def start(self) -> None:
        """Begin the heartbeat on the running loop."""
        if self._timer is None:
            self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = self._monotonic() + BEAT_S
        self._timer = loop.call_later(BEAT_S, self._beat, loop, due_s)

    def _beat(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        self._lag.observe(max(0.0, self._monotonic() - due_s))
        self.publish()
        self._arm(loop)

    def publish(self) -> None:
        """Bring the counters up to now."""
        times = os.times()
        cpu_s = times.user + times.system
        self._cpu.add(max(0.0, cpu_s - self._cpu_seen_s))
        self._cpu_seen_s = cpu_s
        for generation, stats in enumerate(gc.get_stats()[:3]):
            runs = stats["collections"]
            self._collections[generation].add(max(0, runs - self._runs_seen[generation]))
            self._runs_seen[generation] = runs


def resident_bytes() -> float:
    """Resident memory; where /proc is missing, the most there ever was."""
    try:
        return int(_STATM.read_text("ascii").split()[1]) * _PAGE_BYTES
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def open_fds() -> float:
    """Open file descriptors; NaN where the system does not tell."""
    try:
        return len(list(_FDS.iterdir())) - 1  # listing opens one itself
    except OSError:
        return float("nan")
