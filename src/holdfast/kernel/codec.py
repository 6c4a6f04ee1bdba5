"""JSON in and out through msgspec, and one rule for text that is not valid UTF-8."""

import re
from typing import Any

import msgspec

encode_json = msgspec.json.Encoder().encode
decode_json = msgspec.json.Decoder().decode

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """`text` with lone surrogates written out as `\\udcff`, so that it can be encoded as UTF-8."""
    return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def cut_bytes(text: str, limit: int) -> str:
    """The longest start of `text` that fits `limit` bytes of UTF-8, never splitting a character."""
    if len(text) * 4 <= limit:
        return text
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore")


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as JSON can hold it: what has no JSON form becomes its text, and text becomes encodable."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth > 8:
        return "…"
    if isinstance(value, dict):
        return {clean_text(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return clean_text(str(value))
