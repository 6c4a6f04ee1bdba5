"""A record as one line: the ordinary one in one call, the odd one with care."""

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.kernel.event import Record
from holdfast.rooms.telemetry.rules.lines import (
    LONG_LINE_BYTES,
    MAX_FACTS_BYTES,
    cleaned,
    shortened,
    without_facts,
)
from holdfast.rooms.telemetry.rules.redaction import Redaction

_MOST_KEYS = 4096
"""Keys remembered as harmless. Keys made of data are unbounded: beyond this they are judged anew."""

holds_only_scalars: Callable[[Any], bool] = frozenset({str, int, float, bool, type(None)}).issuperset
"""Given the types of some values: whether none of them can hide a key inside."""


class Encoding:
    """Turns records into lines. Every method is safe from any thread."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._harmless: set[str] = set()
        self.are_harmless: Callable[[Any], bool] = self._harmless.issuperset
        """Whether all these keys were judged before and hide nothing; one C call on the hot path."""

    def with_care(self, record: Record) -> bytes:
        """The line of a record whose facts have new keys or nested values: secrets masked."""
        facts = record.facts
        if facts is None:
            return encode_json(record)
        secret = False
        for key in tuple(facts):
            if type(key) is not str or self._redaction.hides(key):
                secret = True
            elif len(self._harmless) < _MOST_KEYS:
                self._harmless.add(key)
        if secret or not holds_only_scalars(map(type, facts.values())):
            record = msgspec.structs.replace(record, facts=self._redaction.masked(facts))
        return encode_json(record)

    def rescue(self, record: Record) -> bytes:
        """The line of a record that could not be encoded as it stands. Raises when that fails too."""
        clean = cleaned(record)
        line = self.with_care(clean)
        return self.shorter(line, clean) if len(line) > LONG_LINE_BYTES else line

    def shorter(self, line: bytes, record: Record) -> bytes:
        """The line of a record whose `line` came out too long: its texts cut, big facts left out."""
        record = shortened(record)
        try:
            line = self.with_care(record)
        except Exception:  # noqa: BLE001 - whatever msgspec found odd, the rescue names it or raises
            record = cleaned(record)
            line = self.with_care(record)
        if len(line) > LONG_LINE_BYTES and record.facts is not None:
            facts_bytes = len(encode_json(record.facts))
            if facts_bytes > MAX_FACTS_BYTES:
                line = encode_json(without_facts(record, facts_bytes))
        return line
