"""Servers as child processes: pinned to the first core, the load to another, so that neither steals."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def serve(app: Any, port: int) -> None:
    """uvicorn as every variant gets it: uvloop and httptools, one process, no access log."""
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def serve_ours(app: Any, port: int) -> None:
    """The server of `holdfast serve`: the same uvicorn with our options and our one-write protocol."""
    import uvicorn

    from holdfast.ground import ServerConfig
    from holdfast.serve import OrderlyServer, options

    OrderlyServer(uvicorn.Config(app, **options(ServerConfig(port=port)))).run()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: int) -> Any:
    """What a child does first: take its core, where the system lets it and there are two."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return None
    return lambda: os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})


class Server:
    """One child that serves on a port, with what it has cost so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port

    def cpu_s(self) -> float:
        """CPU seconds of the process so far; 0 where /proc does not tell."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def child(
    module: str, *arguments: str, port: int, path: str = "/", env: dict[str, str] | None = None
) -> Iterator[Server]:
    """Run `python -m module arguments` pinned to the first core until it answers on `port`."""
    with program([sys.executable, "-m", module, *arguments], port=port, env=env) as server:
        yield server


@contextlib.contextmanager
def program(
    command: list[str],
    *,
    port: int,
    core: int = 0,
    place: Path = ROOT,
    env: dict[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[Server]:
    """Run any command in `place`, pinned to a core, until it answers on `port`; it prints into `log`."""
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("ab")) if log is not None else None
        process = subprocess.Popen(
            command,
            cwd=place,
            env={**os.environ, **(env or {})},
            preexec_fn=pinned(core),
            stdout=out,
            stderr=out,
        )
        try:
            _wait(process, port)
            yield Server(process, port)
        finally:
            process.terminate()
            process.wait(20)


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server left with code {process.returncode} before it answered")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise RuntimeError("the server did not answer within a minute")


def load(port: int, path: str, connections: int, seconds: float) -> dict[str, float]:
    """Load one server from the other core."""
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.apps.load",
            "127.0.0.1",
            str(port),
            path,
            str(connections),
            str(seconds),
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
        preexec_fn=pinned(1),
    )
    return dict(json.loads(found.stdout))


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        yield Path(name)
