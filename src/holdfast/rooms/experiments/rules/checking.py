"""Whether a definition can be meant: what contradicts itself or names what is not there is refused.

Checked before it is stored, against the Ruleset that it joins; so deciding needs no doubts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from holdfast.rooms.experiments.rules.flags import (
    ALGORITHM,
    BUCKETS,
    Condition,
    Flag,
    Holdout,
    Layer,
    Rule,
    Ruleset,
    Segment,
    Split,
)
from holdfast.rooms.experiments.rules.patterns import pattern_fault
from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.readable import check_readable
from holdfast.rooms.experiments.rules.targeting import instant, version

MOST_VARIANTS, MOST_RULES, MOST_CONDITIONS = 50, 100, 1000
MOST_PHASES = 1_000_000
"""They only go up: a slip of the finger must leave room for the next one."""
_SALT = re.compile(r"[\x21-\x7e]{1,100}\Z")
_VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""Variants stand in a header, between `=` and `,`."""
_JSON_TYPES: tuple[tuple[Any, str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (dict, "an object"),
    ((list, tuple, set, frozenset), "an array"),
    (type(None), "null"),
)
Offered = Mapping[str, tuple[str, ...]]


def check_flag(
    flag: Flag, ruleset: Ruleset, before: Flag | None = None, offered: Offered | None = None
) -> None:
    """Raises BadDefinition. `before` is the flag as it stood; `offered`, what code said that it can serve."""
    check_readable(flag)
    _check_salt(flag.salt)
    if flag.algorithm != ALGORITHM:
        raise BadDefinition(f"there is no algorithm {flag.algorithm!r}", hint=f"it is {ALGORITHM}")
    _check_variants(flag, offered or {})
    if len(flag.rules) > MOST_RULES:
        raise BadDefinition(f"a flag has at most {MOST_RULES} rules")
    for at, rule in enumerate(flag.rules, 1):
        _check_rule(rule, f"rule {at}", flag, ruleset)
    _check_slots(flag, ruleset)
    for prefix in flag.routes:
        if not prefix.startswith("/"):
            raise BadDefinition(f"{prefix!r} is no prefix of a path", hint="it begins with /")
    _check_phase(flag)
    if before is not None:
        _check_change(flag, before)


def check_segment(segment: Segment) -> None:
    """Raises BadDefinition."""
    check_readable(segment)
    if not segment.any_of:
        raise BadDefinition(f"segment {segment.name!r} holds nobody", hint="give it a group of conditions")
    for at, group in enumerate(segment.any_of, 1):
        if not group:
            raise BadDefinition(f"group {at} has no conditions", hint="leave it out, or say whom it holds")
        _check_conditions(group, f"group {at}")


def check_layer(layer: Layer) -> None:
    """Raises BadDefinition."""
    check_readable(layer)
    _check_salt(layer.salt)


def check_holdout(holdout: Holdout) -> None:
    """Raises BadDefinition."""
    check_readable(holdout)
    _check_salt(holdout.salt)


def check_override(flag: Flag, variant: str) -> None:
    """Raises BadDefinition."""
    _known("variant", variant, flag.variants, f"an override of {flag.name!r}")


def segment_in_use(name: str, ruleset: Ruleset) -> None:
    """Raises BadDefinition while a flag still asks for the segment."""
    _refuse_used("segment", name, (f for f in ruleset.flags.values() for r in f.rules if name in r.segments))


def layer_in_use(name: str, ruleset: Ruleset) -> None:
    """Raises BadDefinition while a flag lies in the layer."""
    _refuse_used("layer", name, (flag for flag in ruleset.flags.values() if flag.layer == name))


def lanes_of(flag: Flag) -> list[list[tuple[str, int]]]:
    """What decides who is in which lane; the same list means the same units."""
    return [[(lane.variant, lane.share) for lane in rule.split.lanes] for rule in flag.rules if rule.split]


def _check_variants(flag: Flag, offered: Offered) -> None:
    if not flag.variants:
        raise BadDefinition(f"flag {flag.name!r} has no variants", hint='e.g. {"control": false, "on": true}')
    if len(flag.variants) > MOST_VARIANTS:
        raise BadDefinition(f"a flag has at most {MOST_VARIANTS} variants")
    for name in flag.variants:
        if not _VARIANT.match(name):
            raise BadDefinition(
                f"{name!r} is no name of a variant", hint="letters, digits, dot, dash, underscore"
            )
    kinds = {_json_type(value) for value in flag.variants.values()}
    if len(kinds) > 1:
        raise BadDefinition(
            f"the variants' values are of several types: {', '.join(sorted(kinds))}",
            hint="give them one type",
        )
    _known("variant", flag.off, flag.variants, "`off`")
    served = offered.get(flag.name)
    if served is not None and flag.kind != "flag":
        for variant in flag.variants:
            _check_served(flag.name, variant, served)


def _check_served(flag: str, variant: str, served: Sequence[str]) -> None:
    if variant in served:
        return
    near = get_close_matches(variant, served, n=1)
    raise BadDefinition(
        f"the code cannot serve {variant!r} as {flag!r}: it offers {', '.join(served)}",
        hint=f"did you mean {near[0]!r}?"
        if near
        else "declare it first, in [recommend.variants.NAME] or [conversations.variants.NAME] of the "
        "settings, or where your code calls `offer`",
    )


def _check_rule(rule: Rule, where: str, flag: Flag, ruleset: Ruleset) -> None:
    _check_conditions(rule.when, where)
    for name in rule.segments:
        _known("segment", name, ruleset.segments, where)
    if rule.from_ms is not None and rule.until_ms is not None and rule.from_ms >= rule.until_ms:
        raise BadDefinition(f"{where} ends before it begins", hint="until_ms must be after from_ms")
    if bool(rule.variant) == (rule.split is not None):
        raise BadDefinition(f"{where} must serve either a variant or a split")
    if rule.split is None:
        _known("variant", rule.variant, flag.variants, where)
    else:
        _check_split(rule.split, where, flag)


def _check_split(split: Split, where: str, flag: Flag) -> None:
    if not split.lanes:
        raise BadDefinition(f"{where} has a split without lanes")
    for lane in split.lanes:
        _known("variant", lane.variant, flag.variants, where)
    _known("variant", split.rest, flag.variants, f"`rest` of {where}")
    total = sum(lane.share for lane in split.lanes)
    if total > BUCKETS:
        raise BadDefinition(
            f"the lanes of {where} come to {total} of {BUCKETS} buckets",
            hint="shares are buckets: 500 is 5 %",
        )


def _check_slots(flag: Flag, ruleset: Ruleset) -> None:
    if not flag.layer:
        if flag.slots is not None:
            raise BadDefinition("slots without a layer", hint="name the layer whose buckets they are")
        return
    _known("layer", flag.layer, ruleset.layers, f"flag {flag.name!r}")
    if flag.slots is None or flag.slots[0] >= flag.slots[1]:
        raise BadDefinition("a flag in a layer needs slots, from below up to", hint="e.g. [0, 5000]")
    for other in ruleset.flags.values():
        if other.name == flag.name or other.layer != flag.layer or other.slots is None:
            continue
        if other.unit != flag.unit:
            raise BadDefinition(
                f"{other.name!r} in layer {flag.layer!r} parts {other.unit}s, this one {flag.unit}s",
                hint="only flags of one kind of unit can exclude each other",
            )
        if flag.slots[0] < other.slots[1] and other.slots[0] < flag.slots[1]:
            raise BadDefinition(
                f"slots {list(flag.slots)} overlap {list(other.slots)} of {other.name!r}",
                hint="flags of one layer share its buckets; GET /admin/layers shows which are free",
            )


def _check_phase(flag: Flag) -> None:
    if not 1 <= flag.phase <= MOST_PHASES:
        raise BadDefinition(f"there is no phase {flag.phase}", hint=f"phases are 1 to {MOST_PHASES:,}")


def _check_change(flag: Flag, before: Flag) -> None:
    if flag.phase < before.phase:
        raise BadDefinition(f"phase {flag.phase} comes before {before.phase}", hint="phases only go up")
    if flag.kind == "flag" or before.kind == "flag" or flag.phase > before.phase:
        return
    if lanes_of(flag) != lanes_of(before) or flag.salt != before.salt or flag.unit != before.unit:
        raise BadDefinition(
            f"the lanes of {flag.name!r} change within a phase: what was seen before and after would mix",
            hint=f"set phase to {before.phase + 1}; raising `rollout` needs no new phase",
        )


def _check_conditions(conditions: Iterable[Condition], where: str) -> None:
    for condition in conditions:
        _check_condition(condition, where)


def _check_condition(condition: Condition, where: str) -> None:
    operator, value = condition.is_, condition.value
    if not condition.attribute:
        raise BadDefinition(f"{where} has a condition without an attribute")
    said = f"`{condition.attribute} {operator}` of {where}"
    if operator in ("in", "not_in"):
        if not isinstance(value, list) or not value:
            raise BadDefinition(f"{said} takes a list", hint='e.g. ["pro", "team"]')
        if len(value) > MOST_CONDITIONS:
            raise BadDefinition(
                f"{said} takes at most {MOST_CONDITIONS} values", hint="mark them by an attribute"
            )
    elif operator == "matches":
        if fault := pattern_fault(value):
            raise BadDefinition(f"{said}: {fault}", hint="starts_with, contains or `in` do most of it")
    elif operator in ("starts_with", "ends_with") and not isinstance(value, str):
        raise BadDefinition(f"{said} takes text", hint='e.g. "kr-"')
    elif operator in ("less", "at_most", "more", "at_least") and _json_type(value) != "a number":
        raise BadDefinition(f"{said} takes a number", hint="e.g. 18")
    elif operator in ("version_less", "version_at_least") and version(value) is None:
        raise BadDefinition(f"{said} takes a version", hint='e.g. "2.10.0" or "1.0-beta.2"')
    elif operator in ("before", "after") and instant(value) is None:
        raise BadDefinition(f"{said} takes a time", hint='e.g. "2026-12-01T09:00:00+09:00"')
    elif operator in ("is", "is_not", "contains") and value is None:
        raise BadDefinition(f"{said} takes a value", hint="`missing` asks for what is not there")


def _check_salt(salt: str) -> None:
    if salt and not _SALT.match(salt):
        raise BadDefinition("a salt is printable ASCII without spaces", hint="leave it out: one is drawn")


def _json_type(value: Any) -> str:
    """What it is as JSON; a time or an id given in code is written as text."""
    return next((word for kind, word in _JSON_TYPES if isinstance(value, kind)), "text")


def gaps(taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The stretches of a layer's buckets between those taken, from bucket 0 on."""
    found, begins = [], 0
    for low, high in (*sorted(taken), (BUCKETS, BUCKETS)):
        if low > begins:
            found.append((begins, low))
        begins = max(begins, high)
    return found


def _known(kind: str, name: str, known: Iterable[str], where: str) -> None:
    there = list(known)
    if name in there:
        return
    near = get_close_matches(name, there, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "there are: " + (", ".join(sorted(there)[:20]) or "none")
    raise BadDefinition(f"there is no {kind} {name!r}, named by {where}", hint=hint)


def _refuse_used(kind: str, name: str, flags: Iterable[Flag]) -> None:
    users = sorted({flag.name for flag in flags})
    if users:
        raise BadDefinition(
            f"{kind} {name!r} is in use by {', '.join(users[:20])}", hint="take it out of these flags first"
        )
