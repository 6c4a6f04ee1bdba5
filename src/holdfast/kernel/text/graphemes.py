"""Cutting text by bytes without breaking what a reader sees as one character.

Follows the boundaries of Unicode Annex 29 as far as chats and documents need them: combining marks,
variation selectors, emoji with modifiers and joiners, flags, Hangul jamo, conjuncts after a virama, CR LF.
Prepended marks (a handful of Arabic and Brahmic signs) are not looked at.
"""

import unicodedata

_ZWJ = "\u200d"
ELLIPSIS = "…"
_ELLIPSIS_BYTES = 3


def size(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def cut(text: str, limit: int) -> str:
    """The longest start of `text` of whole graphemes that fits `limit` bytes of UTF-8; "" when none does."""
    if limit <= 0:
        return ""
    if len(text) * 4 <= limit:
        return text
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return text
    at = len(raw[:limit].decode("utf-8", "ignore"))
    while at > 0 and not is_boundary(text, at):
        at -= 1
    return text[:at]


def shorten(text: str, limit: int) -> str:
    """`text` within `limit` bytes: cut at a word where one ends in its last third, and marked with `…`."""
    if size(text) <= limit:
        return text
    start = cut(text, limit - _ELLIPSIS_BYTES)
    word = start.rfind(" ")
    if word > len(start) * 2 // 3 and not text[len(start) : len(start) + 1].isspace():
        start = start[:word]
    start = start.rstrip()
    return start + ELLIPSIS if start else cut(text, limit)


def is_boundary(text: str, at: int) -> bool:
    """Whether `text` may be parted before its character number `at`."""
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if before < "\u0300" and after < "\u0300":
        return not (before == "\r" and after == "\n")
    if _extends(after) or before == _ZWJ:
        return False
    if _is_flag(before) and _is_flag(after):
        return _flags_before(text, at) % 2 == 0
    if unicodedata.combining(before) == 9 and unicodedata.category(after)[0] == "L":
        return False
    return not _same_syllable(before, after)


def _extends(char: str) -> bool:
    """Whether it belongs to what stands before it."""
    if unicodedata.category(char) in ("Mn", "Me", "Mc"):
        return True
    code = ord(char)
    return (
        char in ("\u200c", _ZWJ, "\uff9e", "\uff9f")
        or 0x1F3FB <= code <= 0x1F3FF  # skin tones
        or 0xE0020 <= code <= 0xE007F  # tags: the flags of regions
    )


def _is_flag(char: str) -> bool:
    return 0x1F1E6 <= ord(char) <= 0x1F1FF


def _flags_before(text: str, at: int) -> int:
    count = 0
    while at > count and _is_flag(text[at - 1 - count]):
        count += 1
    return count


def _jamo(char: str) -> str:
    """L, V, T for conjoining jamo, LV or LVT for syllables, else nothing."""
    code = ord(char)
    if 0xAC00 <= code <= 0xD7A3:
        return "LVT" if (code - 0xAC00) % 28 else "LV"
    if 0x1100 <= code <= 0x115F or 0xA960 <= code <= 0xA97C:
        return "L"
    if 0x1160 <= code <= 0x11A7 or 0xD7B0 <= code <= 0xD7C6:
        return "V"
    if 0x11A8 <= code <= 0x11FF or 0xD7CB <= code <= 0xD7FB:
        return "T"
    return ""


_JOINS = {
    "L": frozenset({"L", "V", "LV", "LVT"}),
    "LV": frozenset({"V", "T"}),
    "V": frozenset({"V", "T"}),
    "LVT": frozenset({"T"}),
    "T": frozenset({"T"}),
}


def _same_syllable(before: str, after: str) -> bool:
    kind = _jamo(before)
    return bool(kind) and _jamo(after) in _JOINS[kind]
