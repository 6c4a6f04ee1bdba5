"""What stands ready while gateways are compared: the upstream, every contender that can run, and the load."""

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.apps.llm_contenders import Absent, Contender, Direct, Upstream, send
from benchmarks.apps.serving import ROOT, Server, folder, free_port, pinned


@dataclass
class Found:
    """One stretch of load on one contender."""

    rps: float
    p50_ms: float
    p99_ms: float
    server_us: float
    """CPU of the server a request; of the upstream itself for `direct`."""
    busy: float
    """The share of its core that the server had, 0..1: what others on the machine took is not in it."""
    beside: float
    """How busy load and upstream kept their core, 0..1."""

    def told(self) -> str:
        return f"{self.rps:.0f}/s, p50 {self.p50_ms:.3g} ms, p99 {self.p99_ms:.3g} ms"


class Load:
    """The load generator, a child on the second core."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.apps.llm_load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pinned(1),
        )

    def put(self, order: dict[str, Any]) -> dict[str, Any]:
        """Have it done; RuntimeError when any request failed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator has left")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)


class Stage:
    """All that runs. `absent` says why a contender does not."""

    def __init__(self, direct: Direct, load: Load) -> None:
        self.direct = direct
        self.load = load
        self.here: dict[str, Contender] = {direct.name: direct}
        self.absent: dict[str, str] = {}
        self.answered: Counter[str] = Counter()

    def turn(
        self,
        name: str,
        connections: int,
        seconds: float,
        *,
        warm_s: float = 10.0,
        spread_s: float = 0.0,
        same: bool = False,
    ) -> Found:
        """Load one contender; raises RuntimeError when it refused a request. A slow one may answer none."""
        contender = self.here[name]
        servers = [contender.server, self.direct.server]
        before = [server.cpu_s() for server in servers]
        told = self.load.put(
            {
                "port": contender.port,
                "key": contender.key,
                "connections": connections,
                "seconds": seconds,
                "most_warm_s": warm_s,
                "spread_s": spread_s,
                "same": same,
            }
        )
        if told["errors"]:
            raise RuntimeError(f"{name} failed {told['errors']} requests at c={connections}: {told['error']}")
        self.answered[name] += told["all"]
        spent = [server.cpu_s() - was for server, was in zip(servers, before, strict=True)]
        # What servers spend while warming up and draining is theirs too: a share of all requests sent.
        share = told["requests"] / max(1, told["all"])
        return Found(
            rps=told["requests"] / told["seconds"],
            p50_ms=told["p50_ms"],
            p99_ms=told["p99_ms"],
            server_us=spent[0] / max(1, told["all"]) * 1e6,
            busy=min(1.0, spent[0] * share / told["seconds"]),
            beside=min(1.0, (spent[1] * share + told["cpu_s"]) / told["seconds"]),
        )

    def wait_ms(self, milliseconds: int) -> None:
        """How long the upstream takes from now on."""
        self._tell(f"/wait/{milliseconds}")

    def upstream_count(self) -> int:
        """Calls that have reached the upstream."""
        return int(self._tell("/count")["count"])

    def _tell(self, path: str) -> dict[str, Any]:
        told: dict[str, Any] = send(self.direct.port, "GET", path)[2]
        return told


@contextlib.contextmanager
def stage(contenders: Sequence[Contender]) -> Iterator[Stage]:
    """Start the upstream, the load and every contender that can run."""
    upstream, direct = Upstream("mock", free_port()), Direct()
    with contextlib.ExitStack() as stack:
        stack.enter_context(direct.start(Path(), [upstream]))
        made = Stage(direct, Load())
        stack.callback(made.load.close)
        for contender in contenders:
            place = stack.enter_context(folder())
            try:
                stack.enter_context(contender.start(place, [upstream]))
            except Absent as why:
                made.absent[contender.name] = f"not run: {why}"
                print(f"{contender.name} is not run: {why}", flush=True)
            else:
                made.here[contender.name] = contender
        yield made


def memory_mb(server: Server) -> float:
    """Resident memory of a server; nan where /proc does not tell."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
