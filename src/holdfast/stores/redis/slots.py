"""Which of a cluster's 16384 slots a command's key lies in."""

from binascii import crc_hqx
from typing import Any

SLOTS = 16384
_SECOND = frozenset({"OBJECT", "MEMORY", "XGROUP", "XINFO", "BITOP"})
_THIRD = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})


def slot_of(key: bytes) -> int:
    """CRC16 (XModem) of the key, or of what its first `{...}` holds (Redis Cluster specification).

    >>> slot_of(b"{user:7}a") == slot_of(b"{user:7}b") == slot_of(b"user:7")
    True
    """
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def slot_of_command(command: tuple[Any, ...]) -> int:
    """The slot of its first key; 0 where it has none."""
    name = command[0]
    if isinstance(name, bytes):
        name = name.decode("ascii", "replace")
    name = name.upper()
    place = 3 if name in _THIRD else 2 if name in _SECOND else 1
    if len(command) <= place or (place == 3 and int(command[2]) == 0):
        return 0
    key = command[place]
    if isinstance(key, bytes):
        return slot_of(key)
    return slot_of(key.encode() if isinstance(key, str) else str(key).encode())
