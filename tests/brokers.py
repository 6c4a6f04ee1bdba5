"""A real RabbitMQ for the tests, as an ordinary process with a node, ports and folders of its own.

It comes from the machine: there is no wheel of it, nor of another broker that speaks AMQP 0-9-1. Where
none is installed the tests of RabbitMQ are not collected, the report's header says so, and the rest is
tested on Redis; HOLDFAST_TEST_RABBITMQ=required makes a missing one an error.
"""

import ctypes
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from tests.free_ports import free_port

START_S = 120.0
ADVICE = (
    "install RabbitMQ (apt install rabbitmq-server, brew install rabbitmq), or set "
    "HOLDFAST_TEST_RABBITMQ_URL to a server whose queues may be emptied"
)
_PLACES = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/rabbitmq/sbin",
)


def given_url() -> str:
    """A server that somebody runs for the tests."""
    return os.environ.get("HOLDFAST_TEST_RABBITMQ_URL", "")


def is_required() -> bool:
    return os.environ.get("HOLDFAST_TEST_RABBITMQ", "") == "required"


def machine_binary() -> Path | None:
    """The newest `rabbitmq-server`; first where packages put it, for Debian's on PATH changes the user."""
    for pattern in _PLACES:
        for place in sorted(glob.glob(pattern), reverse=True):
            if (binary := Path(place) / "rabbitmq-server").is_file():
                return binary
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


def brokers() -> list[str]:
    """The brokers that tests run over on this machine."""
    there = bool(given_url() or machine_binary() or is_required())
    return ["redis", "rabbitmq"] if there else ["redis"]


class RabbitServer:
    """One server of our own on a free port of 127.0.0.1; `url` is good as soon as `start` returns."""

    def __init__(self) -> None:
        found = machine_binary()
        if found is None:
            raise RuntimeError(f"no RabbitMQ for the tests: {ADVICE}")
        self.binary = found
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-rabbit-"))
        self.port, self._dist_port, self._names_port = (free_port() for _ in range(3))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start, or start again on the same port and data; returns when it takes connections."""
        (self.folder / "plugins").write_text("[].\n")
        log = self.folder / "log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [str(self.binary)],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        turn = threading.Event()
        for _ in range(int(START_S / 0.05)):
            said = log.read_text(errors="replace")
            if "Server startup complete" in said:
                return
            if self._process.poll() is not None:
                break
            turn.wait(0.05)
        raise RuntimeError(f"RabbitMQ does not start: {log.read_text(errors='replace')[-3000:]}\n{ADVICE}")

    def kill(self) -> None:
        """SIGKILL, as the out-of-memory killer would."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(START_S)

    def forget(self) -> None:
        """While it is dead: everything it knew is gone."""
        shutil.rmtree(self.folder / "mnesia", ignore_errors=True)

    def stop(self) -> None:
        """Kill it, and the name server that Erlang has started beside it; idempotent."""
        if self._process is not None:
            self.kill()
            environment = self._environment()
            names = shutil.which("epmd")
            if names is not None:
                subprocess.run([names, "-kill"], env=environment, capture_output=True, timeout=START_S)
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Makes the script become the server instead of waiting beside it.
            "NOTIFY_SOCKET": str(self.folder / "nobody"),
            "RABBITMQ_NODENAME": f"holdfast{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
        }


def die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no server outlives killed tests
