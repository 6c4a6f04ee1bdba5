"""What a caller may report of a user: an action, perhaps a value, and plain facts, all of bounded size."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import BadInput, Problem
from holdfast.rooms.experiments.rules.assigning import normalise
from holdfast.rooms.experiments.rules.outcomes import EXPOSURE, FACT

MOST_FACTS = 32
MOST_TEXT_BYTES = 1024
MOST_NAME_BYTES = 100
MOST_USER_BYTES = 256
_MOST_INT = 1 << 63
_RESERVED = frozenset({FACT, "value"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BadReport(BadInput):
    """The report of what a user did does not fit."""

    code = "experiments-bad-report"


class NobodyNamed(BadInput):
    """It is not said who did it."""

    code = "experiments-nobody-named"


class NotYourself(Problem):
    """A known caller reports only what it did itself."""

    code = "experiments-not-yourself"
    status = 403


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a user did something."""

    action: Annotated[str, Meta(min_length=1, max_length=MOST_NAME_BYTES, description="e.g. bought")]
    user_id: Annotated[str, Meta(max_length=MOST_USER_BYTES, description="left out: the caller")] = ""
    value: Annotated[float | None, Meta(description="what it came to, e.g. a price")] = None
    facts: Annotated[
        dict[str, str | int | float | bool | None], Meta(description="whatever else is worth knowing")
    ] = {}


def who_did(report: Report, caller: str) -> str:
    """The user it is about, as exposures name it. Raises NotYourself, NobodyNamed or BadReport."""
    named = report.user_id or caller
    user_id = normalise(_text("user_id", named, MOST_USER_BYTES)) if named else ""
    if not user_id:
        raise NobodyNamed("no user_id was given", hint='send "user_id", or identify the caller')
    if caller and user_id != normalise(caller):
        raise NotYourself(f"{user_id!r:.100} is somebody else", hint="leave user_id out, or send your own")
    return user_id


def facts_of(report: Report) -> dict[str, Any]:
    """What goes on the record. Raises BadReport: exposures are the room's to write, and nobody else's."""
    if _text("action", report.action, MOST_NAME_BYTES) == EXPOSURE:
        raise BadReport(
            f"the action {EXPOSURE!r} is written by the room itself",
            hint="read the flag: that is its exposure; or choose another name",
        )
    facts = checked(report.facts)
    if report.value is not None:
        facts["value"] = _finite(report.value)
    return facts


def checked(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts that are few, plain and short, those without anything in them left out. Raises BadReport."""
    if len(facts) > MOST_FACTS:
        raise BadReport(f"{len(facts)} facts", hint=f"send at most {MOST_FACTS}")
    taken = _RESERVED.intersection(facts)
    if taken:
        raise BadReport(
            f"a fact may not be named {min(taken)!r}",
            hint='"value" stands beside the facts; rename the other',
        )
    return {
        _text("name of a fact", name, MOST_NAME_BYTES): _plain(name, value)
        for name, value in facts.items()
        if value is not None
    }


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, str):
        if len(value.encode()) > MOST_TEXT_BYTES:
            raise BadReport(f"the fact {name!r:.100} is long", hint=f"at most {MOST_TEXT_BYTES} bytes each")
        return value
    if isinstance(value, int) and abs(value) >= _MOST_INT:
        raise BadReport(
            f"the fact {name!r:.100} is a number of more than 64 bits", hint="send it as text, if it is an id"
        )
    return value if isinstance(value, bool | int) else _finite(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise BadReport(f"{value} is no amount", hint="send a finite number")
    return value


def _text(what: str, text: str, most: int) -> str:
    size = len(text.encode())
    if not 1 <= size <= most:
        raise BadReport(f"the {what} has {size} bytes", hint=f"send 1 to {most} bytes of UTF-8")
    if _CONTROL.search(text):
        raise BadReport(f"the {what} holds a control character", hint="remove it")
    return text
