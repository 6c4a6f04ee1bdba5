"""Fixtures for every suite: a real PostgreSQL and a fresh database for each test, Valkey or Redis servers."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from tests.brokers import ADVICE, brokers
from tests.servers import PostgresServer, running
from tests.shared_fixtures import own_redis as own_redis
from tests.shared_fixtures import own_redis_cluster as own_redis_cluster
from tests.shared_fixtures import redis_cluster as redis_cluster
from tests.shared_fixtures import redis_database as redis_database
from tests.shared_fixtures import redis_sentinel as redis_sentinel
from tests.shared_fixtures import redis_url as redis_url

# A time limit on an example would judge the machine, which may be busy.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_numbers = count()


def pytest_report_header() -> str:
    """Say what this machine cannot test, before the dots."""
    return "" if "rabbitmq" in brokers() else f"RabbitMQ is not tested, there is none here: {ADVICE}"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL whose user may create databases: HOLDFAST_TEST_POSTGRES_URL, or one of our own."""
    if given := os.environ.get("HOLDFAST_TEST_POSTGRES_URL"):
        yield given
        return
    with running(PostgresServer()) as server:
        yield server.url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database for one test."""
    name = f"holdfast_test_{os.getpid()}_{next(_numbers)}"
    _apart(_execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    _apart(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that the test may kill and start again."""
    with running(PostgresServer()) as server:
        yield server


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _apart(work: Coroutine[Any, Any, None]) -> None:
    """Run in a thread with a loop of its own, so that sync and async tests can use the fixture alike."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, work).result()
