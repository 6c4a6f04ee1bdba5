"""What the cache asks of the shared store: each call one round trip, keys and arguments filled in."""

import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any

from holdfast.ports.shared import Shared
from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, PREFIX, TAG, Marker
from holdfast.rooms.cache.store import scripts
from holdfast.rooms.cache.store.keys import Keys, raw, text
from holdfast.rooms.cache.store.wire import encode_message

MOST_PREFIXES = 1024
"""Markers of prefixes that the shared store keeps apart; the older half of more is kept as one."""

Found = bytes | int | list[Any]


class SharedCalls:
    """The commands and scripts of the second tier, over one Shared. Raises SharedDown and SharedRefused."""

    def __init__(
        self, shared: Shared, *, namespace: str, node_id: str, lease_ms: int, tomb_ms: int, life_ms: int
    ) -> None:
        self._shared = shared
        self._keys = Keys(namespace)
        self._node_id = node_id
        self._lease_ms = lease_ms
        self._tomb_ms = tomb_ms
        self._life_ms = life_ms
        self.channel = self._keys.channel

    def get(self, keys: Sequence[str]) -> Awaitable[list[Any]]:
        """The values as they are: bytes, None, or SharedRefused."""
        return self._shared.many([("GET", self._keys.value(key)) for key in keys])

    def get_tags(self, tags: Sequence[str]) -> Awaitable[list[Any]]:
        """The stamps of the tags' markers, as digits."""
        return self._shared.many([("GET", self._keys.tag(tag)) for tag in tags])

    def claim(self, key: str, token: str, floor: int, skew_us: int, refresh: bool) -> Awaitable[Found]:
        """The value born after `floor`; or for how many ms another holds the lease; or [born, poisoned]."""
        arguments = (token, floor, self._lease_ms, skew_us, b"1" if refresh else b"0")
        return self._shared.script(scripts.CLAIM, self._keys.trio(key), arguments)

    def store(self, key: str, token: str, blob: bytes, born: int, life_ms: int) -> Awaitable[int]:
        """1 stored; 0 the lease has passed on; -1 something newer stands. An empty token: without a lease."""
        arguments = (token, blob, life_ms, born, self.channel, encode_message(self._node_id, "", key))
        return self._shared.script(scripts.STORE, self._keys.trio(key), arguments)

    def give_back(self, key: str, token: str) -> Awaitable[int]:
        arguments = (token, self.channel, encode_message(self._node_id, "", key))
        return self._shared.script(scripts.GIVE_BACK, (self._keys.lease(key),), arguments)

    def renew(self, key: str, token: str, born: int) -> Awaitable[int]:
        """1: the lease is still ours, for its full time from now."""
        return self._shared.script(scripts.RENEW, self._keys.trio(key), (token, self._lease_ms, born))

    def is_leased(self, key: str) -> Awaitable[int]:
        return self._shared.call("EXISTS", self._keys.lease(key))

    def discard(self, key: str, blob: object) -> Awaitable[int]:
        """Delete the value if it is still these bytes (or no text at all)."""
        digest = hashlib.sha1(blob if isinstance(blob, bytes) else b"", usedforsecurity=False).hexdigest()
        return self._shared.script(scripts.DISCARD, (self._keys.value(key),), (digest,))

    def mark(self, marker: Marker, *, live: bool) -> Awaitable[bytes]:
        """Make it last; the stamp that stands, as digits.

        `live`: the stamp is raised to the server's clock, so that no load which the server has let begin
        before this call escapes. Otherwise the marker keeps its own.
        """
        message = encode_message(self._node_id, marker.scope, marker.name)
        flag = b"1" if live else b"0"
        if marker.scope == KEY:
            arguments: tuple[Any, ...] = (marker.stamp, flag, self._tomb_ms, self.channel, message)
            return self._shared.script(scripts.MARK_KEY, self._keys.trio(marker.name), arguments)
        arguments = (marker.stamp, flag, self._life_ms, self.channel, message)
        if marker.scope == TAG:
            return self._shared.script(scripts.MARK_TAG, (self._keys.tag(marker.name),), arguments)
        member = b"a" if marker.scope == EVERYTHING else b"p" + raw(marker.name)
        return self._shared.script(scripts.MARK_WIDE, (self._keys.wide,), (*arguments, member, MOST_PREFIXES))

    async def read_wide(self) -> list[Marker]:
        """The markers of prefixes and of everything."""
        found = await self._shared.script(scripts.READ_WIDE, (self._keys.wide,))
        markers = []
        for member, stamp in zip(found[::2], found[1::2], strict=True):
            scope = EVERYTHING if member == b"a" else PREFIX
            markers.append(Marker(scope, text(member[1:]), int(stamp)))
        return markers
