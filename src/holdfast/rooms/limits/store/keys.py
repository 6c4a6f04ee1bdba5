"""The keys of the limits: short, one slot an identity, one key an algorithm."""

import base64
import hashlib
import re

from holdfast.rooms.limits.rules.charge import Limit

PREFIX = b"hfl"
NODES = PREFIX + b":nodes"
"""Sorted set of the nodes that are alive: id -> the server's milliseconds at its last heartbeat."""

LONGEST = 24
"""Bytes of an identity or a name that stand in a key as they are: a longer one costs more than its hash."""

# A letter for each algorithm and version of what it stores; whoever changes a form takes another letter.
# Window yes, quota no: that changes with hour and load, and a count that began anew each time were no limit.
FORMS = {"gcra": b"g", "sliding_window": b"w", "sliding_counter": b"c"}

_PLAIN = re.compile(rb"[^\x00-\x20{}#\x7f][^\x00-\x20{}\x7f]*")


def limit_key(identity: str, limit: Limit) -> bytes:
    """The key of one count. All counts of one identity share a slot.

    >>> limit_key("user:7", Limit("api_call", 60, 60.0))
    b'hfl{user:7}api_call:g60'
    """
    form = FORMS[limit.algorithm]
    return b"%b{%b}%b:%b%g" % (PREFIX, _short(identity), _short(limit.name), form, limit.window_s)


def _short(text: str) -> bytes:
    """`text` where it is plain and short, else `#` and 120 bits of its hash: braces would move the slot."""
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= LONGEST and _PLAIN.fullmatch(raw):
        return raw
    return b"#" + base64.urlsafe_b64encode(hashlib.blake2b(raw, digest_size=15).digest())
