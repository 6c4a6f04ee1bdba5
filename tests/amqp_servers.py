"""A real RabbitMQ for the tests: found, started, killed and restarted, beside any that the machine runs.

The server comes from the machine, where packages put it. It has a name server (epmd), a cookie, a port and a
folder of its own, so nothing outside a fresh temporary folder is touched and no daemon is left.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

from tests.shared_servers import _die_with_parent, _free_port, wait_until

START_S = 120.0
ADVICE = "install RabbitMQ (apt install rabbitmq-server, brew install rabbitmq)"
_PLACES = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin")
_EPMD = ("/usr/lib/erlang/bin/epmd", "/opt/homebrew/opt/erlang/bin/epmd", "/usr/local/opt/erlang/bin/epmd")


def amqp_binary() -> Path | None:
    """`rabbitmq-server` as it comes; the wrapper on Debian's PATH would run it as a system service's user."""
    places = [Path(place) / "rabbitmq-server" for place in _PLACES]
    if found := shutil.which("rabbitmq-server"):
        places.append(Path(found))
    return next((place for place in places if place.is_file()), None)


class RabbitServer:
    """One server of our own on a free port of 127.0.0.1; `url` is good as soon as `start` returns."""

    def __init__(self) -> None:
        found = amqp_binary()
        if found is None:
            raise RuntimeError(f"no RabbitMQ: {ADVICE}")
        self.binary = found
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-rabbit-"))
        self.port, self._names_port, self._peers_port = _free_port(), _free_port(), _free_port()
        self._name = f"holdfast{uuid4().hex[:8]}@localhost"
        self._names: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start, or start again on the same port and data; returns when it greets."""
        self._start_names()
        self._process = self._popen([str(self.binary)])
        wait_until(self._greets, f"RabbitMQ starts: {self.said()}", START_S)

    def kill(self) -> None:
        """SIGKILL to the server and its children, as the out-of-memory killer would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(START_S)

    def stop(self) -> None:
        """Kill everything and remove it; idempotent."""
        for process in (self._process, self._names):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(START_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self) -> str:
        """The end of what it printed."""
        out = self.folder / "out"
        return out.read_text(errors="replace")[-2000:] if out.exists() else ""

    def _start_names(self) -> None:
        """A name server of our own: one that Erlang starts by itself would stay as a daemon."""
        if self._names is None or self._names.poll() is not None:
            epmd = shutil.which("epmd") or next(place for place in _EPMD if Path(place).is_file())
            self._names = self._popen([epmd, "-port", str(self._names_port), "-address", "127.0.0.1"])

    def _popen(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "out").open("ab") as out:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def _environment(self) -> dict[str, str]:
        place = str(self.folder)
        local = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ.get("PATH", ""),
            "LC_ALL": "C.UTF-8",
            "HOME": place,
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": local,
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._peers_port),
            "RABBITMQ_BASE": place,
            "RABBITMQ_MNESIA_BASE": f"{place}/mnesia",
            "RABBITMQ_LOG_BASE": f"{place}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": f"{place}/none",
            "RABBITMQ_CONFIG_FILE": f"{place}/none",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{place}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/plugins",
            "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the server instead of standing before it
        }

    def _greets(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise RuntimeError(f"RabbitMQ ended with {code}: {self.said()}\n{ADVICE}")
        with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as wire:
            wire.sendall(b"AMQP\x00\x00\x09\x01")
            wire.settimeout(5.0)
            return bool(wire.recv(8))
