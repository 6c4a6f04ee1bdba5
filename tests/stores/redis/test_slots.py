"""Where keys lie in a cluster: the published cases, and what a real cluster says."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.stores.redis.slots import slot_of, slot_of_command
from tests.shared_servers import ValkeyCluster, ask

KEYS = st.one_of(
    st.binary(max_size=40), st.lists(st.sampled_from([b"{", b"}", b"a", b""]), max_size=8).map(b"".join)
)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),
        (b"", 0),
        (b"{user1000}.following", slot_of(b"user1000")),
        (b"foo{}{bar}", slot_of(b"foo{}{bar}")),
        (b"foo{{bar}}zap", slot_of(b"{bar")),
        (b"foo{bar}{zap}", slot_of(b"bar")),
    ],
)
def test_the_cases_of_the_specification(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS)
def test_a_cluster_says_the_same(redis_cluster: ValkeyCluster, key: bytes) -> None:
    assert ask(redis_cluster.nodes[0].port, "CLUSTER", "KEYSLOT", key) == slot_of(key)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "상점"), "상점"),
        ((b"get", b"a"), "a"),
        (("GET", 7), "7"),
        (("evalsha", "sha", 2, "k", "l"), "k"),
        (("EVAL", "text", "1", b"k"), "k"),
        (("OBJECT", "ENCODING", "k"), "k"),
        (("EVAL", "text", 0, "argument"), ""),
        (("PING",), ""),
    ],
)
def test_the_key_of_a_command(command: tuple[Any, ...], key: str) -> None:
    assert slot_of_command(command) == slot_of(key.encode())
