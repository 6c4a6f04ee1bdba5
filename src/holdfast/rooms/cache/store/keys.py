"""Names in the shared store: each carries the schema's version, and what one script touches has one slot.

    <namespace>:cache1:v:{=key}   a value            l: its lease            d: when it was invalidated last
    <namespace>:cache1:t:{=tag}   a tag's marker
    <namespace>:cache1:wide       the markers of prefixes and of everything, a sorted set by stamp
    <namespace>:cache1:said       the channel

Long names, and names with braces (which would cut the hash tag short), are replaced by their digest
(`{#...}`); the whole key stands in the value and is compared when it is read.
"""

import hashlib

from holdfast.kernel.errors import Misconfigured

SCHEMA = 1
"""Of keys, values and messages: a release that changes one counts it up, and the two never meet."""

_LONGEST_NAME_BYTES = 200


def raw(name: str) -> bytes:
    """Any str as bytes, lone surrogates too: a key is never refused for its letters."""
    return name.encode("utf-8", "surrogatepass")


def text(name: bytes) -> str:
    """What `raw` was given."""
    return name.decode("utf-8", "surrogatepass")


class Keys:
    """The names of one namespace."""

    __slots__ = ("_lease", "_tag", "_tomb", "_value", "channel", "wide")

    def __init__(self, namespace: str) -> None:
        if "{" in namespace or "}" in namespace:
            raise Misconfigured(
                f"the namespace {namespace!r} holds a brace",
                hint="choose a name without braces: they steer where a cluster puts keys",
            )
        root = raw(f"{namespace}:cache{SCHEMA}:")
        self._value = root + b"v:{"
        self._lease = root + b"l:{"
        self._tomb = root + b"d:{"
        self._tag = root + b"t:{"
        self.wide = root + b"wide"
        self.channel = (root + b"said").decode("utf-8", "replace")

    def value(self, key: str) -> bytes:
        return b"%b%b}" % (self._value, _tail(key))

    def lease(self, key: str) -> bytes:
        return b"%b%b}" % (self._lease, _tail(key))

    def tag(self, tag: str) -> bytes:
        return b"%b%b}" % (self._tag, _tail(tag))

    def trio(self, key: str) -> tuple[bytes, bytes, bytes]:
        """Value, lease and tombstone, in one slot."""
        tail = _tail(key) + b"}"
        return self._value + tail, self._lease + tail, self._tomb + tail


def _tail(name: str) -> bytes:
    encoded = raw(name)
    if len(encoded) > _LONGEST_NAME_BYTES or b"{" in encoded or b"}" in encoded:
        return b"#" + hashlib.blake2b(encoded, digest_size=20).hexdigest().encode()
    return b"=" + encoded
