"""How the name of a lock becomes what a kernel or a server can lock: a file name, a number of 64 bits."""

from hashlib import blake2b
from urllib.parse import quote

_LONGEST = 200
"""Bytes; file systems end near 255."""


def file_name(name: str) -> str:
    """A file name of its own for every name, readable where the name is."""
    quoted = quote(name, safe="")
    if len(quoted) > _LONGEST:
        quoted = f"{quoted[:_LONGEST]}~{blake2b(name.encode(), digest_size=16).hexdigest()}"
    return f"{quoted}.lock"


def lock_key(name: str) -> int:
    """A signed number of 64 bits; the prefix keeps it apart from the advisory locks of others."""
    digest = blake2b(f"holdfast presence {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
