"""From a URL to its drivers: `sqlite:///path` or `postgresql://...`, and `redis://...` for what is shared."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.ports.presence import Bell, Presence
from holdfast.stores.config import Config
from holdfast.stores.driver import Driver
from holdfast.stores.redis.address import is_shared, read_url
from holdfast.stores.redis.config import Config as SharedConfig

if TYPE_CHECKING:
    from holdfast.stores.redis.client import RedisShared

__all__ = ["Config", "Driver", "Signals", "is_postgres", "open_shared", "open_signals", "open_sql"]

DEFAULT_FILE = "holdfast.db"
_SQLITE = {"sqlite"}
_POSTGRES = {"postgresql", "postgres", "postgresql+asyncpg"}
_BETWEEN = re.compile(r"\s*,\s*(?=[a-zA-Z][a-zA-Z0-9+]*://)")
"""The comma between two stores; one between the hosts of a store has no scheme after it."""


def open_sql(
    url: str | None,
    data_dir: Path,
    clock: Clock,
    config: Config | None = None,
    default_file: str = DEFAULT_FILE,
) -> Driver:
    """The driver for `url`, not yet started; None or empty gives `<data_dir>/<default_file>`.

    `url` may list several stores, separated by commas; exactly one may be a database. A relative
    SQLite path is relative to the working directory; `sqlite://` alone lives in memory.
    Raises Misconfigured for an unknown scheme, two databases, or a driver that is not installed.
    """
    config = config or Config()
    database = _database(url)
    if _scheme(database) in _POSTGRES:
        return _postgres(database, clock, config)
    from holdfast.stores.sqlite import SqliteSql

    return SqliteSql(_path(database) if database else data_dir / default_file, config, clock)


class Signals(NamedTuple):
    """Who is alive and who has news, for everyone on one database."""

    presence: Presence
    bell: Bell


def open_signals(url: str | None, data_dir: Path, clock: Clock, default_file: str = DEFAULT_FILE) -> Signals:
    """Presence and bell that fit the database that `open_sql` gives for the same `url`; close both.

    SQLite: lock files in `alive` and sockets in `<file>-bells` beside the database file, and a look at it
    every 5 ms, 25 when nothing happens. PostgreSQL: one connection of their own, which must reach the server
    itself and not a pooler.
    """
    database = _database(url)
    if _scheme(database) in _POSTGRES:
        from holdfast.stores.postgres_bell import PostgresBell
        from holdfast.stores.postgres_presence import PostgresPresence
        from holdfast.stores.postgres_standing import Standing

        standing = Standing(_asyncpg_url(database))
        return Signals(PostgresPresence(standing, clock), PostgresBell(standing))
    from holdfast.stores.sqlite_bell import SqliteBell
    from holdfast.stores.sqlite_presence import SqlitePresence

    path = _path(database) if database else data_dir / default_file
    folder = path.parent if path is not None else data_dir
    return Signals(SqlitePresence(folder / "alive"), SqliteBell(path))


def is_postgres(url: str | None) -> bool:
    """Whether the database that `url` names is PostgreSQL."""
    return _scheme(_database(url)) in _POSTGRES


def _database(url: str | None) -> str:
    """The one database that `url` names, or nothing; raises Misconfigured for two."""
    databases = [part for part in _stores(url) if _scheme(part) in _SQLITE | _POSTGRES]
    if len(databases) > 1:
        raise Misconfigured(
            "the store URL names two databases", hint="keep one; the other may be redis://..."
        )
    return databases[0] if databases else ""


def _asyncpg_url(url: str) -> str:
    return "postgresql" + url[url.index(":") :]


def _postgres(url: str, clock: Clock, config: Config) -> Driver:
    missing = [name for name in ("asyncpg", "greenlet") if find_spec(name) is None]
    if missing:
        raise Misconfigured(
            f"PostgreSQL needs {' and '.join(missing)}", hint="pip install 'holdfast[postgres]'"
        )
    from holdfast.stores.postgres import PostgresSql

    return PostgresSql(_asyncpg_url(url), config, clock)


def open_shared(url: str | None, clock: Clock, config: SharedConfig | None = None) -> "RedisShared | None":
    """The driver for the shared store that `url` names, not yet started; None where it names none.

    Of the stores in `url`, separated by commas, one may be Redis or Valkey; the commas between the
    hosts of one store are its own. Raises Misconfigured for two of them, a URL that means nothing,
    or a missing hiredis.
    """
    found = [part for part in _stores(url) if is_shared(_scheme(part))]
    if not found:
        return None
    if len(found) > 1:
        raise Misconfigured(
            "the store URL names two shared stores",
            hint="keep one; several hosts of one stand in one URL: redis+cluster://host:6379,host:6379",
        )
    read_url(found[0])
    if find_spec("hiredis") is None:
        raise Misconfigured("Redis and Valkey need hiredis", hint="pip install 'holdfast[redis]'")
    from holdfast.stores.redis.client import RedisShared

    return RedisShared(found[0], config or SharedConfig(), clock)


def _stores(url: str | None) -> list[str]:
    """Each store's URL; raises Misconfigured for one that nobody knows."""
    urls = [part for part in _BETWEEN.split((url or "").strip()) if part]
    for part in urls:
        if _scheme(part) not in _SQLITE | _POSTGRES and not is_shared(_scheme(part)):
            raise Misconfigured(
                f"no store is known for {_masked(part)}",
                hint="use sqlite:///path/to/file.db, postgresql://user:password@host/database or redis://host",
            )
    return urls


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower() if "://" in url else ""


def _masked(url: str) -> str:
    return re.sub(r"(?<=://)[^@/]*@", "***@", url)


def _path(url: str) -> Path | None:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc:
        raise Misconfigured(
            f"{url} names a host", hint="SQLite is a file: sqlite:///relative or sqlite:////absolute"
        )
    return None if path in ("", "/", "/:memory:") else Path(path[1:])
