"""The words of OFREP 0.3.0, by which OpenFeature clients of any language read flags from a server.

    body ──read──▶ Asked(unit, attributes) ──evaluate──▶ Evaluation ──told──▶ result ──bulk──▶ body
                  └────Tags────▶ ETag: known before anything is evaluated

A success is `{key, value, reason, variant, metadata}`; one without `value` tells the client to use the
default that stands in its code. A failure is `{key, errorCode, errorDetails}`. Salts never leave.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import BadInput, Malformed, NotFound, Problem
from holdfast.rooms.experiments.rules.assigning import is_named
from holdfast.rooms.experiments.rules.flags import Evaluation, Flag, Ruleset

MOST_BYTES = 64 * 1024
"""Of a request's body: a context describes one person."""
FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
KEY_MISSING = "TARGETING_KEY_MISSING"
_ERRORS = frozenset({"PARSE_ERROR", KEY_MISSING, "INVALID_CONTEXT", "GENERAL", FLAG_NOT_FOUND})


class NoSuchFlag(NotFound):
    """There is no flag of this name."""

    code = "ofrep-flag-not-found"


class NotJson(Malformed):
    """The body could not be read as JSON."""

    code = "ofrep-parse-error"


class BadContext(BadInput):
    """The evaluation context does not fit."""

    code = "ofrep-bad-context"
    status = 400  # OFREP has 400 for whatever a caller got wrong


class Asked(msgspec.Struct, frozen=True):
    """For whom a flag is asked."""

    unit: str = ""
    attributes: dict[str, Any] = {}


class EvaluationRequest(msgspec.Struct, frozen=True):
    """What a client sends. Members that later versions add are passed over."""

    context: dict[str, Any] | None = None
    """`targetingKey`: whom a variant sticks to; whatever else is there may be targeted by."""


_decoder = msgspec.json.Decoder(EvaluationRequest)


def read(body: bytes, key: str = "") -> Asked:
    """The context in a request's body. Raises NotJson, or BadContext where it is no context.

    No targeting key is taken: a flag that parts nobody needs none. A whole number is the same id as its text.
    """
    try:
        context = _decoder.decode(body).context or {}
    except msgspec.ValidationError as error:
        raise _bad("INVALID_CONTEXT", f"the context does not fit: {error}", key) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(
            f"the body is not valid JSON: {error or 'nested too deeply'}",
            hint='send {"context": {"targetingKey": "..."}} in UTF-8',
            key=key,
        ) from None
    unit = context.pop("targetingKey", "")
    if isinstance(unit, bool) or not isinstance(unit, str | int):
        raise _bad("INVALID_CONTEXT", "targetingKey is neither text nor a whole number", key)
    return Asked(str(unit), context)


def unit_of(flag: Flag, key: object, attributes: Mapping[str, Any]) -> object:
    """The unit of this flag: the tenant or device that the context names, else the targeting key."""
    named = key if flag.unit == "user" else attributes.get(flag.unit)
    return named if is_named(named) else key


def needs_unit(flag: Flag) -> bool:
    """Whether it parts units, so that nobody in particular has no answer."""
    return bool(flag.layer) or any(rule.split is not None for rule in flag.rules)


def fault_of(evaluation: Evaluation, flag: Flag | None) -> str:
    """OpenFeature's code of what went wrong with it; "" when it is an answer."""
    if evaluation.reason == "ERROR":
        return evaluation.error or "GENERAL"
    if evaluation.unit or flag is None or not needs_unit(flag):
        return ""
    # While rules are stale, that is the reason of whatever they give.
    gave_up = evaluation.reason == "STALE" and evaluation.variant == flag.off
    return KEY_MISSING if gave_up or evaluation.reason == "DEFAULT" else ""


def metadata_of(flag: Flag) -> dict[str, bool | int | float | str]:
    """What may be told of a flag: plain values, and never its salt."""
    told: dict[str, bool | int | float | str] = {
        "kind": flag.kind,
        "algorithm": flag.algorithm,
        "phase": flag.phase,
        "generation": flag.generation,
    }
    if flag.kind != "flag":
        told[flag.kind] = flag.name
    return told


