"""A served gateway in front of the real fake provider, and what its ledger and its streams say."""

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from openai import OpenAI

from holdfast.rooms.faults import FaultServer
from holdfast.rooms.faults.rules.listing import CallShown
from tests.acceptance.serving import Served, serving
from tests.waiting import wait_until

PATIENCE_S = 60.0
"""How long anything is waited for that must happen."""


class Upstream:
    """A FaultServer in a thread with a loop of its own, so that blocking clients can be tested too."""

    def __init__(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep, **more: Any) -> None:
        self._sleep = sleep
        self._more = {"sleep": self._pause, **more}
        self._going = threading.Event()
        self._going.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.server: FaultServer

    def __enter__(self) -> "Upstream":
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    async def _start(self) -> None:
        self.server = FaultServer(**self._more)
        await self.server.start()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _pause(self, seconds: float) -> None:
        await self._sleep(seconds)
        if not self._going.is_set():
            await asyncio.to_thread(self._going.wait, PATIENCE_S)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No pause in an answer ends meanwhile: what is to happen before that has the time it takes."""
        self._going.clear()
        try:
            yield
        finally:
            self._going.set()

    @property
    def url(self) -> str:
        return self.server.url

    def calls(self, model: str | None = None) -> list[CallShown]:
        """What has arrived, as the provider saw it."""

        async def ask() -> list[CallShown]:
            return self.server.calls.of(model)

        found: list[CallShown] = self._do(ask())
        return found


@contextlib.contextmanager
def gateway(folder: Path, toml: str = "", **settings: str) -> Iterator[Served]:
    """`holdfast serve` with these settings in its file."""
    (folder / "holdfast.toml").write_text(toml, "utf-8")
    with serving(folder, **settings) as served:
        yield served


def deployment(name: str, url: str, model: str = "", **more: Any) -> str:
    """One `[llm.deployments.<name>]` table."""
    facts = {"base_url": url, "model": model or name, "probe": False, **more}
    return table(f'llm.deployments."{name}"', **facts)


def table(name: str, **facts: Any) -> str:
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in facts.items())]
    return "\n".join(lines) + "\n"


def v1_of(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}/v1"


def client(served: Served, key: str = "none", **more: Any) -> OpenAI:
    """The official client, whose own retries would hide what the gateway says."""
    return OpenAI(base_url=v1_of(served), api_key=key, **{"max_retries": 0, "timeout": PATIENCE_S, **more})


def chat(prompt: str, model: str = "", **more: Any) -> dict[str, Any]:
    """The body of a chat at temperature 0, whose answer may be kept."""
    messages = [{"role": "user", "content": prompt}]
    return {"model": model, "messages": messages, "temperature": 0, **more}


class Told:
    """A stream of events, read to its end."""

    def __init__(self, raw: bytes) -> None:
        events = [part for part in raw.decode().split("\n\n") if part]
        assert all(event.startswith("data: ") for event in events), raw[:500]
        said = [event.removeprefix("data: ") for event in events]
        self.is_done = bool(said) and said[-1] == "[DONE]"
        assert "[DONE]" not in said[:-1]
        parts = [json.loads(event) for event in said if event != "[DONE]"]
        self.errors = [part["error"] for part in parts if "error" in part]
        self.chunks = [part for part in parts if "error" not in part]

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"].get("content") or "" for chunk in self.chunks for choice in chunk["choices"]
        )

    @property
    def finishes(self) -> list[str]:
        return [
            choice["finish_reason"]
            for chunk in self.chunks
            for choice in chunk["choices"]
            if choice["finish_reason"]
        ]


def ledger(folder: Path) -> list[dict[str, Any]]:
    """Every row that is in the database, in the order in which they began."""
    file = folder / "data" / "holdfast.db"
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM llm_ledger ORDER BY at_ms, id")]


def rows_until(folder: Path, enough: Callable[[list[dict[str, Any]]], Any]) -> list[dict[str, Any]]:
    """The ledger, once it says what it must: rows are written in batches."""
    found: list[dict[str, Any]] = []

    def reached() -> bool:
        found[:] = ledger(folder)
        return bool(enough(found))

    wait_until(reached, lambda: f"rows of the ledger; it has {found}")
    return found
