"""What the broker is told, and when: over both ledgers and a real Redis."""

import asyncio
import base64
import json

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.ports.services import NoMeter
from holdfast.rooms.jobs.celery.app import make_app
from holdfast.rooms.jobs.celery.broker import Broker
from holdfast.rooms.jobs.celery.dispatcher import LOOK_S, Dispatcher
from holdfast.rooms.jobs.rules.publishing import Told
from holdfast.rooms.jobs.rules.settings import Queue
from holdfast.rooms.jobs.store.store import Store
from holdfast.rooms.jobs.store.telling import Telling
from holdfast.rooms.jobs.store.upkeep import Upkeep
from holdfast.stores.sqlite_presence import SqlitePresence
from tests.rooms.jobs.store.test_store import new
from tests.waiting import until

QUEUES = {"bulk": Queue(), "ai": Queue(rate="5/60s")}


class Desk:
    """A dispatcher and what it stands on; the test moves its clock and turns it by hand."""

    def __init__(self, ledger, broker_url, folder, window=10):
        self.clock = ManualClock()
        self.store, self.upkeep, self.telling = Store(ledger), Upkeep(ledger), Telling(ledger)
        self.broker = Broker(make_app(broker_url, QUEUES))
        self.presence = SqlitePresence(folder)
        self.dispatcher = Dispatcher(
            self.broker,
            telling=self.telling,
            upkeep=self.upkeep,
            presence=self.presence,
            clock=self.clock,
            meter=NoMeter(),
            queues=QUEUES,
            poll_s=0.05,
            window=window,
        )

    async def settle(self):
        """Turn until there is nothing more to tell just now."""
        for _ in range(100):
            if await self.dispatcher.turn() > 0.0:
                return
        raise AssertionError("it never rests")

    async def pass_s(self, seconds):
        self.clock.advance(seconds)
        await self.settle()

    async def add(self, count, **more):
        now_ms = int(self.clock.wall() * 1000)
        made = [new(run_at_ms=now_ms, published_ms=0, **more) for _ in range(count)]
        await self.store.add_all(made)
        return [job.id for job in made]

    async def claim(self, job_id):
        return await self.store.claim_one(job_id, "w1", int(self.clock.wall() * 1000))

    def held(self, queue="bulk"):
        """The ids in the broker's queue, the first to be delivered first."""
        with self.broker._app.connection_for_read() as connection:
            raw = connection.default_channel.client.lrange(queue, 0, -1)
        return [json.loads(each)["headers"]["id"] for each in reversed(raw)]

    def take(self, count, queue="bulk"):
        """As a worker would, or as a broker that loses them."""
        with self.broker._app.connection_for_read() as connection:
            return [connection.default_channel.client.rpop(queue) for _ in range(count)]

    async def close(self):
        await self.dispatcher.close()
        await self.presence.close()


@pytest.fixture
async def desk(ledger, redis_database, tmp_path):
    made = Desk(ledger, redis_database, tmp_path / "alive")
    yield made
    await made.close()


async def test_a_window_is_told_by_priority_and_turns_of_tenants(desk):
    loud = await desk.add(50, lane="100loud")
    quiet = await desk.add(2, lane="100quiet")
    urgent = await desk.add(1, lane="050loud")
    await desk.settle()
    held = desk.held()
    assert len(held) == 10
    assert held[0] == urgent[0]
    assert set(quiet) < set(held)
    assert [each for each in held if each in loud] == loud[:7]
    await desk.pass_s(3_600)
    assert len(desk.held()) == 10, "a queue that is long is no reason to tell of it again"
    for job_id in held[:4]:
        assert await desk.claim(job_id)
    desk.take(4)
    await desk.pass_s(1)
    assert desk.held() == [*held[4:], *loud[7:11]]


async def test_a_message_carries_the_id_and_nothing_else(desk):
    (job_id,) = await desk.add(1, payload='{"비밀":"geheim"}', tenant="acme", owner="kim")
    await desk.settle()
    (raw,) = desk.take(1)
    message = json.loads(raw)
    assert json.loads(base64.b64decode(message["body"]))[:2] == [[job_id], {}]
    assert (message["headers"]["task"], message["headers"]["shadow"]) == ("holdfast.run", "count")
    assert not any(word in raw.decode() for word in ("geheim", "acme", "kim"))


async def test_what_the_broker_lost_is_told_again_and_less_and_less_often(desk):
    ids = await desk.add(3)
    await desk.settle()
    assert desk.held() == ids
    desk.take(3)
    await desk.pass_s(LOOK_S)
    assert desk.held() == [], "they may be on their way"
    await desk.pass_s(3)
    assert desk.held() == ids
    desk.take(2)
    await desk.pass_s(5)
    assert desk.held() == ids[2:]
    await desk.pass_s(5)
    assert desk.held() == [ids[2], *ids[:2]]
    for job_id in ids:
        await desk.claim(job_id)
    await desk.pass_s(3_600)
    assert len(desk.held()) == 3, "what was claimed is never told again"


async def test_a_paused_queue_is_not_told_of_and_then_at_once(desk):
    first = await desk.add(2)
    await desk.settle()
    await desk.upkeep.pause("bulk", True)
    later = await desk.add(2)
    await desk.pass_s(60)
    assert desk.held() == first
    desk.take(2)  # workers drop them: the queue is paused
    await desk.upkeep.pause("bulk", False)
    await desk.pass_s(0.1)
    assert sorted(desk.held()) == sorted([*first, *later])


async def test_a_queue_is_told_of_at_its_rate(desk):
    await desk.add(12, queue="ai")
    counts = []
    for _ in range(5):
        for _ in range(12):
            await desk.pass_s(1)
        counts.append(len(desk.held("ai")))
    assert counts[0] >= 1
    assert counts[-1] <= 6, "five in any minute, and the one that was let in when it began"
    assert counts == sorted(counts)


async def test_what_was_enqueued_for_another_engine_is_told_of_too(desk):
    job = new(run_at_ms=int(desk.clock.wall() * 1000))
    await desk.store.add(job)
    await desk.settle()
    assert desk.held() == [job.id]


async def test_one_leads_and_another_follows_when_it_is_gone(ledger, redis_database, tmp_path):
    one, two = (Desk(ledger, redis_database, tmp_path / "alive") for _ in range(2))
    leader = asyncio.create_task(one.dispatcher.run())
    await until(lambda: one.dispatcher.leads)
    follower = asyncio.create_task(two.dispatcher.run())
    ids = await one.add(3)
    one.dispatcher.wake("bulk")
    await until(lambda: sorted(one.held()) == sorted(ids))
    assert not two.dispatcher.leads
    leader.cancel()
    await one.close()
    await until(lambda: two.dispatcher.leads)
    more = await two.add(1)
    two.dispatcher.wake("bulk")
    await until(lambda: more[0] in two.held())
    follower.cancel()
    await two.close()


async def test_a_broker_that_is_down_is_told_later(ledger, own_redis, tmp_path):
    desk = Desk(ledger, own_redis.url, tmp_path / "alive")
    own_redis.kill()
    ids = await desk.add(3)
    running = asyncio.create_task(desk.dispatcher.run())
    await until(lambda: desk.dispatcher.is_away)
    sent = await desk.broker.publish([Told(ids[0], "count", "bulk", 1)])
    assert sent.told == []
    assert sent.failure.status == 503
    own_redis.start()
    await until(lambda: sorted(desk.held()) == sorted(ids))
    await until(lambda: not desk.dispatcher.is_away)
    running.cancel()
    await desk.close()
