"""The store on both databases, real ones, and documents to put into it."""

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.rooms.knowledge.rules.stored import Filter, Piece, Upload
from holdfast.rooms.knowledge.store.store import MIGRATIONS, Store
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_sql

NOW = 1_750_000_000_000
ACME = Filter("acme")


@pytest.fixture(params=["sqlite", "postgresql"])
async def sql(request, tmp_path):
    """Both databases, each in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/holdfast.db"
    else:
        url = request.getfixturevalue("postgres_database")
    database = await opened(url, tmp_path)
    yield database
    await database.stop()


@pytest.fixture
async def sqlite(tmp_path):
    database = await opened(f"sqlite:///{tmp_path}/holdfast.db", tmp_path)
    yield database
    await database.stop()


@pytest.fixture
async def store(sql):
    return Store(sql)


async def opened(url, folder):
    database = open_sql(url, folder, SystemClock())
    await database.start()
    await migrate(database, {"knowledge": MIGRATIONS}, SystemClock().wall)
    return database


def upload(name, tenant="acme", tags=(), **more):
    given = {"content_hash": "h", "document_id": f"{tenant}-{name}", **more}
    return Upload(tenant=tenant, name=name, tags=tags, **given)


async def pending(store, name, paragraphs, tenant="acme", tags=(), **more):
    """A version with its text and chunks, one a paragraph, that does not serve yet."""
    version = await store.add_version(upload(name, tenant, tags, **more), NOW)
    text = "\n".join(paragraphs)
    await store.put_text(version.no, text)
    pieces, at = [], 0
    for paragraph in paragraphs:
        pieces.append(Piece(at, at + len(paragraph), paragraph))
        at += len(paragraph) + 1
    await store.put_chunks(version.no, tenant, pieces)
    return version


async def serving(store, name, paragraphs, tenant="acme", tags=(), **more):
    version = await pending(store, name, paragraphs, tenant, tags, **more)
    assert await store.swap(version, NOW)
    return version
