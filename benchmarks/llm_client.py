"""What a call to a provider costs in this process, and what is left of the physical limit when many are slow.

The provider is a small server on the other core that answers every chat at once, or after 60 ms. Clients
take turns in one process, on uvloop as `holdfast serve` runs; what they get is parsed, as a caller would.
CPU is that of this process a call at 16 in flight, median of the rounds. The physical limit of 256 in
flight at 60 ms is 256 / 0.060 = 4,267 calls a second.

Only ratios are promised: microseconds are those of the machine.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import httpx
import msgspec
import openai
import uvloop

from benchmarks.apps.serving import child, free_port
from benchmarks.harness import Row, at_least, at_most, main, median, shown
from holdfast.rooms.llm.providers.lane import Lane
from holdfast.rooms.llm.providers.lane_over_aiohttp import AiohttpTransport
from holdfast.rooms.llm.providers.openai import OpenAIProvider
from holdfast.rooms.llm.providers.transport import Limits, Transport

BODY: dict[str, Any] = {
    "model": "fake",
    "messages": [{"role": "user", "content": "What is the capital of France? 한 문장으로 답하세요."}],
    "temperature": 0,
}
PAYLOAD = msgspec.json.encode(BODY)
FIELDS = (("authorization", "Bearer sk-bench"), ("content-type", "application/json"))
IN_FLIGHT = 16
MANY = 256
WAIT_MS = 60

Call = Callable[[], Awaitable[Any]]
Client = tuple[Call, Callable[[], Awaitable[Any]]]
"""One call, and how to close."""


def over(transport: Transport) -> Client:
    async def call() -> Any:
        return msgspec.json.decode((await transport.post("/chat/completions", FIELDS, PAYLOAD)).body)

    return call, transport.close


def provider(transport: Transport) -> Client:
    made = OpenAIProvider(transport)
    return (lambda: made.chat(BODY, "sk-bench")), made.close


def over_aiohttp(url: str) -> Client:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=dict(FIELDS))

    async def call() -> Any:
        async with session.post(f"{url}/chat/completions", data=PAYLOAD) as response:
            return msgspec.json.decode(await response.read())

    return call, session.close


def over_httpx(url: str) -> Client:
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    client = httpx.AsyncClient(limits=limits, timeout=60.0, headers=dict(FIELDS))

    async def call() -> Any:
        response = await client.post(f"{url}/chat/completions", content=PAYLOAD)
        return msgspec.json.decode(response.content)

    return call, client.aclose


def over_openai(url: str) -> Client:
    client = openai.AsyncOpenAI(api_key="sk-bench", base_url=url, max_retries=0, timeout=60.0)
    return (lambda: client.chat.completions.create(**BODY)), client.close


def clients(url: str) -> dict[str, Client]:
    limits = Limits(max_connections=1000, max_idle=1000)
    return {
        "lane": over(Lane(url, limits)),
        "provider": provider(Lane(url, limits)),
        "provider on aiohttp": provider(AiohttpTransport(url, limits)),
        "aiohttp": over_aiohttp(url),
        "httpx": over_httpx(url),
        "openai": over_openai(url),
    }


async def busy(call: Call, in_flight: int, seconds: float) -> tuple[float, float]:
    """Calls a second and CPU microseconds a call, `in_flight` callers asking again and again for a while."""
    done = 0

    async def caller() -> None:
        nonlocal done
        while True:
            await call()
            done += 1

    callers = [asyncio.create_task(caller()) for _ in range(in_flight)]
    started, cpu = time.perf_counter(), time.process_time()
    _, _ = await asyncio.wait(callers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    elapsed, used = time.perf_counter() - started, time.process_time() - cpu
    for task in callers:
        task.cancel()
    ended = await asyncio.gather(*callers, return_exceptions=True)
    broken = next((error for error in ended if isinstance(error, Exception)), None)
    if broken is not None:
        raise broken
    return done / elapsed, used / max(1, done) * 1e6


async def cheap(url: str, rounds: int, seconds: float) -> dict[str, float]:
    """CPU microseconds a call of each client; the first round only warms up."""
    made = clients(url)
    found: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(rounds + 1):
        for name, (call, _) in made.items():
            _, cpu_us = await busy(call, IN_FLIGHT, seconds)
            if turn:
                found[name].append(cpu_us)
    for _, close in made.values():
        await close()
    return {name: median(values) for name, values in found.items()}


async def many(url: str, turns: int, seconds: float) -> dict[str, float]:
    """Share of the physical limit that each client reaches, its connections opened before.

    The best of its turns: what else runs on the machine can only take from it.
    """
    limit = MANY / (WAIT_MS / 1000)
    found: dict[str, float] = {}
    for _ in range(turns):
        for name, (call, close) in clients(url).items():
            await busy(call, MANY, 1.0)
            rate, _ = await busy(call, MANY, seconds)
            found[name] = max(found.get(name, 0.0), rate / limit)
            await close()
    return found


def rows_of(cpu: dict[str, float], share: dict[str, float]) -> list[Row]:
    lane, chat = cpu["lane"], cpu["provider"]
    return [
        shown(
            f"one call at {IN_FLIGHT} in flight, CPU us: lane",
            lane,
            aiohttp=cpu["aiohttp"],
            httpx=cpu["httpx"],
        ),
        at_most("one call, CPU of the lane over aiohttp's", lane, lane / cpu["aiohttp"], 0.35, 0.2),
        shown(
            "one judged chat, CPU us: OpenAIProvider",
            chat,
            on_aiohttp=cpu["provider on aiohttp"],
            openai=cpu["openai"],
        ),
        at_least("one judged chat, times cheaper than openai's client", chat, cpu["openai"] / chat, 20, 50),
        at_least(
            f"{MANY} in flight at {WAIT_MS} ms, share of the physical limit: lane",
            share["lane"],
            share["lane"],
            0.95,
            0.98,
            **{name.replace(" ", "_"): value for name, value in share.items() if name != "lane"},
        ),
    ]


def run(quick: bool) -> Sequence[Row]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    port = free_port()
    with child("benchmarks.apps.llm_upstream", str(port), port=port):
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[1]})  # the child has taken the first
        rounds, seconds = (3, 0.4) if quick else (9, 1.0)
        cpu = uvloop.run(cheap(f"http://127.0.0.1:{port}/0/v1", rounds, seconds))
        share = uvloop.run(
            many(f"http://127.0.0.1:{port}/{WAIT_MS}/v1", 2 if quick else 3, 1.5 if quick else 4.0)
        )
    return rows_of(cpu, share)


if __name__ == "__main__":
    main(run, "Calls to a provider: the lane, our provider on it, and other clients")
