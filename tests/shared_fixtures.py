"""Fixtures for every suite: real Valkey or Redis servers, and an empty database in one for each test."""

from collections.abc import Iterator
from itertools import count
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest

from tests.servers import running
from tests.shared_servers import PATIENT_MS, ValkeyCluster, ValkeySentinel, ValkeyServer, ask, given_url

_numbers = count()
_DATABASES = 512


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server for the whole run: HOLDFAST_TEST_REDIS_URL, or one of our own. Not to be killed."""
    if given := given_url():
        yield given
        return
    with running(ValkeyServer()) as server:
        yield server.url


@pytest.fixture
def redis_database(redis_url: str) -> str:
    """The URL of an emptied database for one test; channels are shared by all databases of a server."""
    parts = urlsplit(redis_url)
    number = int(parts.path.strip("/") or 0) if given_url() else next(_numbers) % _DATABASES
    before = [("SELECT", number)]
    if parts.password:
        credentials = [unquote(part) for part in (parts.username, parts.password) if part]
        before.insert(0, ("AUTH", *credentials))
    ask(parts.port or 6379, "FLUSHDB", before=before, host=parts.hostname or "127.0.0.1")
    return urlunsplit(parts._replace(path=f"/{number}"))


@pytest.fixture
def own_redis() -> Iterator[ValkeyServer]:
    """A server that the test may kill, pause and start again."""
    with running(ValkeyServer()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[ValkeyCluster]:
    """Three masters and a replica for the whole run; `empty()` it. Not to be killed."""
    with running(ValkeyCluster(PATIENT_MS)) as cluster:
        yield cluster


@pytest.fixture
def own_redis_cluster() -> Iterator[ValkeyCluster]:
    """A cluster whose nodes the test may kill."""
    with running(ValkeyCluster()) as cluster:
        yield cluster


@pytest.fixture
def redis_sentinel() -> Iterator[ValkeySentinel]:
    """A master, a replica and three sentinels that the test may kill."""
    with running(ValkeySentinel()) as group:
        yield group
