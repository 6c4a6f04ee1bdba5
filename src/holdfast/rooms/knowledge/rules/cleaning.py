"""Text as it is stored: NFC, one kind of line end, nothing that cannot be seen."""

import re
from unicodedata import normalize

from holdfast.rooms.knowledge.rules.parsed import NOT_TEXT

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_UNSEEN = re.compile(
    "[\u00ad\u200b\u2060-\u2064\ufeff\u200e\u200f\u202a-\u202e\u2066-\u206f\ufff9-\ufffb]"
    # Tags spell invisible ASCII, which a model would read; only the flags of regions have a use for them.
    "|(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0000-\U000e007f]+"
)
_TRAILING = re.compile(r"[ \t]+(?=\n|$)")
_GAPS = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """`text` in NFC, with newlines for line ends, plain spaces, and without what cannot be seen.

    Two or more empty lines become one; white space at the ends of lines goes. Cleaning twice changes nothing.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = NOT_TEXT.sub("", text)
    if not text.isascii():
        text = _UNSEEN.sub("", _SPACES.sub(" ", text))
        text = normalize("NFC", text)
    return _GAPS.sub("\n\n", _TRAILING.sub("", text))


def one_line(text: str, longest: int = 300) -> str:
    """`text` cleaned, on one line: a title or a heading."""
    found = " ".join(clean(text).split())
    return found if len(found) <= longest else found[: longest - 1].rstrip() + "…"