def told(evaluation: Evaluation, flag: Flag | None) -> dict[str, Any]:
    """One result as OFREP writes it: success or failure."""
    fault = fault_of(evaluation, flag)
    if fault or flag is None:
        return failure(fault or FLAG_NOT_FOUND, evaluation.flag)
    result: dict[str, Any] = {
        "key": evaluation.flag,
        "reason": evaluation.reason,
        "variant": evaluation.variant,
    }
    if evaluation.value is not None:
        result["value"] = evaluation.value
    result["metadata"] = metadata_of(flag)
    return result


def failure(fault: str, key: str) -> dict[str, Any]:
    """The result of a flag that could not be evaluated."""
    code = fault if fault in _ERRORS else "GENERAL"
    return {"key": key, "errorCode": code, "errorDetails": _details(code, key)}


def problem_of(fault: str, key: str) -> Problem:
    """The same as the answer to a request for that flag alone."""
    if fault == FLAG_NOT_FOUND:
        return NoSuchFlag(_details(fault, key), key=key)
    return _bad(fault if fault in _ERRORS else "GENERAL", _details(fault, key), key)


def bulk(results: Sequence[Mapping[str, Any]], version: int) -> bytes:
    """The body of a bulk evaluation, flags in the order of their names."""
    ordered = sorted(results, key=lambda each: str(each["key"]))
    return encode_json({"flags": ordered, "metadata": {"version": version}})


class Tags:
    """Entity tags of what one Ruleset gives to whoever asks for all of it, without evaluating anything.

    What is given follows from the rules, the context, which schedules have begun or ended, and whether the
    rules are stale: all of it is in the tag. Rules alone would not do, since another context gives other
    values; nor would their version, which comes back with another meaning when a backup is restored.
    """

    __slots__ = ("_rules", "_turns", "ruleset")

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._rules = hashlib.sha256(msgspec.json.encode(ruleset, order="deterministic")).digest()
        rules = [rule for flag in ruleset.flags.values() for rule in flag.rules]
        turns = {at for rule in rules for at in (rule.from_ms, rule.until_ms) if at is not None}
        self._turns = sorted(turns)

    def tag(self, asked: Asked, now_ms: int, *, stale: bool, everyone: bool) -> str:
        """The tag of what `asked` gets now; `everyone`: of flags marked for clients only."""
        passed = bisect_right(self._turns, now_ms)
        known = msgspec.json.encode(
            [asked.unit, asked.attributes, passed, stale, everyone], order="deterministic"
        )
        return f'"{hashlib.sha256(self._rules + known).hexdigest()[:32]}"'


def holds(if_none_match: str, etag: str) -> bool:
    """Whether the caller has it already, by weak comparison; OFREP's own examples have no quotes."""
    wanted = etag.strip('"')
    given = (part.strip().removeprefix("W/").strip('"') for part in if_none_match.split(","))
    return any(part in (wanted, "*") for part in given)


def in_ofrep_shape(problem: Problem, request_id: str) -> bytes:
    """The body of an answer that is this problem."""
    body = {"errorCode": _code(problem), "errorDetails": problem.line()}
    if key := problem.members.get("key"):
        body["key"] = str(key)
    return encode_json(body)


def _code(problem: Problem) -> str:
    if isinstance(problem, NoSuchFlag):
        return FLAG_NOT_FOUND
    if isinstance(problem, BadContext):
        return str(problem.members.get("error_code", "INVALID_CONTEXT"))
    return "PARSE_ERROR" if isinstance(problem, Malformed) else "GENERAL"


def _bad(fault: str, detail: str, key: str) -> BadContext:
    hint = 'send {"context": {"targetingKey": "..."}}' if fault in (KEY_MISSING, "INVALID_CONTEXT") else ""
    return BadContext(detail, hint=hint, key=key, error_code=fault)


def _details(code: str, key: str) -> str:
    return {
        FLAG_NOT_FOUND: f"there is no flag {key!r:.120}",
        KEY_MISSING: "this flag parts users, and the context names none",
        "INVALID_CONTEXT": "the targeting key is nobody's id",
    }.get(code, "the flag could not be evaluated")
