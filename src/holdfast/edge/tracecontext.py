"""W3C Trace Context read to the letter, request ids checked, and the head sampling decision. Pure.

Sources: W3C Trace Context Recommendation (level 1) and the `random` flag of level 2. For keys of
`tracestate` the stricter level 1 grammar holds (`tenant@system`), which is what the working group's
conformance harness checks.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

SAMPLED = 0x01
RANDOM = 0x02
"""Level 2: the last 7 bytes of the trace id are random, so others may sample by them."""

MAX_MEMBERS = 32
"""Trace Context 3.3.1.1: a list of more is no list."""

_FIELDS = r"(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
_CURRENT = re.compile("00-" + _FIELDS).fullmatch
# 4.3 Versioning: what follows the flags of a later version is unknown, but a dash must part it.
_LATER = re.compile(r"(?!00|ff)[0-9a-f]{2}-" + _FIELDS + r"(?:-.*)?", re.DOTALL).fullmatch
_LENGTH = 55
# A look-up costs a third of int(text, 16); flags that nobody defines yet must not be passed on.
_KNOWN_FLAGS = {f"{flags:02x}": flags & (SAMPLED | RANDOM) for flags in range(256)}

_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(f"({_KEY})={_VALUE}").fullmatch
_OWS = " \t"

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch

_RANDOM_DIGITS = 14
_RANDOM_SPAN = 1 << 4 * _RANDOM_DIGITS


class TraceParent(NamedTuple):
    """Where the caller stands in its trace: 32 and 16 lower-case hex digits, and the two known flags."""

    trace_id: str
    parent_id: str
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded its part."""
        return bool(self.flags & SAMPLED)


def parse_traceparent(values: Sequence[bytes]) -> TraceParent | None:
    """The caller's place in its trace, from every `traceparent` value of the request; None starts a new one.

    Invalid: more than one header, a zero id, upper-case digits, version ff, anything after the flags
    of version 00. A later version is read by the rule for unknown versions and comes back as 00.
    """
    if len(values) != 1:
        return None
    text = values[0].decode("latin-1")
    if len(text) != _LENGTH:
        text = text.strip(_OWS)
    found = _CURRENT(text) or _LATER(text)
    if found is None:
        return None
    trace_id, parent_id, flags = found.groups()
    return TraceParent(trace_id, parent_id, _KNOWN_FLAGS[flags])


def parse_tracestate(values: Sequence[bytes]) -> str:
    """The combined `tracestate`, ready to be sent on; empty when there is none or it is not valid.

    Headers are joined in order, empty members dropped, white space around members removed. A member
    outside the grammar, a key twice or a 33rd member makes the whole list invalid: it is discarded
    and the `traceparent` stays as it is.
    """
    if not values:
        return ""
    members: list[str] = []
    seen: set[str] = set()
    for value in values:
        for part in value.decode("latin-1").split(","):
            member = part.strip(_OWS)
            if not member:
                continue
            found = _MEMBER(member)
            if found is None or found[1] in seen or len(members) == MAX_MEMBERS:
                return ""
            seen.add(found[1])
            members.append(member)
    return ",".join(members)


def format_traceparent(trace_id: str, span_id: str, sampled: bool, *, random: bool = False) -> str:
    """The header for a call to the next service, always version 00.

    `random` is true when this process drew the trace id or the caller's flags said so.
    """
    flags = (SAMPLED if sampled else 0) | (RANDOM if random else 0)
    return f"00-{trace_id}-{span_id}-0{flags}"


def valid_request_id(raw: bytes) -> str | None:
    """The caller's request id when it is 1-128 of `[A-Za-z0-9._-]`; None asks for a new one.

    Anything else could carry line breaks or terminal codes into logs.
    """
    return raw.decode("ascii") if _REQUEST_ID(raw) else None


def head_sampled(trace_id: str, rate: float, parent_flag: bool | None) -> bool:
    """Whether this trace is sampled: the caller's word when there is one, else by bits of its id.

    The last 56 bits of the id stand against a threshold, as in OpenTelemetry's consistent
    probability sampling: every service with the same `rate` keeps the same traces, and one with a
    lower rate keeps a subset of them. `rate` is a share from 0 to 1.
    """
    if parent_flag is not None:
        return parent_flag
    if rate >= 1.0:
        return True
    return int(trace_id[-_RANDOM_DIGITS:], 16) >= _RANDOM_SPAN * (1.0 - rate)
