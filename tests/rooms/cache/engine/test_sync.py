"""The cache for threads."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.rooms.cache.engine.sync import SyncCache
from holdfast.rooms.cache.rules.problems import BadCall

from .making import make_engine, refused


async def in_threads(work, count):
    with ThreadPoolExecutor(count) as threads:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(threads, work) for _ in range(count)))


async def test_threads_and_tasks_share_one_load():
    engine = make_engine()
    sync = SyncCache(engine, asyncio.get_running_loop())
    calls = []
    go = threading.Event()

    def load():
        calls.append(threading.current_thread())
        assert go.wait(30)
        return {"a": 1}

    found = asyncio.ensure_future(in_threads(lambda: sync.get_or_set("k", load, tags=["t"]), 8))
    while engine.keeper.tallies["default"].joined < 7:
        await asyncio.sleep(0)
    go.set()
    assert await found == [{"a": 1}] * 8
    assert len(calls) == 1
    assert calls[0] is not threading.main_thread()

    async def never():
        raise AssertionError

    assert await engine.get_or_set("k", never) == {"a": 1}


async def test_a_hit_needs_no_loop_and_everything_else_works_from_a_thread():
    engine = make_engine()
    sync = SyncCache(engine, asyncio.get_running_loop())

    def work():
        sync.set("a", 1)
        sync.set_many({"b": 2})
        found = [sync.get("a"), sync.get("b"), sync.get("c", otherwise=3)]
        found.append(sync.get_or_set("a", lambda: 99))
        sync.invalidate(keys=["a"])
        return [*found, sync.get("a"), sync.get_or_set("a", lambda: 99)]

    assert await asyncio.to_thread(work) == [1, 2, 3, 1, None, 99]


async def test_an_error_of_the_factory_reaches_the_thread():
    sync = SyncCache(make_engine(), asyncio.get_running_loop())

    def fail():
        raise ValueError("no such farm")

    with pytest.raises(ValueError, match="no such farm"):
        await asyncio.to_thread(sync.get_or_set, "k", fail)


async def test_on_a_loop_it_is_refused():
    sync = SyncCache(make_engine(), asyncio.get_running_loop())
    for call in (
        lambda: sync.get("k"),
        lambda: sync.get_or_set("k", lambda: 1),
        lambda: sync.set("k", 1),
        lambda: sync.invalidate(everything=True),
    ):
        with refused(BadCall):
            call()


def test_without_a_running_loop_it_is_refused():
    loop = asyncio.new_event_loop()
    sync = SyncCache(make_engine(), loop)
    with refused(BadCall):
        sync.get("k")
    loop.close()
