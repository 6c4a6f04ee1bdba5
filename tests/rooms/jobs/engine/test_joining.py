"""What is enqueued while others are being written shares one transaction, and nothing else."""

import asyncio

import msgspec
import pytest

from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.rooms.jobs.engine.joining import Joining
from holdfast.rooms.jobs.store.reading import Reading
from holdfast.rooms.jobs.store.store import Store
from tests.rooms.jobs.store.test_store import new


class CountingStore(Store):
    """A store that keeps how many jobs each of its transactions added."""

    def __init__(self, sql):
        super().__init__(sql)
        self.sizes = []

    async def add(self, job):
        self.sizes.append(1)
        return await super().add(job)

    async def add_all(self, jobs, within=None):
        self.sizes.append(len(jobs))
        return await super().add_all(jobs, within)


@pytest.fixture
def store(ledger):
    return CountingStore(ledger)


async def there(store, jobs):
    reading = Reading(store.sql)
    return [job.id for job in jobs if await reading.one(job.id) is not None]


async def test_who_comes_while_others_are_written_goes_into_the_next_transaction(store):
    joining, jobs, alone = Joining(store), [new() for _ in range(40)], store.sql.writers
    assert await asyncio.gather(*map(joining.add, jobs)) == [True] * 40
    assert store.sizes == [1] * alone + [40 - alone]
    assert await there(store, jobs) == [job.id for job in jobs]
    assert await joining.add(new())
    assert store.sizes[-1] == 1, "who is alone waits for nobody"


async def test_one_that_is_refused_holds_up_no_other(store):
    joining, jobs = Joining(store), [new() for _ in range(20)]
    jobs[13] = msgspec.structs.replace(jobs[13], tenant="\0")
    found = await asyncio.gather(*map(joining.add, jobs), return_exceptions=True)
    assert isinstance(found.pop(13), BadInput)
    assert found == [True] * 19
    assert len(await there(store, [job for job in jobs if job is not jobs[13]])) == 19


async def test_a_job_that_is_there_already_is_not_added(store):
    joining, jobs = Joining(store), [new() for _ in range(20)]
    await store.add(jobs[7])
    found = await asyncio.gather(*map(joining.add, jobs))
    assert found == [job is not jobs[7] for job in jobs]


async def test_who_is_cancelled_before_the_turn_is_not_added(store):
    joining, jobs = Joining(store), [new() for _ in range(20)]
    tasks = [asyncio.create_task(joining.add(job)) for job in jobs]
    await asyncio.sleep(0)
    tasks[0].cancel()  # it is being written: the others must have their turn all the same
    tasks[13].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[13], asyncio.CancelledError)
    assert [each for at, each in enumerate(found) if at not in (0, 13)] == [True] * 18
    assert await there(store, jobs[13:14]) == []
    assert await joining.add(new())


async def test_all_who_wait_hear_that_the_ledger_is_away(store):
    joining, alone = Joining(store), store.sql.writers
    tasks = [asyncio.create_task(joining.add(new())) for _ in range(alone + 20)]
    await asyncio.sleep(0)
    await store.sql.stop()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in found[alone:]} == {Unavailable}
    assert store.sizes == [1] * alone + [20]
    await store.sql.start()
    assert await joining.add(new())
