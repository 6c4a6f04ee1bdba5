"""From a model name to the fault that it selects."""

import math
import re

import msgspec

from holdfast.kernel.codec import cut_bytes
from holdfast.kernel.errors import Problem
from holdfast.rooms.faults.rules.table import (
    BY_NAME,
    BYTES,
    CALLS,
    CALLS_OR_SECONDS,
    CHUNKS,
    FAULTS,
    STATUS,
    Kind,
)

_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_WHOLE = frozenset({CHUNKS, CALLS, BYTES, STATUS})


class UnknownFault(Problem):
    """No fault has this name."""

    code = "unknown-fault"
    status = 404


class Fault(msgspec.Struct, frozen=True):
    """A fault with its number."""

    name: str
    value: float = 0.0
    in_seconds: bool = False
    """Whether an outage lasts `value` seconds instead of `value` calls."""

    @property
    def count(self) -> int:
        return int(self.value)


OK = Fault("ok")


def parse_fault(text: str) -> Fault:
    """`cut-mid-stream:3`, behind a model of any name and a plus, or alone.

    Raises UnknownFault for a name that is not in the table, a number that the fault does not take or one
    out of its range; its detail says which, its hint lists every fault.
    """
    _, _, named = text.rpartition("+")
    name, colon, number = named.partition(":")
    kind = BY_NAME.get(name)
    if kind is None:
        raise _unknown(f"no fault is called {cut_bytes(named, 100)!r}")
    if not colon:
        return Fault(name, float(kind.default))
    if not kind.takes:
        raise _unknown(f"the fault {name} takes no number")
    in_seconds = kind.takes == CALLS_OR_SECONDS and number.endswith("s")
    return Fault(
        name, _value(kind, number.removesuffix("s") if in_seconds else number, in_seconds), in_seconds
    )


def _value(kind: Kind, number: str, in_seconds: bool) -> float:
    if not _NUMBER.fullmatch(number):
        raise _unknown(f"the fault {kind.name} takes {kind.takes}, not {cut_bytes(number, 40)!r}")
    value = float(number)
    whole = kind.takes in _WHOLE or (kind.takes == CALLS_OR_SECONDS and not in_seconds)
    if whole and value != math.floor(value):
        raise _unknown(f"the fault {kind.name} takes a whole number of {kind.takes}, not {number}")
    least = 400 if kind.takes == STATUS else 0
    if not least <= value <= kind.most:
        raise _unknown(
            f"the fault {kind.name} takes {kind.takes} from {least} to {kind.most:g}, not {number}"
        )
    return value


def _unknown(detail: str) -> UnknownFault:
    return UnknownFault(
        detail,
        hint="a model is called fault, fault:number or any-model+fault; the faults are: "
        + ", ".join(kind.name for kind in FAULTS),
    )
