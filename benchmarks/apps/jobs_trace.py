"""The file that jobs append to, and what their processes are told: nobody's ledger is asked what happened.

A line is one write to a file opened with O_APPEND, so it is there when its process is killed right after it,
and it stands whole beside those of other processes. Stamps are the machine's monotonic nanoseconds, one clock
for all processes. Every line carries the id of its run: a line of another run is a leftover, and an error.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

STARTED, FINISHED, ACKNOWLEDGED = "started", "finished", "acknowledged"
LONG_EVERY = 60
"""One job in so many of the kill test takes ten times the lease."""


class Line(NamedTuple):
    """One thing that happened to one job."""

    kind: str
    job: int
    token: str
    """The fencing token where an engine has one, else the name of this execution."""
    pid: int
    at_ns: int


class Told(NamedTuple):
    """What a process of a run is told by whoever starts it."""

    run: str
    url: str
    folder: Path
    setting: str
    """Which way of the engine: its own words, `threads` or `prefork`."""

    @property
    def trace(self) -> Path:
        return self.folder / "trace"

    def environment(self) -> dict[str, str]:
        return {
            "JOBS_RUN": self.run,
            "JOBS_URL": self.url,
            "JOBS_FOLDER": str(self.folder),
            "JOBS_SETTING": self.setting,
        }


def told() -> Told:
    """What this process was told."""
    names = ("JOBS_RUN", "JOBS_URL", "JOBS_FOLDER", "JOBS_SETTING")
    run, url, folder, setting = (os.environ[name] for name in names)
    return Told(run, url, Path(folder), setting)


class Trace:
    """The writing end; one descriptor a process, opened when first used, so after any fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._pid = 0

    def write(self, kind: str, run: str, job: int, token: str = "-") -> None:
        if self._pid != (pid := os.getpid()):
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self._pid = pid
        line = f"{kind} {run} {job} {token} {pid} {time.monotonic_ns()}\n"
        os.write(self._descriptor, line.encode())


class Reader:
    """The reading end: what has been appended since it was last asked."""

    def __init__(self, path: Path, run: str) -> None:
        self._path = path
        self._run = run
        self._read = 0

    def news(self) -> Iterator[Line]:
        """Whole lines only; RuntimeError for a line of another run."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._read += whole
        for line in data[:whole].decode().splitlines():
            kind, run, job, token, pid, at_ns = line.split()
            if run != self._run:
                raise RuntimeError(f"a job of another run, {run}, ran in {self._run}: the figures would mix")
            yield Line(kind, int(job), token, int(pid), int(at_ns))
