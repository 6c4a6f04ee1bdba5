"""Every form of URL, taken apart."""

import pytest

from holdfast.stores.redis.address import Address, Target, is_shared, read_url

ONE = (Address("cache", 6379),)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://cache", Target("standalone", ONE)),
        ("valkey://cache:6379/", Target("standalone", ONE)),
        ("redis://", Target("standalone", (Address("localhost", 6379),))),
        ("rediss://cache/2", Target("standalone", ONE, tls=True, database=2)),
        ("valkeys://cache", Target("standalone", ONE, tls=True)),
        ("redis://:p%40ss%2F@cache", Target("standalone", ONE, password="p@ss/")),
        ("redis://shop:p:q@cache", Target("standalone", ONE, username="shop", password="p:q")),
        ("redis://[2001:db8::1]:7000", Target("standalone", (Address("2001:db8::1", 7000),))),
        (
            "redis+unix:///run/a%20b.sock?db=4",
            Target("standalone", (Address("", 0, "/run/a b.sock"),), database=4),
        ),
        (
            "valkey+unix://u:p@/run/x",
            Target("standalone", (Address("", 0, "/run/x"),), username="u", password="p"),
        ),
        (
            "rediss+sentinel://:pw@one, two:7/주인/3",
            Target(
                "sentinel",
                (Address("one", 26379), Address("two", 7)),
                tls=True,
                password="pw",
                master="주인",
                database=3,
            ),
        ),
        ("REDIS+CLUSTER://cache,[::1]:7", Target("cluster", (*ONE, Address("::1", 7)))),
        ("valkeys+cluster://cache/0", Target("cluster", ONE, tls=True)),
    ],
)
def test_a_url_is_taken_apart(url: str, target: Target) -> None:
    assert read_url(url) == target


@pytest.mark.parametrize("scheme", ["http", "redisx", "redis+tcp", "valkey+", "", "postgresql"])
def test_other_schemes_are_not_ours(scheme: str) -> None:
    assert not is_shared(scheme)


def test_addresses_read_back_as_they_are_written() -> None:
    for text in ("cache:6379", "[::1]:7"):
        (address,) = read_url(f"redis://{text}").addresses
        assert str(address) == text
    assert str(Address("", 0, "/run/x")) == "/run/x"
