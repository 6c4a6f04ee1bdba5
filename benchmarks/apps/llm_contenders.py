"""The gateways that are compared, each behind one face: a port, a key, and how it is started.

Every gateway gets the same upstream, one worker, the first core. What cannot be started is `absent` with the
reason, which is shown in its place. LiteLLM's proxy is too heavy for the development environment: it has one
of its own below the project, made here when it is missing.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.apps.serving import ROOT, Server, child, free_port, program
from holdfast.compose import ROOMS

LITELLM = "litellm[proxy]==1.106.2"
LITELLM_HOME = ROOT / ".bench" / "litellm"
BIN = Path(sys.executable).parent


class Absent(Exception):
    """This contender cannot run here; the text says why."""


class Upstream:
    """A deployment that a gateway is to use: its name, where it is, and what the model is called there."""

    def __init__(self, name: str, port: int, model: str = "mock") -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}/v1"
        self.port = port
        self.model = model


class Contender:
    """One gateway. `start(place, upstreams)` serves the model `mock`, the first upstream before the next."""

    name = ""
    key = "sk-mock"
    slow_from = 1_000_000
    """Connections from which on it answers so few requests that it is measured for longer."""

    def __init__(self) -> None:
        self.server: Server

    @contextlib.contextmanager
    def start(self, place: Path, upstreams: Sequence[Upstream]) -> Iterator[None]:
        """Run while the block does; raises Absent."""
        raise NotImplementedError
        yield

    @property
    def port(self) -> int:
        return self.server.port

    def ask(self, text: str) -> tuple[int, dict[str, str], Any]:
        """One request, as any client makes it: status, headers in lower case, the JSON."""
        body = {"model": "mock", "temperature": 0, "messages": [{"role": "user", "content": text}]}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        return send(self.port, "POST", "/v1/chat/completions", json.dumps(body), headers)


def send(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    """One request on a connection of its own: status, headers in lower case, the JSON."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, found, json.loads(content or b"{}")


class Direct(Contender):
    """No gateway at all: what the upstream and the load can do."""

    name = "direct"

    @contextlib.contextmanager
    def start(self, place: Path, upstreams: Sequence[Upstream]) -> Iterator[None]:
        with mock(upstreams[0].port) as self.server:
            yield


@contextlib.contextmanager
def mock(port: int) -> Iterator[Server]:
    """The fast provider, beside the load."""
    with program([sys.executable, "-m", "benchmarks.apps.llm_mock", str(port)], port=port, core=1) as server:
        yield server


class Passthrough(Contender):
    """One of the two apps that only hand on."""

    def __init__(self, name: str, app: str, slow_from: int) -> None:
        self.name = name
        self.app = app
        self.slow_from = slow_from

    @contextlib.contextmanager
    def start(self, place: Path, upstreams: Sequence[Upstream]) -> Iterator[None]:
        port, root = free_port(), upstreams[0].url.removesuffix("/v1")
        with child("benchmarks.apps.passthrough", self.app, str(port), root, port=port) as self.server:
            yield


class LiteLLM(Contender):
    """The LiteLLM proxy as for production, without database and callbacks; it logs errors only."""

    name = "litellm"
    key = "sk-holdfast-bench"
    slow_from = 1

    @contextlib.contextmanager
    def start(self, place: Path, upstreams: Sequence[Upstream]) -> Iterator[None]:
        found, port = litellm(), free_port()
        (place / "litellm.json").write_text(json.dumps(self.settings(upstreams)))
        command = [str(found), "--config", "litellm.json", "--port", str(port), "--host", "127.0.0.1"]
        env = {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        with program(
            [*command, "--num_workers", "1"], port=port, place=place, env=env, log=place / "litellm.log"
        ) as self.server:
            yield

    def settings(self, upstreams: Sequence[Upstream]) -> dict[str, Any]:
        """JSON is YAML. A second upstream is a model of its own that the first falls back to."""
        names = ["mock", *(each.name for each in upstreams[1:])]
        models = [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{each.model}",
                    "api_base": each.url,
                    "api_key": "sk-mock",
                },
            }
            for name, each in zip(names, upstreams, strict=True)
        ]
        fallbacks = {"fallbacks": [{"mock": names[1:]}]} if names[1:] else {}
        return {
            "model_list": models,
            "general_settings": {"master_key": self.key},
            "litellm_settings": {"telemetry": False},
            "router_settings": fallbacks,
        }


def litellm() -> Path:
    """The command of LiteLLM's own environment, which is made when there is none; raises Absent."""
    command = LITELLM_HOME / "bin" / "litellm"
    if command.exists():
        return command
    uv = BIN / "uv"
    if not uv.exists():
        raise Absent(f"{LITELLM} is not installed, and there is no uv in {BIN}")
    print(f"making an environment for {LITELLM} in {LITELLM_HOME.relative_to(ROOT)}", flush=True)
    python = LITELLM_HOME / "bin" / "python"
    for step in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, LITELLM_HOME],
        [uv, "pip", "install", "--quiet", "--python", python, LITELLM],
    ):
        done = subprocess.run([str(word) for word in step], capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason told"])[-1]
            raise Absent(f"{LITELLM} could not be installed: {last[:200]}")
    return command


class Ours(Contender):
    """`holdfast serve` with the whole stack: a virtual key, the exact cache, budgets, the ledger."""

    name = "holdfast"

    @contextlib.contextmanager
    def start(self, place: Path, upstreams: Sequence[Upstream]) -> Iterator[None]:
        if "llm" not in ROOMS:
            raise Absent("this build has no llm room")
        port = free_port()
        (place / "holdfast.toml").write_text(self.settings(upstreams))
        env = {"HOLDFAST_LIMITS_ENABLED": "false"}
        self.key = self.new_key(place, env)
        command = [str(BIN / "holdfast"), "serve", "--port", str(port)]
        with program(command, port=port, place=place, env=env, log=place / "holdfast.log") as self.server:
            yield

    def settings(self, upstreams: Sequence[Upstream]) -> str:
        """holdfast.toml. The budget is far away, but it is counted."""
        parts = [
            "[llm]",
            "keys_required = true",
            "",
            "[[llm.budgets]]",
            'scope = "user"',
            'period = "day"',
            "tokens = 1000000000000",
            "cost = 100000",
            "",
            "[llm.prices.mock]",
            "input_per_million = 1.0",
            "output_per_million = 4.0",
        ]
        for priority, each in enumerate(upstreams):
            parts += [
                "",
                f"[llm.deployments.{each.name}]",
                'provider = "openai"',
                f'base_url = "{each.url}"',
                f'model = "{each.model}"',
                'keys = ["sk-mock"]',
                'serves = ["mock"]',
                f"priority = {priority}",
            ]
        return "\n".join(parts) + "\n"

    def new_key(self, place: Path, env: dict[str, str]) -> str:
        """A virtual key of a user, made as an operator makes it."""
        made = subprocess.run(
            [str(BIN / "holdfast"), "llm", "keys", "create", "bench", "--user", "bench"],
            cwd=place,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode or not made.stdout.strip():
            raise RuntimeError(f"no virtual key could be made: {made.stderr.strip()[-500:]}")
        return made.stdout.split()[0]

    def in_ledger(self, enough: int) -> int:
        """Calls in the ledger once there are `enough`, or after 10 s: it is written in the background."""
        for _ in range(100):
            _, _, spend = send(self.port, "GET", "/admin/llm/spend?by=user")
            found = sum(line["calls"] + line["free"] for line in spend["lines"] if line["id"] == "bench")
            if found >= enough:
                break
            time.sleep(0.1)
        return found
