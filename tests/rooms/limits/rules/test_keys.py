"""Which address is counted."""

import pytest

from holdfast.rooms.limits.rules.keys import NOBODY, by_address, network


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not:an:address", "not:an:address"),
        ("testclient", "testclient"),
    ],
)
def test_ipv6_is_counted_by_its_network(address, counted):
    assert network(address) == counted


def test_a_caller_without_an_address_shares_one_count():
    assert by_address("") == NOBODY
    assert by_address("192.0.2.1") == "ip:192.0.2.1"
