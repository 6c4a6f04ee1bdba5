"""From a URL to a driver: `sqlite:///path`, `postgresql://...`, or nothing at all."""

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.stores.config import Config
from holdfast.stores.driver import Driver

__all__ = ["Config", "Driver", "open_sql"]

DEFAULT_FILE = "holdfast.db"
_SQLITE = {"sqlite"}
_POSTGRES = {"postgresql", "postgres", "postgresql+asyncpg"}
_LATER = {"redis", "rediss", "valkey", "valkeys"}
"""Belong in the list already, though no room uses them yet; `state()` reports them as unused."""


def open_sql(url: str | None, data_dir: Path, clock: Clock, config: Config | None = None) -> Driver:
    """The driver for `url`, not yet started; None or empty gives `<data_dir>/holdfast.db`.

    `url` may list several stores, separated by commas; exactly one may be a database. A relative
    SQLite path is relative to the working directory; `sqlite://` alone lives in memory.
    Raises Misconfigured for an unknown scheme, two databases, or a driver that is not installed.
    """
    config = config or Config()
    urls = [part for part in re.split(r"\s*,\s*(?=[a-z][a-z0-9+]*://)", (url or "").strip()) if part]
    databases = [part for part in urls if _scheme(part) in _SQLITE | _POSTGRES]
    unused = [_masked(part) for part in urls if _scheme(part) in _LATER]
    for part in urls:
        if _scheme(part) not in _SQLITE | _POSTGRES | _LATER:
            raise Misconfigured(
                f"no store is known for {_masked(part)}",
                hint="use sqlite:///path/to/file.db or postgresql://user:password@host/database",
            )
    if len(databases) > 1:
        raise Misconfigured(
            "the store URL names two databases", hint="keep one; the other may be redis://..."
        )
    if databases and _scheme(databases[0]) in _POSTGRES:
        return _postgres(databases[0], clock, config, unused)
    from holdfast.stores.sqlite import SqliteSql

    return SqliteSql(_path(databases[0]) if databases else data_dir / DEFAULT_FILE, config, clock, unused)


def _postgres(url: str, clock: Clock, config: Config, unused: list[str]) -> Driver:
    missing = [name for name in ("asyncpg", "greenlet") if find_spec(name) is None]
    if missing:
        raise Misconfigured(
            f"PostgreSQL needs {' and '.join(missing)}", hint="pip install 'holdfast[postgres]'"
        )
    from holdfast.stores.postgres import PostgresSql

    return PostgresSql("postgresql" + url[url.index(":") :], config, clock, unused)


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
