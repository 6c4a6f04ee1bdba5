"""Bytes to text: by the mark at the beginning, what is declared, UTF-8, Korean, and at last Latin-1."""

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_KOREAN = frozenset(
    {"euckr", "euc_kr", "ksc5601", "ks_c_5601", "ks_c_5601_1987", "ksx1001", "uhc", "cp949", "ms949"}
)
_LATIN = frozenset(
    {"iso_8859_1", "latin1", "latin_1", "iso8859_1", "ascii", "us_ascii", "windows_1252", "cp1252"}
)
_OTHERS = re.compile(
    r"utf_?8|utf_?16(?:_?[lb]e)?|shift_?jis|sjis|cp932|euc_?jp|iso_2022_(?:jp|kr)|johab|gbk|gb2312|gb18030|big5"
    r"|iso_?8859_\d{1,2}|(?:windows_|cp)125[0-8]|koi8_[ru]|tis_620"
)
"""What a document may declare; `utf-7` and the codecs that are no character sets are not among them."""


def decoded(raw: bytes, declared: str = "") -> tuple[str, str]:
    """The text and what it was written in; never fails: bytes that fit nothing become U+FFFD or Latin-1.

    >>> decoded("한국어".encode("cp949"))
    ('한국어', 'cp949')
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, "replace"), encoding
    if raw[:4096].count(0) * 8 >= len(raw[:4096]) > 0:  # without a mark; a stray NUL is only rubbish
        encoding = "utf-16-le" if raw[1:4096:2].count(0) >= raw[:4096:2].count(0) else "utf-16-be"
        return raw.decode(encoding, "replace"), encoding
    named = known(declared)
    if named == "cp949" and not raw.isascii() and (korean := _korean(raw)):
        return korean, "cp949"
    # Bytes above 127 that are valid UTF-8 are UTF-8, whatever a template declares; ASCII may be ISO 2022.
    for encoding in ("utf-8", named) if not raw.isascii() else (named, "utf-8"):
        if encoding and (text := _strict(raw, encoding)) is not None:
            return text, encoding
    if korean := _korean(raw):
        return korean, "cp949"
    loose = raw.decode("utf-8", "replace")
    if loose.count("\ufffd") * 50 <= sum(char > "\x7f" for char in loose):
        return loose, "utf-8"  # UTF-8 with a few broken bytes, not another encoding
    loose = raw.decode("cp949", "replace")
    if loose.count("\ufffd") * 50 <= len(loose) and _reads_as_korean(loose):
        return loose, "cp949"
    return raw.decode("cp1252", "replace"), "latin-1"


def known(declared: str) -> str:
    """The codec for a declared character set; empty for none, and for what is not to be believed."""
    name = declared.strip().strip("\"'").lower().replace("-", "_")
    if name in _KOREAN:
        return "cp949"
    if name in _LATIN:
        return ""  # declared by default and by mistake: what the bytes are is looked at first
    return name if _OTHERS.fullmatch(name) else ""


def _strict(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _korean(raw: bytes) -> str:
    """The text when it is Korean in cp949; else empty."""
    text = _strict(raw, "cp949")
    return text if text and _reads_as_korean(text) else ""


def _reads_as_korean(text: str) -> bool:
    """Whether what is not ASCII is mostly Hangul in common use: other encodings give rare syllables."""
    foreign = "".join(char for char in text[:200_000] if char > "\x7f" and char != "\ufffd")
    hangul = sum("가" <= char <= "힣" for char in foreign)
    usual = len(foreign.encode("euc_kr", "ignore")) // 2
    return hangul * 2 >= len(foreign) and usual * 10 >= len(foreign) * 9
