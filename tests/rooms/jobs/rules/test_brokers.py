"""Which broker carries the ids."""

import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.jobs.rules.brokers import broker_of


@pytest.mark.parametrize(
    ("broker", "stores", "found"),
    [
        ("redis://cache:6379/2", "", "redis://cache:6379/2"),
        ("rediss://u:p@cache/0", "", "rediss://u:p@cache/0"),
        ("valkey://cache", "", "redis://cache"),
        ("valkeys://cache", "", "rediss://cache"),
        ("amqp://guest:guest@rabbit//", "", "amqp://guest:guest@rabbit//"),
        ("amqps://rabbit/jobs", "postgresql://db/shop", "amqps://rabbit/jobs"),
        ("", "postgresql://db/shop, redis://cache/1", "redis://cache/1"),
        ("", "valkey://cache/1,postgresql://db/shop", "redis://cache/1"),
        (" amqp://rabbit ", "redis://cache", "amqp://rabbit"),
    ],
)
def test_the_one_that_is_set_else_the_redis_among_the_stores(broker, stores, found):
    assert broker_of(broker, stores) == found


@pytest.mark.parametrize(
    ("broker", "stores"),
    [("", ""), ("", "postgresql://db/shop"), ("kafka://k", ""), ("redis+cluster://a,b", ""), ("sqs://", "")],
)
def test_others_are_refused_with_what_to_set(broker, stores):
    with pytest.raises(Misconfigured) as caught:
        broker_of(broker, stores)
    assert "redis://" in caught.value.hint
