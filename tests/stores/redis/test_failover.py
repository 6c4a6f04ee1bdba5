"""Masters that die or move, behind Sentinel and in a cluster: calls and subscriptions follow."""

import asyncio

import hiredis
import pytest

from holdfast.ports.shared import Script, SharedDown, SharedRefused
from holdfast.stores.redis.client import RedisShared
from tests.shared_servers import ValkeyCluster, ValkeySentinel, ValkeyServer
from tests.stores.redis.conftest import PATIENT, Open
from tests.stores.redis.proxy import Ears
from tests.waiting import until, wait_until

QUICK = {"budget_ms": 100.0, "heartbeat_s": 0.2, "connect_timeout_s": 0.5}
ADD = Script("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def eventually(shared: RedisShared, *command: str) -> object:
    """The reply, as soon as the store gives one."""
    while True:
        try:
            return await shared.call(*command)
        except SharedDown:
            await asyncio.sleep(0)


async def fails(shared: RedisShared, *command: str) -> None:
    """Returns as soon as the store gives no reply."""
    while True:
        try:
            await shared.call(*command)
        except SharedDown:
            return


async def hears(shared: RedisShared, ears: Ears) -> None:
    """What is published now is heard."""
    await until(lambda: ears.told and ears.told[-1] != "cut off")
    for turn in range(1_000_000):
        said = f"turn {turn}".encode()
        try:
            await shared.call("PUBLISH", "c", said)
        except SharedDown:
            await asyncio.sleep(0)
            continue
        if said in ears.told:
            return


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_sentinel_names_another_master(
    redis_sentinel: ValkeySentinel, open_driver: Open, how: str
) -> None:
    shared, ears = await open_driver(redis_sentinel.url, **QUICK), Ears()
    shared.subscribe("c", ears)
    await hears(shared, ears)
    assert await eventually(shared, "SET", "key", "before") == b"OK"
    first, second = redis_sentinel.master, redis_sentinel.replica
    assert shared.state()["nodes"][0]["node"] == first.address
    getattr(first, how)()
    await until(lambda: not shared.is_up)
    await until(lambda: shared.is_up)
    assert await eventually(shared, "SET", "key", "after") == b"OK"
    assert shared.state()["nodes"][0]["node"] == second.address
    assert second.ask("GET", "key") == b"after"
    await hears(shared, ears)
    assert "cut off" in ears.told


async def test_a_demoted_master_is_left(redis_sentinel: ValkeySentinel, open_driver: Open) -> None:
    shared = await open_driver(redis_sentinel.url, **QUICK)
    second = redis_sentinel.replica
    failover = ("SENTINEL", "FAILOVER", "mymaster")
    # On a busy machine a sentinel doubts the replica for a moment.
    wait_until(lambda: redis_sentinel.sentinels[0].ask(*failover), despite=(hiredis.ReplyError,))
    await until(lambda: shared.state()["nodes"][0]["node"] == second.address)
    assert await eventually(shared, "SET", "key", "x") == b"OK"


async def test_one_dead_sentinel_of_three_is_enough_to_go_on(
    redis_sentinel: ValkeySentinel, open_driver: Open
) -> None:
    redis_sentinel.sentinels[0].pause()
    shared = await open_driver(redis_sentinel.url, **PATIENT)
    assert await shared.call("SET", "key", "x") == b"OK"


async def test_a_master_that_no_sentinel_knows_is_named(
    redis_sentinel: ValkeySentinel, open_driver: Open
) -> None:
    shared = await open_driver(redis_sentinel.url.replace("mymaster", "주인"), **PATIENT)
    assert "knows no master 주인" in shared.state()["problem"]


async def test_a_dead_master_of_a_cluster_is_replaced_and_the_others_serve_on(
    own_redis_cluster: ValkeyCluster, open_driver: Open
) -> None:
    shared, ears = await open_driver(own_redis_cluster.url, **QUICK), Ears()
    shared.subscribe("c", ears)
    await hears(shared, ears)
    keys = {own_redis_cluster.owner(f"k{i}"): f"k{i}" for i in range(30)}
    dead, alive = own_redis_cluster.masters[0], own_redis_cluster.masters[1]
    dead.kill()
    await fails(shared, "SET", keys[dead], "x")
    assert shared.is_up
    assert await eventually(shared, "SET", keys[alive], "x") == b"OK"
    assert await eventually(shared, "SET", keys[dead], "after") == b"OK"
    assert own_redis_cluster.replica.ask("GET", keys[dead]) == b"after"
    assert dead.address not in [node["node"] for node in shared.state()["nodes"]]
    await hears(shared, ears)


class Migration:
    """One slot on its way from a master to another."""

    def __init__(self, cluster: ValkeyCluster, key: str) -> None:
        self.source = cluster.owner(key)
        self.target = next(node for node in cluster.masters if node is not self.source)
        self.slot = self.source.ask("CLUSTER", "KEYSLOT", key)
        self._cluster = cluster
        self._ids = {node: node.ask("CLUSTER", "MYID") for node in cluster.masters}

    def begin(self) -> None:
        self._set(self.target, "IMPORTING", self._ids[self.source])
        self._set(self.source, "MIGRATING", self._ids[self.target])

    def finish(self, at: ValkeyServer | None = None) -> None:
        owner = at or self.target
        for node in (owner, *self._cluster.masters):
            self._set(node, "NODE", self._ids[owner])

    def _set(self, node: ValkeyServer, state: str, who: bytes) -> None:
        node.ask("CLUSTER", "SETSLOT", self.slot, state, who)


async def test_a_slot_that_moves_is_followed(redis_cluster: ValkeyCluster, open_driver: Open) -> None:
    redis_cluster.empty()
    shared = await open_driver(redis_cluster.url, **PATIENT)
    migration = Migration(redis_cluster, "{옮김}")
    await shared.call("SET", "{옮김}stays", "source")
    migration.begin()
    # ASK: what the source does not have any more is asked of the target, with ASKING before it.
    assert await shared.call("SET", "{옮김}new", "target") == b"OK"
    assert await shared.many([("GET", "{옮김}stays"), ("GET", "{옮김}new")]) == [b"source", b"target"]
    assert await asyncio.gather(*(shared.script(ADD, ["{옮김}sum"], [1]) for _ in range(20))) == list(
        range(1, 21)
    )
    migration.source.ask("DEL", "{옮김}stays")
    migration.finish()
    # MOVED: the map is corrected, and read again.
    assert await shared.many([("GET", "{옮김}new"), ("GET", "{옮김}sum")]) == [b"target", b"20"]
    migration.target.ask("DEL", "{옮김}new", "{옮김}sum")
    migration.finish(migration.source)
    assert await shared.call("GET", "{옮김}new") is None


async def test_keys_of_two_slots_in_one_script_are_refused(
    redis_cluster: ValkeyCluster, open_driver: Open
) -> None:
    shared = await open_driver(redis_cluster.url, **PATIENT)
    with pytest.raises(SharedRefused, match="CROSSSLOT"):
        await shared.script(ADD, ["a", "b"], [1])


async def test_keys_that_stay_apart_are_tried_again_within_the_budget(
    redis_cluster: ValkeyCluster, open_driver: Open
) -> None:
    """TRYAGAIN: two keys of a slot on the move, one here and one there."""
    redis_cluster.empty()
    shared = await open_driver(redis_cluster.url, **PATIENT)
    migration = Migration(redis_cluster, "{둘}")
    await shared.call("SET", "{둘}a", "1")
    migration.begin()
    try:
        with pytest.raises(SharedDown, match="TRYAGAIN"):
            await shared.call("MGET", "{둘}a", "{둘}b")
    finally:
        migration.source.ask("DEL", "{둘}a")
        migration.finish(migration.source)
    assert await shared.call("MGET", "{둘}a", "{둘}b") == [None, None]


async def test_a_node_of_a_cluster_is_not_a_standalone_server(
    redis_cluster: ValkeyCluster, open_driver: Open
) -> None:
    shared = await open_driver(redis_cluster.masters[0].url, **PATIENT)
    with pytest.raises(SharedDown, match=r"redis\+cluster"):
        await shared.many([("GET", f"k{i}") for i in range(30)])  # one of them lives elsewhere
