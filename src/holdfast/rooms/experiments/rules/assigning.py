"""Which bucket a unit falls into: a hash that is the same in every process, language and release.

    unit --normalise--> text --SHA-256(salt, 0x1f, text)--> first 8 bytes, big endian --> h * BUCKETS >> 64

The separator keeps "a" + "bc" and "ab" + "c" apart; salts hold no control character (`checking.py`). Integers
only: floats have made implementations of one algorithm disagree. Whatever changes here is a new ALGORITHM.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from hashlib import sha256
from struct import Struct
from typing import Any

from holdfast.rooms.experiments.rules.flags import BUCKETS

SEPARATOR = "\x1f"
LONGEST_UNIT = 512
"""Characters of an id; longer ones are no ids."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""Line breaks would end a line of the record's facts, and PostgreSQL keeps no NUL."""
_first_64_bits = Struct(">Q").unpack_from


class BadUnit(ValueError):
    """What was given cannot be anybody's id."""


def normalise(unit: object) -> str:
    """The one text that stands for this unit; "" for nobody. Raises BadUnit.

    1 and "1" are the same user, and so are both ways to write one Korean name in Unicode. A bool or a float
    is refused: it is a mistake of the caller's, and `1.0` would silently be somebody else than 1.
    """
    if type(unit) is str:
        if unit.isascii() and unit.isprintable() and len(unit) <= LONGEST_UNIT:
            return unit.strip()
        return _normalised(unit)
    if unit is None:
        return ""
    if isinstance(unit, str):
        return _normalised(str(unit))
    if isinstance(unit, int) and not isinstance(unit, bool):
        # Python itself refuses to write numbers of thousands of digits.
        return _normalised(f"{int(unit):d}") if abs(unit) < 1 << 256 else _refused("a number of such length")
    return _refused(f"a {type(unit).__name__}")


def is_named(unit: object) -> bool:
    """Whether the caller said who is meant. 0 is an id as "0" is one; None and "" leave it to the request."""
    return unit is not None and unit != ""


def described(kind: str, unit: object, attributes: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """What rules may ask of this unit of this kind: its own id too, unless the caller says another."""
    own = {kind: unit if is_named(unit) else None}
    return {**own, **attributes} if attributes else own


def somebody(unit: object) -> str:
    """The normalised unit; "" also for what is no id: of what a client sent, say."""
    try:
        return normalise(unit)
    except BadUnit:
        return ""


def buckets(salt: str) -> Callable[[str], int]:
    """What finds a normalised unit's place under this salt, 0 to BUCKETS - 1.

    The hash of the salt is begun once: to go on from a copy of it costs a tenth less than to hash both.
    """
    begun = sha256(f"{salt}{SEPARATOR}".encode()).copy

    def bucket(unit: str) -> int:
        ended = begun()
        ended.update(unit.encode())
        hashed: int = _first_64_bits(ended.digest())[0]
        return hashed * BUCKETS >> 64

    return bucket


def _normalised(text: str) -> str:
    found = unicodedata.normalize("NFC", text).strip()
    if len(found) > LONGEST_UNIT:
        return _refused(f"more than {LONGEST_UNIT} characters")
    if _CONTROL.search(found):
        return _refused("text with a control character in it")
    try:
        found.encode()
    except UnicodeEncodeError:
        return _refused("text that is no Unicode (a lone surrogate)")
    return found


def _refused(what: str) -> str:
    raise BadUnit(f"{what} is no unit: give its id as text or as a whole number")
