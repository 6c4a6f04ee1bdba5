import sys
from pathlib import Path

import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.stores.config import Config
from holdfast.stores.open import open_shared, open_sql
from holdfast.stores.postgres import PostgresSql
from holdfast.stores.redis.config import Config as SharedConfig
from holdfast.stores.sqlite import SqliteSql


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (None, "data/holdfast.db"),
        ("", "data/holdfast.db"),
        ("redis://cache:6379/0", "data/holdfast.db"),
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////var/lib/shop.db", "/var/lib/shop.db"),
        ("sqlite:///%EC%83%81%EC%A0%90.db", "상점.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
    ],
)
def test_sqlite_urls(url: str | None, path: str | None) -> None:
    driver = open_sql(url, Path("data"), SystemClock())
    assert isinstance(driver, SqliteSql)
    assert driver.path == (None if path is None else Path(path))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:geheim@db:5432/shop",
        "postgres://user:geheim@db:5432/shop",
        "postgresql+asyncpg://user:geheim@db:5432/shop",
        "redis://:geheim@cache, postgresql://user:geheim@db:5432/shop",
        " postgresql://user:geheim@db:5432/shop,valkey://:geheim@cache ",
    ],
)
def test_postgres_urls(url: str) -> None:
    driver = open_sql(url, Path("data"), SystemClock())
    assert isinstance(driver, PostgresSql)
    assert driver._url == "postgresql://user:geheim@db:5432/shop"
    assert "geheim" not in str(driver.state())


def test_several_hosts_are_one_url() -> None:
    driver = open_sql("postgresql://one:5432,two:5432/shop", Path("data"), SystemClock())
    assert driver.state()["database"] == "one:5432,two:5432/shop"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root:geheim@db/shop", r"no store is known for mysql://\*\*\*@db/shop"),
        ("shop.db", "no store is known"),
        ("sqlite:///a.db,postgresql://db/shop", "two databases"),
        ("sqlite://host/a.db", "names a host"),
    ],
)
def test_urls_that_mean_nothing_are_refused_without_their_password(url: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said) as caught:
        open_sql(url, Path("data"), SystemClock())
    assert caught.value.hint
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("redis://cache", ["cache:6379"]),
        ("VALKEY://cache:7000/3", ["cache:7000"]),
        ("sqlite:///shop.db, redis+unix:///run/redis.sock?db=2", ["/run/redis.sock"]),
        ("redis+cluster://one:1,two:2,[::1]:3,postgresql://db/shop", ["one:1", "two:2", "[::1]:3"]),
        ("postgresql://a:1,b:2/shop,valkeys+sentinel://u:geheim@one,two:2/주인/4", ["one:26379", "two:2"]),
    ],
)
def test_shared_urls_stand_beside_the_database(url: str, addresses: list[str]) -> None:
    driver = open_shared(url, SystemClock(), SharedConfig())
    assert driver is not None
    assert driver.state()["addresses"] == addresses
    assert not driver.is_up
    assert "geheim" not in str(driver.state())


@pytest.mark.parametrize("url", [None, "", "sqlite://", "postgresql://one:1,two:2/shop"])
def test_without_a_shared_url_there_is_no_shared_store(url: str | None) -> None:
    assert open_shared(url, SystemClock()) is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://one,redis://two", "two shared stores"),
        ("redis://:geheim@one,valkey+cluster://:geheim@two", "two shared stores"),
        ("redis://:geheim@one,two", "several hosts"),
        ("redis+sentinel://:geheim@one", "master's name is missing"),
        ("redis+cluster://:geheim@one/3", "database 0 only"),
        ("redis://:geheim@one:99999", "not a port"),
        ("redis://:geheim@one:port", "not readable"),
        ("redis://:geheim@one/zero", "not a number"),
        ("redis://:geheim@one/0?retry=7", "option retry is not known"),
        ("redis+unix://:geheim@one/x.sock", "absolute path"),
        ("redis+tls://:geheim@one", "no store is known"),
        ("rredis://:geheim@one", "no store is known"),
    ],
)
def test_shared_urls_that_mean_nothing_are_refused_without_their_password(url: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said) as caught:
        open_shared(url, SystemClock())
    assert caught.value.hint
    assert "geheim" not in caught.value.line()


def test_a_missing_hiredis_names_the_line_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    for name in [name for name in sys.modules if name.partition(".")[0] == "hiredis"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(Misconfigured, match="need hiredis") as caught:
        open_shared("redis://cache", SystemClock())
    assert caught.value.hint == "pip install 'holdfast[redis]'"


def test_a_missing_driver_names_the_line_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    for name in [name for name in sys.modules if name.partition(".")[0] in ("asyncpg", "greenlet")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(Misconfigured, match="PostgreSQL needs asyncpg and greenlet") as caught:
        open_sql("postgresql://db/shop", Path("data"), SystemClock())
    assert caught.value.hint == "pip install 'holdfast[postgres]'"


def test_every_setting_has_a_meaning_and_its_bounds_hold() -> None:
    settings = load_settings({"database": Config}, env={"HOLDFAST_DATABASE_POOL_SIZE": "3"})
    assert settings.section("database", Config).pool_size == 3
    assert all(option.meaning for option in settings.options)
    shared = load_settings({"shared": SharedConfig}, env={"HOLDFAST_SHARED_BUDGET_MS": "20"})
    assert shared.section("shared", SharedConfig).budget_ms == 20.0
    assert all(option.meaning for option in shared.options)
    for key, value in [("pool_size", "0"), ("deadline_s", "0"), ("synchronous", "off; DROP TABLE")]:
        with pytest.raises(Misconfigured, match=key):
            load_settings({"database": Config}, env={f"HOLDFAST_DATABASE_{key.upper()}": value})


def test_another_file_where_no_url_names_one() -> None:
    driver = open_sql("", Path("data"), SystemClock(), Config(synchronous="full"), default_file="jobs.db")
    assert isinstance(driver, SqliteSql)
    assert driver.path == Path("data/jobs.db")
