"""Values as they travel and as callers get them: JSON through msgspec, or bytes as they are; never pickle.

What a caller gets is always what `decode(encode(value))` gives, whether it was just loaded, lay in memory or
came from another node: a tuple comes back as a list, a Struct as a dict, unless `returns` names its type.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.problems import BadValue

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes, Any], Any]

_OVERHEAD_BYTES = 700
"""The entry itself, its places in dict and queue, its key's header (CPython 3.11, 64 bit)."""

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def encode_value(value: Any) -> bytes:
    """The value as JSON; raises BadValue that says what to do about a type that has none."""
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadValue(
            f"a {type(value).__name__} cannot be kept: {error}",
            hint="return JSON-like data, a msgspec Struct, a dataclass or bytes from the factory",
        ) from None


def decode_value(body: bytes, returns: Any) -> Any:
    """The value of that JSON, as the type `returns`; raises BadValue when it is not one."""
    decoder = _decoders.get(returns)
    try:
        if decoder is None:
            # Types are declared in code, so there are few: nothing has to leave this table.
            decoder = _decoders[returns] = msgspec.json.Decoder(Any if returns is None else returns)
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadValue(
            f"the value is no {getattr(returns, '__name__', returns)}: {error}",
            hint="mend the factory, or the type given as `returns`",
        ) from None
    except TypeError as error:
        raise BadValue(
            f"values cannot be read back as {returns!r}: {error}", hint="give `returns` a type of msgspec"
        ) from None


_encode = msgspec.json.Encoder().encode


def pack(value: Any, encode: Encode) -> tuple[bytes, bool]:
    """The value as it travels, and whether it is bytes itself."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), True
    return encode(value), False


def unpack(entry: Entry, returns: Any, decode: Decode) -> Any:
    """The value of an entry that holds its body."""
    body = entry.body
    if entry.is_negative or body is None:
        return None
    return body if entry.is_bytes else decode(body, returns)


def weigh(entry: Entry, *, keeps_body: bool) -> int:
    """Bytes that the entry takes in memory, estimated from its body without walking the value.

    A decoded list or dict takes several times its JSON: each container and each element is counted by
    the commas and brackets of the text.
    """
    size = _OVERHEAD_BYTES + 2 * len(entry.key) + sum(60 + len(tag) for tag in entry.tags)
    body = entry.body
    if body is None:
        return size
    size += len(body)
    if not (entry.is_bytes or keeps_body):
        size += 50 * body.count(b",") + 50 * body.count(b":") + 200 * body.count(b"{") + 60 * body.count(b"[")
    return size
