"""The processes of one run: started as groups of their own, killed as groups, and none outlives its run."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.apps.jobs_trace import Told

ROOT = Path(__file__).resolve().parents[2]
LEAVE_S = 20.0


def die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no worker outlives a killed benchmark


class Member:
    """One process with whatever it starts."""

    def __init__(self, process: "subprocess.Popen[bytes]", role: str) -> None:
        self.process = process
        self.role = role

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def pids(self) -> set[int]:
        """Its own and those of its children now, where /proc tells."""
        group = {self.pid}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError):
                if int(stat.read_text().rsplit(")", 1)[1].split()[2]) == self.pid:
                    group.add(int(stat.parent.name))
        return group

    def kill(self) -> None:
        """kill -9 of the whole group, as when the machine's memory is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(LEAVE_S)

    def leave(self) -> None:
        """SIGTERM and a time to leave, then `kill`."""
        if self.is_alive():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(LEAVE_S)
        self.kill()

    def ask(self, **question: Any) -> dict[str, Any]:
        """One line of JSON for one line of JSON; RuntimeError when it has died."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """Its next line; RuntimeError when it has died."""
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.role} left with {self.process.wait(LEAVE_S)}")
        return dict(json.loads(answer))


class Crew:
    """All processes of one run. Leaving it kills them and looks whether any is left."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.members: list[Member] = []
        self.log = told.folder / "log"

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.kill()
        self.members.clear()
        if left := living(self.told.run):
            raise RuntimeError(f"processes of the run {self.told.run} outlived it: {left}")

    def start(
        self, role: str, *command: str, is_asked: bool = False, env: dict[str, str] | None = None
    ) -> Member:
        """`python *command`; what it prints goes to the run's log, or is answers when it `is_asked`."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, **self.told.environment(), **(env or {})},
                stdin=subprocess.PIPE if is_asked else subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_asked else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        member = Member(process, role)
        self.members.append(member)
        return member

    def dismiss(self, member: Member) -> None:
        member.leave()
        self.members.remove(member)

    def said(self) -> str:
        """The end of what its processes printed."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


def living(run: str) -> list[int]:
    """Processes that were told of this run, where /proc tells; a zombie does no harm."""
    mark, found = f"JOBS_RUN={run}".encode(), []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (place / "environ").read_bytes() and int(place.name) != os.getpid():
                found.append(int(place.name))
    return found


def until(holds: Callable[[], Any], what: str, patience_s: float, every_s: float = 0.02) -> None:
    """Wait until `holds`; RuntimeError after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {patience_s:g} s: {what}")
        time.sleep(every_s)
