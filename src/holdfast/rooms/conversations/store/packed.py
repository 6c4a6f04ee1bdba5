"""A state at rest: one byte that names the format, then JSON under raw deflate with a preset dictionary.

Formats are kept for ever, so that every release reads what any earlier one has written. Korean is written in
two bytes a syllable instead of UTF-8's three (code page 949, which has ASCII in one byte and every Hangul
syllable), and what that code page lacks as an escape of JSON; text mostly of that kind stays in UTF-8.
"""

import logging
import re
import zlib
from functools import cache

import msgspec

from holdfast.rooms.conversations.rules.state import State, fit
from holdfast.rooms.conversations.store.dictionary import words

logger = logging.getLogger("holdfast.conversations")

CODE_PAGE, UTF8 = 1, 2
"""The formats of this release, both with dictionary 1."""
_ENCODINGS = {CODE_PAGE: "cp949", UTF8: "utf-8"}
_FOREIGN_SHARE = 8
"""From one foreign character in so many on, escapes cost more than UTF-8."""
_LARGEST = 1 << 18
"""Bytes that a state may unpack to: a damaged one must not fill the memory."""

_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(State).decode
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def pack(state: State) -> bytes:
    """The state as it is stored."""
    text = _to_json(state).decode()
    try:
        return _deflated(CODE_PAGE, text.encode("cp949"))
    except UnicodeEncodeError:
        foreign = sum(not _in_code_page(char) for char in text)
    if foreign * _FOREIGN_SHARE > len(text):
        return _deflated(UTF8, text.encode())
    return _deflated(CODE_PAGE, _NOT_ASCII.sub(_escaped, text).encode("cp949"))


def packed_size(state: State) -> int:
    """Bytes of the state at rest."""
    return len(pack(state))


def packed_within(state: State, budget: int) -> tuple[State, bytes]:
    """The state cut down to `budget` bytes at rest, and these bytes."""
    last = b""

    def measure(one: State) -> int:
        nonlocal last
        last = pack(one)
        return len(last)

    fitted = fit(state, measure, budget)
    return fitted, last


def unpack(packed: bytes) -> State:
    """The state of these bytes; one that cannot be read is empty again, for the log has it all."""
    try:
        encoding = _ENCODINGS[packed[0]]
        opened = zlib.decompressobj(-15, zdict=_dictionary(packed[0]))
        raw = opened.decompress(packed[1:], _LARGEST)
        if not opened.eof:
            raise ValueError("cut off, or too large")
        return _from_json(raw.decode(encoding).encode())
    except (ValueError, IndexError, KeyError, zlib.error, msgspec.MsgspecError) as error:
        logger.warning("a conversation's state of %d bytes cannot be read: %s", len(packed), error)
        return State()


def _deflated(form: int, raw: bytes) -> bytes:
    # A compressor that has read the dictionary is copied: reading it anew costs more than the state.
    fresh = _primed(form).copy()
    return bytes((form,)) + fresh.compress(raw) + fresh.flush()


@cache
def _primed(form: int) -> "zlib._Compress":
    return zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _dictionary(form))


@cache
def _dictionary(form: int) -> bytes:
    return words(1).encode(_ENCODINGS[form])


def _in_code_page(char: str) -> bool:
    try:
        char.encode("cp949")
    except UnicodeEncodeError:
        return False
    return True


def _escaped(match: "re.Match[str]") -> str:
    """A character, or its escape in JSON where the code page lacks it."""
    char = match.group()
    if _in_code_page(char):
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
