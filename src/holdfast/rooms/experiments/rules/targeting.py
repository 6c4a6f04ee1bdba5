"""Whether conditions hold of somebody's attributes: compiled once, asked often, never raising.

What is missing fits no condition but `missing`, negated ones included: who is unknown is not "not from
Korea". What is of another type does not fit either: that "18" is not 18 says nothing of an age. Ids (`user`,
`tenant`, `device`) are compared as text, so that 1 and "1" are one; all text is compared in Unicode's
composed form, and an attribute is found whichever form its name has.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from holdfast.rooms.experiments.rules.flags import Condition, Segment
from holdfast.rooms.experiments.rules.patterns import LONGEST_MATCHED, pattern_fault

Attributes = Mapping[str, Any]
Test = Callable[[Attributes], bool]

IDS = frozenset({"user", "tenant", "device"})
_ABSENT = object()
_VERSION = re.compile(
    r"[vV]?(\d{1,9}(?:\.\d{1,9}){0,5})(?:-([0-9A-Za-z.-]{1,64}))?(?:\+[0-9A-Za-z.-]{0,64})?\Z"
)


def all_of(conditions: Iterable[Condition]) -> Test | None:
    """All of these conditions in one; None where there is none."""
    tests = [_compiled(each) for each in conditions]
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else lambda attributes: all(test(attributes) for test in tests)


def membership(segments: Iterable[Segment]) -> Test:
    """Whether somebody is in at least one of the segments. A group without conditions holds of nobody."""
    groups = [test for each in segments for group in each.any_of if (test := all_of(group)) is not None]
    return lambda attributes: any(test(attributes) for test in groups)


def looked_up(attributes: Attributes, path: str) -> Any:
    """What is under this name, or under its parts one in another; `_ABSENT` where nothing is."""
    found = attributes.get(path, _ABSENT)
    if found is not _ABSENT or "." not in path:
        return _ABSENT if found is None else found
    found = attributes
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return _ABSENT
        found = found.get(part, _ABSENT)
    return _ABSENT if found is None else found


def _reader(path: str) -> Callable[[Attributes], Any]:
    """Looks up what is under this name, in either form that Unicode has for it."""
    if path.isascii():
        return lambda attributes: looked_up(attributes, path)
    composed, apart = (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))

    def read(attributes: Attributes) -> Any:
        found = looked_up(attributes, composed)
        return looked_up(attributes, apart) if found is _ABSENT else found

    return read


def version(text: object) -> tuple[Any, ...] | None:
    """A version to be ordered by: 1.10 after 1.9, 1.0.0-beta before 1.0, build metadata ignored."""
    found = _VERSION.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    if found[2] is None:
        return (tuple(numbers), 1, ())
    # Semantic Versioning 2.0, 11.4: numbers in a pre-release come before words.
    return (
        tuple(numbers),
        0,
        tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in found[2].split(".")),
    )


def instant(value: object) -> float | None:
    """Seconds since the epoch of a time or its ISO 8601 text (UTC unless it says so), or of milliseconds."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return value / 1000
        if isinstance(value, datetime):
            at = value
        elif isinstance(value, str) and len(value) <= 64:
            at = datetime.fromisoformat(value)
        else:
            return None
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _compiled(condition: Condition) -> Test:
    path, operator = condition.attribute, condition.is_
    read = _reader(path)
    if operator == "exists":
        return lambda attributes: read(attributes) is not _ABSENT
    if operator == "missing":
        return lambda attributes: read(attributes) is _ABSENT
    plain = _as_id if path in IDS else _composed
    holds = _MAKERS[operator](_each(plain, condition.value))

    def test(attributes: Attributes) -> bool:
        found = read(attributes)
        return found is not _ABSENT and holds(_each(plain, found))

    return test


def _composed(value: Any) -> Any:
    return unicodedata.normalize("NFC", value) if isinstance(value, str) and not value.isascii() else value


def _as_id(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 256
    return str(value) if whole else _composed(value)


def _each(plain: Callable[[Any], Any], value: Any) -> Any:
    return (
        [plain(each) for each in value] if isinstance(value, list | tuple | set | frozenset) else plain(value)
    )


Holds = Callable[[Any], bool]


def _same(left: Any, right: Any) -> bool:
    """Equality that keeps True and 1 apart, as JSON does; 1 and 1.0 are one number there."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


_KINDS: tuple[Any, ...] = (bool, (int, float), str, (list, tuple), Mapping)


def _kind(value: Any) -> Any:
    """Its JSON type; what is none of JSON's is of a kind that no condition asks for."""
    return next((kind for kind in _KINDS if isinstance(value, kind)), type(value))


def _is(wanted: Any) -> Holds:
    return lambda found: _same(found, wanted)


def _is_not(wanted: Any) -> Holds:
    kind = _kind(wanted)
    return lambda found: _kind(found) == kind and not _same(found, wanted)


def _in(wanted: Any) -> Holds:
    among = list(wanted) if isinstance(wanted, list | tuple) else []
    texts = frozenset(each for each in among if isinstance(each, str))
    others = [each for each in among if not isinstance(each, str)]

    def holds(found: Any) -> bool:
        return found in texts if isinstance(found, str) else any(_same(found, each) for each in others)

    return holds


def _not_in(wanted: Any) -> Holds:
    inside = _in(wanted)
    kinds = {_kind(each) for each in wanted} if isinstance(wanted, list | tuple) else set()
    return lambda found: _kind(found) in kinds and not inside(found)


def _contains(wanted: Any) -> Holds:
    def holds(found: Any) -> bool:
        if isinstance(found, str):
            return isinstance(wanted, str) and wanted in found
        return isinstance(found, list) and any(_same(each, wanted) for each in found)

    return holds


def _starts_with(wanted: Any) -> Holds:
    return lambda found: isinstance(found, str) and isinstance(wanted, str) and found.startswith(wanted)


def _ends_with(wanted: Any) -> Holds:
    return lambda found: isinstance(found, str) and isinstance(wanted, str) and found.endswith(wanted)


def _matches(wanted: Any) -> Holds:
    if pattern_fault(wanted):
        return lambda found: False
    search = re.compile(wanted).search
    return lambda found: (
        isinstance(found, str) and len(found) <= LONGEST_MATCHED and search(found) is not None
    )


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _ordered(read: Callable[[Any], Any], fits: Callable[[Any, Any], bool]) -> Callable[[Any], Holds]:
    def maker(wanted: Any) -> Holds:
        limit = read(wanted)

        def holds(found: Any) -> bool:
            given = read(found)
            return given is not None and limit is not None and fits(given, limit)

        return holds

    return maker


_MAKERS: dict[str, Callable[[Any], Holds]] = {
    "is": _is,
    "is_not": _is_not,
    "in": _in,
    "not_in": _not_in,
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "matches": _matches,
    "less": _ordered(_number, lambda found, limit: found < limit),
    "at_most": _ordered(_number, lambda found, limit: found <= limit),
    "more": _ordered(_number, lambda found, limit: found > limit),
    "at_least": _ordered(_number, lambda found, limit: found >= limit),
    "version_less": _ordered(version, lambda found, limit: found < limit),
    "version_at_least": _ordered(version, lambda found, limit: found >= limit),
    "before": _ordered(instant, lambda found, limit: found < limit),
    "after": _ordered(instant, lambda found, limit: found > limit),
}
