"""Who is counted: from what the edge knows of the caller, one word of a fixed form."""

import ipaddress
from functools import lru_cache

NOBODY = "ip:unknown"
"""Who comes over a Unix socket without a proxy that names the caller: all share one count."""


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """The address that is counted: IPv4 as it is, IPv6 by its /64, which is what one customer is given.

    An IPv4 address written inside IPv6 is the IPv4 address; what is no address is taken as it is.

    >>> network("2001:db8:1:2:3:4:5:6"), network("::ffff:192.0.2.1"), network("192.0.2.1")
    ('2001:db8:1:2::/64', '192.0.2.1', '192.0.2.1')
    """
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))


def by_address(address: str) -> str:
    """The identity of a caller that is known by address alone."""
    return f"ip:{network(address)}" if address else NOBODY
