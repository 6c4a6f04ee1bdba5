"""How a record that cannot be written as it stands is made fit for one line."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from holdfast.kernel.codec import cut_bytes, plain
from holdfast.kernel.event import Record

TEXT_BYTES = 16 * 1024
"""The longest text kept of one field or fact, in bytes of UTF-8."""
LONG_LINE_BYTES = 32 * 1024
"""Only a line longer than this is looked at again, so that the ordinary one pays nothing."""
MAX_FACTS_BYTES = 256 * 1024
"""Facts that stay bigger even after each text was cut are left out."""

_DEEPEST = 8

R = TypeVar("R", bound=Record)


def cleaned(record: R) -> R:
    """`record` with everything in it in a form JSON has; see `kernel.codec.plain`."""
    return _mapped(record, plain)


def shortened(record: R) -> R:
    """`record` with every long text cut and marked."""
    return _mapped(record, _shorten)


def without_facts(record: R, facts_bytes: int) -> R:
    """`record` with a note in place of facts that are too big to keep."""
    return msgspec.structs.replace(record, facts={"cut": f"facts of {facts_bytes} bytes"})


def cut_text(text: str) -> str:
    """At most TEXT_BYTES of `text`, then a mark that says how long it was."""
    kept = cut_bytes(text, TEXT_BYTES)
    return text if len(kept) == len(text) else f"{kept}… [cut, {len(text)} characters in all]"


def _shorten(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return cut_text(value)
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        return {
            cut_text(key) if isinstance(key, str) else key: _shorten(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_shorten(item, depth + 1) for item in value]
    return value


def _mapped(record: R, change: Callable[[Any], Any]) -> R:
    fields = msgspec.structs.asdict(record)
    return type(record)(**{name: change(value) for name, value in fields.items()})
