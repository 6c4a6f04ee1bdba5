"""Which address is believed, hop by hop."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edge.proxies import Networks, client_ip

TRUSTED = Networks(["10.0.0.0/8", "192.168.1.5", "fd00::/8", "unix"])


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    return {"client": None if peer is None else (peer, 4711), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 10.2.3.4,192.168.1.5"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1", "10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
        ("10.0.0.1", ["6.6.6.6, unknown, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:5555"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8::1"], "2001:db8::1"),
        ("10.0.0.1", ["198.51.100.1, ::ffff:10.2.3.4"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::7", ["198.51.100.1"], "198.51.100.1"),
        (None, ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1\xff"], "10.0.0.1"),
    ],
)
def test_the_right_most_hop_that_is_not_ours(peer: str | None, forwarded: list[str], found: str) -> None:
    assert client_ip(scope(peer, *forwarded), TRUSTED) == found


def test_nobody_is_trusted_by_default() -> None:
    assert client_ip(scope("127.0.0.1", "198.51.100.1"), Networks()) == "127.0.0.1"
    assert client_ip(scope(None, "198.51.100.1"), Networks()) == ""
    assert client_ip(scope(None, "198.51.100.1"), Networks(["10.0.0.0/8"])) == ""


@given(st.lists(st.ip_addresses().map(str), max_size=5), st.ip_addresses().map(str))
def test_what_an_untrusted_caller_writes_changes_nothing(forged: list[str], real: str) -> None:
    honest = client_ip(scope("10.0.0.1", real), TRUSTED)
    found = client_ip(scope("10.0.0.1", ", ".join([*forged, real])), TRUSTED)
    assert found == honest or real in TRUSTED


def test_the_memo_stays_bounded() -> None:
    networks = Networks(["10.0.0.0/8"])
    for n in range(3000):
        assert (f"11.0.{n // 256}.{n % 256}" in networks) is False
    assert len(networks._memo) <= 1024


@pytest.mark.parametrize("bad", ["10.0.0.0/99", "proxy.example", ""])
def test_a_bad_network_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="IPv4 or IPv6"):
        Networks([bad])
