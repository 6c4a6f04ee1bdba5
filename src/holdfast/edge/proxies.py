"""Whose address it really is: `X-Forwarded-For` is believed only as far as trusted proxies wrote it."""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

UNIX = "unix"
"""Stands for a peer on a Unix socket, which has no address."""

_MEMO_ENTRIES = 1024
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+").fullmatch


class Networks:
    """A set of addresses: `"10.1.2.3" in Networks(["10.0.0.0/8"])`. Raises ValueError for a bad network."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._unix = UNIX in networks
        self._networks = tuple(ip_network(each, strict=False) for each in networks if each != UNIX)
        self._memo: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, address: str) -> bool:
        known = self._memo.get(address)
        if known is None:
            known = self._holds(address)
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[address] = known
        return known

    def _holds(self, address: str) -> bool:
        if not address:
            return self._unix
        found = _parse(address)
        return found is not None and any(found in network for network in self._networks)


def peer_address(scope: Mapping[str, Any]) -> str:
    """The address at the other end of the connection; empty for a Unix socket."""
    client = scope.get("client")
    return client[0] or "" if client else ""


def client_ip(scope: Mapping[str, Any], trusted: Networks) -> str:
    """The caller's address: the right-most hop that is not one of our proxies.

    Walks from the connection's peer leftwards through `X-Forwarded-For`. Everything left of the first
    hop that is not trusted, or cannot be read, was written by somebody we do not know.
    """
    peer = peer_address(scope)
    if not trusted or peer not in trusted:
        return peer
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if not forwarded:
        return peer
    found = peer
    for hop in reversed(b",".join(forwarded).decode("latin-1").split(",")):
        address = _parse(hop.strip())
        if address is None:
            break
        found = str(address)
        if found not in trusted:
            break
    return found


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: with or without port, IPv4 inside IPv6 taken out."""
    with_port = _WITH_PORT(text)
    if with_port is not None:
        text = with_port[1] or with_port[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
