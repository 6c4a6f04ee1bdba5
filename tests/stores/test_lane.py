import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator

import pytest

from holdfast.kernel.errors import Unavailable
from holdfast.stores.lane import Lane

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def thread_name(connection: sqlite3.Connection) -> str:
    return threading.current_thread().name


def endless(connection: sqlite3.Connection) -> object:
    return connection.execute(ENDLESS).fetchone()


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    lane = Lane("the-lane", connect)
    await lane.start()
    yield lane
    await lane.stop()


async def test_every_job_runs_in_its_thread_in_order(lane: Lane) -> None:
    seen: list[int] = []

    def job(number: int) -> str:
        seen.append(number)
        return threading.current_thread().name

    names = await asyncio.gather(*(lane.call(lambda _, n=n: job(n), 10) for n in range(50)))
    assert set(names) == {"the-lane"}
    assert seen == list(range(50))


async def test_an_error_is_raised_where_it_was_called(lane: Lane) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await lane.call(lambda connection: connection.execute("SELECT * FROM nowhere"), 10)
    assert await lane.call(thread_name, 10) == "the-lane"


async def test_a_job_past_its_time_is_interrupted(lane: Lane) -> None:
    with pytest.raises(Unavailable, match="did not answer in time"):
        await lane.call(endless, 0.05)
    assert await lane.call(thread_name, 10) == "the-lane"


async def test_a_cancelled_job_is_over_when_its_caller_knows(lane: Lane) -> None:
    begun = threading.Event()
    over = threading.Event()

    def job(connection: sqlite3.Connection) -> object:
        begun.set()
        try:
            return endless(connection)
        finally:
            over.set()

    task = asyncio.create_task(lane.call(job, 60))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # an impatient caller does not leave the connection half in use
    with pytest.raises(asyncio.CancelledError):
        await task
    assert over.is_set()


async def test_only_the_cancelled_job_is_interrupted(lane: Lane) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def first(connection: sqlite3.Connection) -> int:
        begun.set()
        go_on.wait(30)
        return int(connection.execute("SELECT count(*) FROM pragma_function_list").fetchone()[0])

    running = asyncio.create_task(lane.call(first, 60))
    queued = asyncio.create_task(lane.call(endless, 60))
    await asyncio.to_thread(begun.wait, 30)
    queued.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await running > 0
    with pytest.raises(asyncio.CancelledError):
        await queued


async def test_what_must_be_seen_through_is_seen_through(lane: Lane) -> None:
    go_on = threading.Event()
    done: list[bool] = []

    def job(connection: sqlite3.Connection) -> None:
        go_on.wait(30)
        done.append(True)

    task = asyncio.create_task(lane.see_through(job))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_a_connection_that_cannot_open_says_why_and_leaves_no_thread() -> None:
    def refuse() -> sqlite3.Connection:
        raise PermissionError("not yours")

    lane = Lane("closed-lane", refuse)
    with pytest.raises(PermissionError, match="not yours"):
        await lane.start()
    assert "closed-lane" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(Unavailable, match="closed"):
        await lane.call(thread_name, 1)


async def test_stopping_ends_what_was_asked_before_and_refuses_the_rest(lane: Lane) -> None:
    before = asyncio.create_task(lane.call(thread_name, 10))
    await asyncio.sleep(0)
    await asyncio.gather(lane.stop(), lane.stop())
    assert await before == "the-lane"
    with pytest.raises(Unavailable):
        await lane.call(thread_name, 10)
    assert "the-lane" not in [thread.name for thread in threading.enumerate()]


async def test_a_call_in_the_moment_of_the_end_is_refused_and_does_not_wait_for_ever() -> None:
    lane = Lane("ending-lane", connect)
    await lane.start()
    asked: list[asyncio.Task[str]] = []
    ended = lane._ended
    assert ended is not None
    # Its thread is told to live on, as it does for a moment after it has said that it has ended.
    alive, lane._thread = lane._thread, threading.current_thread()
    ended.add_done_callback(lambda _: asked.append(asyncio.create_task(lane.call(thread_name, 5))))
    lane._jobs.put(None)
    await ended
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="closed"):
        await asked[0]
    lane._thread = alive
    await lane.stop()
