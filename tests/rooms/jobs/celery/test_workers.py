"""Real workers of Celery on real brokers: nothing is lost, nothing runs twice."""

import asyncio
import json
import signal
import sys
import urllib.error
import urllib.request

import pytest
from kombu import Connection

from holdfast.rooms.jobs.celery.app import make_app
from holdfast.rooms.jobs.celery.broker import Broker
from holdfast.rooms.jobs.rules.publishing import Told
from tests.brokers import RabbitServer, brokers, machine_binary
from tests.free_ports import free_port
from tests.servers import running
from tests.waiting import until


async def enqueue(world, name, count, **more):
    return [
        (await world.hold.jobs.enqueue(name, **more, **({"number": n} if "note" in name else {}))).id
        for n in range(count)
    ]


@pytest.mark.parametrize("pool", ["threads", "prefork"])
async def test_a_worker_runs_cancels_drops_and_gives_back(own_redis, world_of, pool):
    world = await world_of(own_redis.url)
    worker, jobs = world.worker(pool, 2), world.hold.jobs
    ids = await enqueue(world, "note", 20) + await enqueue(world, "note in a thread", 20)
    failing = (await jobs.enqueue("fail")).id
    await until(lambda: world.all_are("succeeded", ids))
    await until(lambda: world.all_are("failed", [failing]))
    view = await jobs.find(failing)
    assert view.error_kind == "validation"
    assert "글이 없습니다" in view.error

    # Delivered again and again, also ids that nobody knows: each job has run once.
    broker = Broker(make_app(world.broker, ["bulk", "ai"]))
    doubled = [*ids * 3, failing, "no-such-job"]
    sent = await broker.publish([Told(job_id, "note", "bulk", 1) for job_id in doubled])
    assert (len(sent.told), sent.failure) == (len(doubled), None)

    async def is_empty():
        return (await broker.depths(["bulk"])) == {"bulk": 0}

    await until(is_empty)

    cancelled = (await jobs.enqueue("wait")).id
    await until(lambda: world.lines("waiting"))
    assert await jobs.cancel(cancelled, "no longer wanted")
    await until(lambda: world.all_are("cancelled", [cancelled]))

    # At a warm shutdown a job that does not end in its grace is given back, and that is no attempt of its.
    given_back = (await jobs.enqueue("wait")).id
    await until(lambda: len(world.lines("waiting")) == 2)
    worker.send_signal(signal.SIGTERM)
    await until(lambda: worker.poll() == 0)
    row = await jobs.reading.one(given_back)
    assert (row.state, row.error_kind, row.crashes) == ("available", "", 0)
    assert row.max_attempts - row.attempts == 5
    assert world.noted() == dict.fromkeys(ids, 1)
    await broker.close()


async def test_nothing_is_lost_when_workers_and_the_broker_are_killed(own_redis, world_of):
    world = await world_of(own_redis.url)
    first = world.worker("prefork", 2)
    second = await enqueue(world, "wait", 2)
    await until(lambda: len(world.lines("waiting")) == 2)
    world.worker("threads", 4)
    first.kill()  # its pool's processes are killed by the kernel with it
    await until(lambda: len(world.lines("waiting")) == 4)
    world.go()
    ids = []
    for _ in range(4):
        ids += await enqueue(world, "note", 30)
        own_redis.ask("FLUSHALL")
    await until(lambda: len(world.noted()) >= 60)
    own_redis.kill()
    ids += await enqueue(world, "note", 30)  # a broker that is down fails no enqueue
    await until(lambda: world.hold.ground.rooms["jobs"].celery.dispatcher.is_away)
    own_redis.start()  # empty
    ids += await enqueue(world, "note", 30)
    await until(lambda: world.all_are("succeeded", [*ids, *second]))
    assert world.noted() == dict.fromkeys([*ids, *second], 1)
    assert {line[1] for line in world.lines("noted") if line[0] in second} == {"2"}


@pytest.mark.parametrize("kind", [name for name in brokers() if name == "rabbitmq"])
async def test_rabbitmq_carries_them_too(rabbitmq_url, world_of, kind):
    world = await world_of(rabbitmq_url)
    world.worker("prefork", 2)
    ids = await enqueue(world, "note", 40)
    with Connection(rabbitmq_url) as connection, connection.channel() as channel:
        for _ in range(3):
            ids += await enqueue(world, "note", 20)
            channel.queue_delete("bulk")  # and with it what it held, and its consumer
    await until(lambda: world.all_are("succeeded", ids))
    assert world.noted() == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("kind", ["rabbitmq"] if machine_binary() else [])
async def test_threads_that_work_while_rabbitmq_restarts_go_on(world_of, kind):
    with running(RabbitServer()) as server:
        world = await world_of(server.url)
        world.worker("threads", 4)
        ids = await enqueue(world, "wait", 3)
        await until(lambda: len(world.lines("waiting")) == 3)
        server.kill()
        server.start()
        ids += await enqueue(world, "note", 40)
        await until(world.noted)
        world.go()
        ids += await enqueue(world, "note", 40)
        await until(lambda: world.all_are("succeeded", ids))


async def test_flower_shows_them(own_redis, world_of):
    world, port = await world_of(own_redis.url), free_port()
    world.worker("threads", 2)
    flower = world.run(
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "holdfast.celery",
            "flower",
            f"--port={port}",
            "--address=127.0.0.1",
        ],
        FLOWER_UNAUTHENTICATED_API="true",
    )

    def tasks():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/tasks", timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError):
            assert flower.poll() is None, world.log()
            return None

    probes, shown = [], {}

    async def answers():
        """In a thread: the server goes on telling the broker of jobs, however long Flower takes."""
        found = await asyncio.to_thread(tasks)
        shown.update(found or {})
        return found is not None

    async def listens():
        """It answers before it hears of anything."""
        if not probes or await world.all_are("succeeded", probes):
            probes.extend(await enqueue(world, "note", 1))
        await answers()
        return any(shown.get(job_id, {}).get("name") for job_id in probes)

    await until(answers)
    await until(listens)
    ids = {"SUCCESS": await enqueue(world, "note", 1), "FAILURE": await enqueue(world, "fail", 1)}

    async def seen():
        await answers()
        asked = [shown.get(job_id, {}) for (job_id,) in ids.values()]
        return [(each.get("name"), each.get("state")) for each in asked] == [
            ("note", "SUCCESS"),
            ("fail", "FAILURE"),
        ]

    # A worker sends its events in parts: the name may come after the state.
    await until(seen, lambda: f"{shown}")
    assert ids["SUCCESS"][0] in shown[ids["SUCCESS"][0]]["args"]
    assert "validation" in shown[ids["FAILURE"][0]]["exception"]
