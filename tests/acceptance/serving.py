"""Real `holdfast serve` processes and a plain client for them."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

_ADDRESS = re.compile(r"holdfast serves http://([\d.]+):(\d+)")
START_S = 60.0


class Served:
    """One running server, its address, and what it wrote to standard error."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.stderr: list[str] = []
        self._up = threading.Event()
        self.port = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line)
            found = _ADDRESS.search(line)
            if found:
                self.port = int(found[2])
                self._up.set()
        self._up.set()

    def wait(self) -> None:
        if not self._up.wait(START_S) or not self.port:
            raise AssertionError(f"the server did not come up:\n{''.join(self.stderr)}")

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> "Reply":
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, raw, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def get(self, path: str, **headers: str) -> "Reply":
        return self.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def wait_ready(self) -> None:
        """Until readiness says 200: the first answers of the checks come a moment after the start."""
        wait_until(lambda: self.get("/health/ready").status == 200, lambda: self.get("/health/ready").body)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


class Reply:
    """One answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The process's environment without anybody's own settings, and these.

    The tests ask more often than the default limits let one address: they are off unless asked for.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {
        **kept,
        "HOLDFAST_DATA_DIR": str(folder / "data"),
        "HOLDFAST_LIMITS_ENABLED": "false",
        "PYTHONPATH": str(folder),
        **settings,
    }


def run_cli(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """`holdfast ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast.cli", *arguments],
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=300,
    )


@contextlib.contextmanager
def serving(
    folder: Path, *arguments: str, program: Sequence[str] = ("-m", "holdfast.cli"), **settings: str
) -> Iterator[Served]:
    """`holdfast serve --port 0 ...` in `folder`, up and answering."""
    process = subprocess.Popen(
        [sys.executable, *program, "serve", "--port", "0", *arguments],
        cwd=folder,
        env=environment(folder, **settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    served = Served(process, folder)
    try:
        served.wait()
        yield served
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def records(folder: Path) -> list[dict[str, Any]]:
    """Every record on disk that is still in JSON lines, as dictionaries.

    The end of a file may be half a line: of a writer that is writing, or was killed over it. One that was
    sealed between two looks lies elsewhere: then all are looked at again.
    """
    while True:
        files = sorted((folder / "data" / "events").glob("*/*.jsonl"))
        try:
            whole = [file.read_bytes().rpartition(b"\n")[0] for file in files]
        except FileNotFoundError:
            continue
        return [json.loads(line) for lines in whole for line in lines.splitlines() if line]
