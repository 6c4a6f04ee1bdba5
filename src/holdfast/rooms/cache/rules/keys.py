"""Keys made of a function's name and arguments: the same call gives the same key, on every node and run."""

import dataclasses
import datetime
import decimal
import enum
import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.rooms.cache.rules.problems import BadKey

MAX_TEXT = 400
"""Characters of the arguments that stand in a key as they are; longer ones as their digest."""

_PLAIN = (uuid.UUID, decimal.Decimal, datetime.datetime, datetime.date, datetime.time, datetime.timedelta)


def canonical(value: Any) -> str:
    """Text that differs whenever the values differ in type or content; raises BadKey where there is none.

    >>> canonical([1, "1", True, None, {"b": 1.0, "a": b"x"}])
    '[1,"1",True,None,{"a":b"78","b":1.0}]'
    """
    kind = type(value)
    if kind is str:
        return msgspec.json.encode(value).decode() if value.isprintable() else _quoted(value)
    if value is None or kind is bool or kind is int or kind is float:
        return repr(value)
    if kind is bytes or kind is bytearray:
        return f'b"{value.hex()}"'
    if kind is list:
        return f"[{','.join(map(canonical, value))}]"
    if kind is tuple:
        return f"({','.join(map(canonical, value))})"
    if kind is set or kind is frozenset:
        return f"set({','.join(sorted(map(canonical, value)))})"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{canonical(k)}:{canonical(v)}" for k, v in value.items())) + "}"
    if isinstance(value, enum.Enum):
        return f"{kind.__qualname__}.{value.name}"
    if isinstance(value, _PLAIN):
        return f"{kind.__qualname__}({value})"
    if isinstance(value, msgspec.Struct):
        return f"{kind.__qualname__}{canonical(msgspec.structs.asdict(value))}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return f"{kind.__qualname__}{canonical(fields)}"
    raise BadKey(
        f"an argument of type {kind.__qualname__} has no fixed text to make a key of",
        hint="give key=… to the decorator, or name the argument in ignore=…",
    )


def _quoted(text: str) -> str:
    """Lone surrogates have no JSON; Python's own escapes tell every text apart."""
    return ascii(text)


def call_key(name: str, arguments: Mapping[str, Any]) -> str:
    """The key of one call.

    >>> call_key("shop.farm", {"farm_id": 7})
    'shop.farm(farm_id=7)'
    """
    text = ",".join(f"{argument}={canonical(value)}" for argument, value in arguments.items())
    if len(text) > MAX_TEXT:
        text = hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
    return f"{name}({text})"
