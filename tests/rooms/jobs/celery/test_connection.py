"""What a worker's connection does when its Redis goes away, and what others hear over one."""

from contextlib import suppress

import pytest

from holdfast.rooms.jobs.celery.app import make_app, queue_of
from holdfast.rooms.jobs.celery.broker import Broker
from holdfast.rooms.jobs.rules.publishing import Told


@pytest.fixture
def waiting(own_redis):
    """A connection that holds a message and waits for more on two channels, its Redis killed meanwhile."""
    app = make_app(own_redis.url, ["ai", "rag"])
    connection = app.connection_for_read()
    got = []
    for channel, name in ((connection.default_channel, "ai"), (connection.channel(), "rag")):
        queue_of(name).bind(channel).declare()
        app.amqp.Consumer(channel, [queue_of(name)], callbacks=[lambda *a: got.append(a)]).consume()
    app.amqp.Producer(connection.default_channel, auto_declare=False).publish({"id": 1}, routing_key="ai")
    while not got:  # and nobody acknowledges it
        connection.drain_events(timeout=30)
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.1)
    own_redis.kill()
    return connection


def test_channels_that_wait_close_wholly_when_their_redis_is_gone(waiting):
    channel = waiting.default_channel
    waiting.collect(socket_timeout=1.0)  # as a worker does that has lost its broker
    assert channel.closed
    waiting.close()  # would raise AttributeError, and end the worker, had it closed by half


def test_its_address_still_names_the_kind_of_broker(own_redis):
    assert make_app(own_redis.url, ["ai"]).connection_for_read().as_uri().startswith("redis://")
    assert make_app("rediss://127.0.0.1/0", ["ai"]).connection_for_read().as_uri().startswith("rediss://")


async def test_the_event_of_its_sending_names_the_job_and_not_the_task(own_redis):
    """It may be heard after those of a fast worker, and the name heard last is the one that is shown."""
    app, heard = make_app(own_redis.url, ["ai"]), []
    broker = Broker(app)
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"task-sent": heard.append})
        with receiver.consumer_context(wakeup=False) as (listening, *_):
            while not heard:  # it listens only from its first look on
                assert (await broker.publish([Told("job-1", "요약", "ai", 1)])).failure is None
                with suppress(TimeoutError):
                    listening.drain_events(timeout=0.2)
    assert {(event["uuid"], event["name"]) for event in heard} == {("job-1", "요약")}
    await broker.close()
