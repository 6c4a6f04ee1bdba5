"""Ways to a server: TLS, unix sockets, credentials from the settings."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.kernel.config import Secret
from holdfast.kernel.errors import Misconfigured
from holdfast.ports.shared import Script, SharedDown, SharedRefused
from holdfast.stores.redis.client import RedisShared
from holdfast.stores.redis.config import Config
from tests.shared_servers import ValkeyServer
from tests.stores.redis.conftest import PATIENT, Open
from tests.stores.redis.proxy import Ears
from tests.stores.redis.tls import TlsFront
from tests.waiting import until, wait_until


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own for localhost, its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]
    command += ["/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", f"{path}.key", "-out", path], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.key").read_bytes())
    return path


@pytest.fixture
def socket_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer("--unixsocket", str(tmp_path / "저장소.sock"))
    try:
        server.start()
        wait_until((tmp_path / "저장소.sock").exists, "the socket is there")
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
async def test_over_tls(own_redis: ValkeyServer, open_driver: Open, certificate: Path, scheme: str) -> None:
    async with TlsFront(own_redis.port, certificate) as front:
        url, ears = f"{scheme}://localhost:{front.port}/1", Ears()
        shared = await open_driver(url, tls_ca_file=str(certificate), **PATIENT)
        shared.subscribe("c", ears)
        value = b"x" * 3_000_000
        assert await shared.call("SET", "key", value) == b"OK"
        assert await shared.call("GET", "key") == value
        await until(lambda: ears.told == ["joined"])
        await shared.stop()


async def test_a_certificate_nobody_signed_is_refused_and_said(
    own_redis: ValkeyServer, open_driver: Open, certificate: Path
) -> None:
    async with TlsFront(own_redis.port, certificate) as front:
        shared = await open_driver(f"rediss://localhost:{front.port}", **PATIENT)
        assert "has no good certificate" in shared.state()["problem"]
        blind = await open_driver(f"rediss://localhost:{front.port}", tls_verify=False, **PATIENT)
        assert await blind.call("GET", "key") is None
        await blind.stop()


def test_a_missing_certificate_file_stops_the_start() -> None:
    with pytest.raises(Misconfigured, match="certificates"):
        RedisShared("rediss://localhost", Config(tls_ca_file="/no/such/file.pem"))


async def test_over_a_unix_socket(socket_server: ValkeyServer, open_driver: Open, tmp_path: Path) -> None:
    shared = await open_driver(f"redis+unix://{tmp_path}/저장소.sock?db=3", **PATIENT)
    assert await shared.call("SET", "key", "x") == b"OK"
    assert socket_server.info("keyspace")["db3"].startswith("keys=1")


async def test_a_server_that_greets_and_leaves_is_tried_again(open_driver: Open) -> None:
    accepted = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        await reader.readuntil(b"PING\r\n")
        writer.write(b"%1\r\n+proto\r\n:3\r\n+PONG\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    shared = await open_driver(f"redis://127.0.0.1:{port}", **PATIENT)
    await until(lambda: accepted >= 4)
    await until(lambda: not shared.is_up)
    with pytest.raises(SharedDown):
        await shared.call("GET", "key")
    server.close()


async def test_a_server_older_than_the_protocol_is_named(open_driver: Open) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        writer.write(b"-ERR unknown command 'HELLO'\r\n+PONG\r\n")

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    shared = await open_driver(f"redis://127.0.0.1:{port}", **PATIENT)
    assert "Redis 6" in shared.state()["problem"]
    server.close()


async def test_credentials_and_name_come_from_the_settings(
    own_redis: ValkeyServer, open_driver: Open
) -> None:
    own_redis.ask("ACL", "SETUSER", "가게", "on", ">비밀", "~*", "&*", "+@all")
    own_redis.ask("CONFIG", "SET", "requirepass", "other")
    own_redis.password = "other"
    settings = {"username": "가게", "password": Secret("비밀"), "client_name": "shop-1"}
    shared = await open_driver(own_redis.url, **settings, **PATIENT)
    assert await shared.call("ACL", "WHOAMI") == "가게".encode()
    assert b"name=shop-1" in own_redis.ask("CLIENT", "LIST")
    assert "비밀" not in str(shared.state())


async def test_the_permissions_in_the_documentation_are_enough(
    own_redis: ValkeyServer, open_driver: Open
) -> None:
    given = "+hello +select +ping +time +subscribe +unsubscribe +publish +evalsha +eval +get ~hf:* &hf:*"
    own_redis.ask("ACL", "SETUSER", "shop", "reset", "on", ">pw", *given.split())
    shared, ears = await open_driver(own_redis.url.replace("//", "//shop:pw@") + "1", **PATIENT), Ears()
    shared.subscribe("hf:c", ears)
    await until(lambda: ears.told == ["joined"])
    script = Script("get", "return redis.call('GET', KEYS[1])")
    assert await shared.script(script, ["hf:key"]) is None
    assert await shared.call("PUBLISH", "hf:c", "x") == 1
    await until(lambda: shared.state()["round_trip_ms"] is not None)
    with pytest.raises(SharedRefused, match="NOPERM"):
        await shared.call("GET", "other")
    assert shared.is_up
