"""A provider that does what it is told, for the engine's tests; and paths to it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.ports.guards import PlainGuards
from holdfast.rooms.llm.engine.paths import Paths
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.settings import Config, Deployment

HANG = "hang"


def fails(kind: Kind, **more: Any) -> ProviderFailed:
    return ProviderFailed(kind, f"it is {kind.value}", **more)


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        **more,
    }


def chunk(text: str | None = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"role": "assistant"} if text is None and finish is None else {"content": text} if text else {}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
        "choices": [choice], **more,
    }  # fmt: skip


class Scripted:
    """Each call takes the next line of the script, the last one again and again.

    A line is an answer's text, an error to raise, HANG, or a list of chunks, errors and HANG for a stream.
    """

    def __init__(self, *script: Any, name: str = "scripted") -> None:
        self.name = name
        self.script = list(script)
        self.calls: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.stopped = 0
        self.closed = False
        self.hanging = asyncio.Event()

    def _line(self, body: dict[str, Any], key: str) -> Any:
        self.calls.append(body)
        self.keys.append(key)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def _hang(self) -> None:
        self.hanging.set()
        await asyncio.Event().wait()

    async def chat(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        line = self._line(body, key)
        await asyncio.sleep(0)
        if isinstance(line, Exception):
            raise line
        if line == HANG:
            try:
                await self._hang()
            except asyncio.CancelledError:
                self.stopped += 1
                raise
        return answer(line) if isinstance(line, str) else line

    async def stream(self, body: dict[str, Any], key: str) -> AsyncGenerator[dict[str, Any], None]:
        line = self._line(body, key)
        parts = line if isinstance(line, list) else [line]
        done = False
        try:
            for part in parts:
                await asyncio.sleep(0)
                if isinstance(part, Exception):
                    raise part
                if part == HANG:
                    await self._hang()
                elif isinstance(part, str):
                    yield chunk()
                    yield chunk(part)
                    yield chunk(finish="stop", usage=answer("")["usage"])
                else:
                    yield part
            done = True
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped += not done
            raise

    async def embed(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        line = self._line(body, key)
        if isinstance(line, Exception):
            raise line
        return {"object": "list", "data": [{"index": 0, "embedding": [1.0, 0.0]}], "model": "scripted"}

    async def close(self) -> None:
        self.closed = True


def paths(
    config: Config | None = None, clock: Clock | None = None, **providers: Scripted
) -> tuple[Paths, dict[str, Scripted]]:
    """Paths to scripted providers; those that `config` does not name serve `m`, in order of priority."""
    clock = clock or SystemClock()
    given = dict(config.deployments) if config else {}
    for priority, name in enumerate(providers):
        given.setdefault(name, Deployment(base_url="http://here", serves=("m",), priority=priority))
    made = {"extractive": Scripted("quoted", name="extractive"), **providers}

    def make(name: str, settings: Deployment) -> Scripted:
        return made[name]

    whole = Config(
        deployments=given, models=config.models if config else {}, defaults=(config or Config()).defaults
    )
    return Paths(whole, PlainGuards(clock=clock), clock, make), made


def always(value: float) -> Callable[[], float]:
    return lambda: value
