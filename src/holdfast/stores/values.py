"""What may travel to a database, by declared column type: the part that SQLite and PostgreSQL agree on."""

import math
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import types as sqltypes

from holdfast.kernel.errors import BadInput

Check = Callable[[str, Any], Any]
"""Takes a parameter's name and value (never None); gives the value to send or raises BadInput."""

_INT32 = 1 << 31
_INT64 = 1 << 63
_LARGEST = sys.float_info.max
_PORTABLE = "use BigInteger, Integer, Float, Text or LargeBinary"


def check_for(kind: sqltypes.TypeEngine[Any]) -> Check:
    """The check of one parameter's type; raises TypeError for types that are not portable.

    BigInteger, Integer, Float, Text and LargeBinary are; so is a parameter without a type.
    Boolean is not: SQLite has only numbers. Store 0 and 1 as Integer.
    """
    for known, check in _CHECKS:
        if isinstance(kind, known) and not isinstance(kind, sqltypes.Enum):
            return check
    raise TypeError(f"a parameter cannot be of type {kind!r}: {_PORTABLE}")


def refuse_result(kind: sqltypes.TypeEngine[Any], name: str) -> None:
    """Raise TypeError for a column that the databases would hand over differently.

    Numeric passes: sums and averages have it, and both drivers give int or float.
    """
    if isinstance(kind, sqltypes.Enum) or not isinstance(kind, (sqltypes.Numeric, *(k for k, _ in _CHECKS))):
        raise TypeError(f"column {name or '?'} cannot be of type {kind!r}: {_PORTABLE}")


def _int64(name: str, value: Any) -> int:
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return int(value)
    raise _unfit(name, value, "a whole number of 64 bits")


def _int32(name: str, value: Any) -> int:
    if isinstance(value, int) and -_INT32 <= value < _INT32:
        return int(value)
    raise _unfit(name, value, "a whole number of 32 bits")


def _float(name: str, value: Any) -> float:
    # NaN fails every comparison, and an int too large for a float fails this one.
    if isinstance(value, float | int) and (-_LARGEST <= value <= _LARGEST or value in (-math.inf, math.inf)):
        return float(value)
    raise _unfit(name, value, "a number (SQLite would store NaN as NULL)")


def _text(name: str, value: Any) -> str:
    if isinstance(value, str) and "\0" not in value:
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _unfit(name, value, "text that UTF-8 can hold (no lone surrogates)") from None
        return value
    raise _unfit(name, value, "text without NUL (PostgreSQL cannot store it)")


def _blob(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise _unfit(name, value, "bytes")


def _any(name: str, value: Any) -> Any:
    kind = type(value)
    if kind is str and value.isascii() and "\0" not in value:
        return value  # what nearly every value is: the rest is told apart at leisure
    if kind is int and -_INT64 <= value < _INT64:
        return value
    if isinstance(value, bool | int):
        return _int64(name, value)
    if isinstance(value, float):
        return _float(name, value)
    return _text(name, value) if isinstance(value, str) else _blob(name, value)


def _unfit(name: str, value: Any, wanted: str) -> BadInput:
    shown = ascii(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return BadInput(f"{name} must be {wanted}, not {type(value).__name__} {shown}", hint=f"send {wanted}")


_CHECKS: tuple[tuple[type[sqltypes.TypeEngine[Any]], Check], ...] = (
    (sqltypes.BigInteger, _int64),
    (sqltypes.Integer, _int32),
    (sqltypes.Float, _float),
    (sqltypes.String, _text),
    (sqltypes.LargeBinary, _blob),
    (sqltypes.NullType, _any),
)
