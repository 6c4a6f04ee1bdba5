"""What a unit gets: kill switch, layer, holdout, override, then the rules in order.

`evaluate` answers once; a `Decider` has compiled a whole Ruleset, and is what a hot path asks:

    name -> compiled flag -> enabled? -> slot of its layer? -> holdout? -> override? -> first rule that fits
                                                                                        |
                            variant, or a split: bucket -> the opened part of a lane, or `rest`

Everything is decided by what is passed in, the time included. A unit that is no id, or a flag that is not
there, gives reason ERROR and never an exception.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from holdfast.rooms.experiments.rules.assigning import BadUnit, buckets, normalise
from holdfast.rooms.experiments.rules.flags import (
    BUCKETS,
    Evaluation,
    Flag,
    Reason,
    Rule,
    Ruleset,
    Split,
)
from holdfast.rooms.experiments.rules.targeting import Attributes, Test, all_of, membership

NOBODY: Attributes = {}
CONTROL = "control"
"""What an evaluation of a flag that is not there names."""


class Steps(msgspec.Struct, frozen=True):
    """How it came to an evaluation, for people."""

    evaluation: Evaluation
    because: str
    """`disabled`, `outside the layer's slots`, `holdout`, `override`, `rule 2`, `no rule fits`,
    `an internal user`."""
    bucket: int | None = None
    layer_bucket: int | None = None
    holdout_bucket: int | None = None
    lane: str = ""
    """The lane that the bucket lies in, opened or not."""


def evaluate(
    ruleset: Ruleset, name: str, unit: object, attributes: Attributes | None = None, now_ms: int = 0
) -> Evaluation:
    """What `unit` gets of the flag now. Compiles that flag each time: a hot path keeps a Decider."""
    flag = ruleset.flags.get(name)
    if flag is None:
        return failed(name, "FLAG_NOT_FOUND")
    return _Compiled(flag, ruleset).decide(unit, attributes or NOBODY, now_ms)


def explain(
    ruleset: Ruleset, name: str, unit: object, attributes: Attributes | None = None, now_ms: int = 0
) -> Steps:
    """The same answer with the steps that led to it."""
    flag = ruleset.flags.get(name)
    if flag is None:
        return Steps(failed(name, "FLAG_NOT_FOUND"), "there is no such flag")
    return _Compiled(flag, ruleset).explain(unit, attributes or NOBODY, now_ms)


def failed(name: str, error: str, flag: Flag | None = None, unit: str = "") -> Evaluation:
    """An evaluation that went wrong: what the flag gives while it is off, and never an exposure."""
    if flag is None:
        return Evaluation(name, CONTROL, None, "ERROR", unit=unit, error=error)
    return Evaluation(name, flag.off, flag.variants.get(flag.off), "ERROR", unit, flag.phase, error=error)


class Decider:
    """A Ruleset made ready to be asked a hundred thousand times a second."""

    __slots__ = ("_flags", "ruleset")

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._flags = {name: _Compiled(flag, ruleset) for name, flag in ruleset.flags.items()}

    def evaluate(
        self, name: str, unit: object, attributes: Attributes | None = None, now_ms: int = 0
    ) -> Evaluation:
        """As the function of this name."""
        compiled = self._flags.get(name)
        if compiled is None:
            return failed(name, "FLAG_NOT_FOUND")
        return compiled.decide(unit, attributes or NOBODY, now_ms)

    def off(self, name: str, unit: str = "") -> Evaluation:
        """What somebody gets who takes no part: bots, internal users, excluded paths."""
        compiled = self._flags.get(name)
        return failed(name, "FLAG_NOT_FOUND") if compiled is None else compiled.gives_off("DEFAULT", unit)


class _CompiledRule:
    __slots__ = ("always", "ends", "reason", "rest", "segments", "split", "starts", "variant", "when")

    def __init__(self, rule: Rule, ruleset: Ruleset) -> None:
        self.when: Test | None = all_of(rule.when)
        found = [ruleset.segments[name] for name in rule.segments if name in ruleset.segments]
        self.segments: Test | None = membership(found) if rule.segments else None
        self.starts, self.ends = rule.from_ms, rule.until_ms
        self.variant = rule.variant
        self.split = None if rule.split is None else opened(rule.split)
        self.rest = "" if rule.split is None else rule.split.rest
        scheduled = rule.from_ms is not None or rule.until_ms is not None
        self.always = not (scheduled or rule.when or rule.segments)
        self.reason: Reason = "STATIC" if self.always else "TARGETING_MATCH"

    def fits(self, attributes: Attributes, now_ms: int) -> bool:
        if self.starts is not None and now_ms < self.starts:
            return False
        if self.ends is not None and now_ms >= self.ends:
            return False
        if self.when is not None and not self.when(attributes):
            return False
        return self.segments is None or self.segments(attributes)


def opened(split: Split) -> tuple[tuple[int, int, str], ...]:
    """Of each lane: where it begins, up to where it is opened, and its variant."""
    found, begins = [], 0
    for lane in split.lanes:
        found.append((begins, begins + lane.share * split.rollout // BUCKETS, lane.variant))
        begins += lane.share
    return tuple(found)


def lane_of(split: Split, at: int) -> str:
    """The variant of the lane that bucket `at` lies in, opened or not; "" outside them all."""
    begins = 0
    for lane in split.lanes:
        if begins <= at < begins + lane.share:
            return lane.variant
        begins += lane.share
    return ""


class _Compiled:
    __slots__ = (
        "_bucket",
        "_counts_lanes",
        "_counts_rest",
        "_flag",
        "_holdout",
        "_layer_bucket",
        "_overrides",
        "_rules",
        "_values",
    )

    def __init__(self, flag: Flag, ruleset: Ruleset) -> None:
        self._flag = flag
        self._values: Mapping[str, Any] = flag.variants
        self._rules = tuple(_CompiledRule(rule, ruleset) for rule in flag.rules)
        layer = ruleset.layers.get(flag.layer) if flag.layer else None
        self._bucket = buckets(flag.salt)
        self._layer_bucket = None if not flag.layer else buckets("" if layer is None else layer.salt)
        heeds = flag.heeds_holdout and ruleset.holdout.share > 0
        self._holdout = (buckets(ruleset.holdout.salt), ruleset.holdout.share) if heeds else None
        self._overrides = ruleset.overrides.get(flag.name)
        self._counts_lanes = flag.kind != "flag"
        self._counts_rest = flag.kind == "release"

    def decide(self, unit: object, attributes: Attributes, now_ms: int) -> Evaluation:
        flag = self._flag
        try:
            who = normalise(unit)
        except BadUnit:
            return failed(flag.name, "INVALID_CONTEXT", flag)
        if not flag.enabled:
            return self.gives_off("DISABLED", who)
        if self._layer_bucket is not None and not self._in_slots(self._layer_bucket, who):
            return self.gives_off("DEFAULT", who)
        if self._holdout is not None and who and self._holdout[0](who) < self._holdout[1]:
            return self.gives_off("DEFAULT", who)
        if self._overrides is not None and who in self._overrides:
            return self._gives(self._overrides[who], "TARGETING_MATCH", who)
        for rule in self._rules:
            if rule.always or rule.fits(attributes, now_ms):
                return self._by(rule, who)
        return self.gives_off("DEFAULT", who)

    def gives_off(self, reason: Reason, who: str) -> Evaluation:
        flag = self._flag
        return Evaluation(flag.name, flag.off, self._values.get(flag.off), reason, who, flag.phase)

    def _gives(self, variant: str, reason: Reason, who: str, counted: bool = False) -> Evaluation:
        if variant not in self._values:
            return failed(self._flag.name, "GENERAL", self._flag, who)
        flag = self._flag
        return Evaluation(flag.name, variant, self._values[variant], reason, who, flag.phase, counted)

    def _by(self, rule: _CompiledRule, who: str) -> Evaluation:
        if rule.split is None:
            return self._gives(rule.variant, rule.reason, who)
        if not who:
            return self.gives_off("DEFAULT", who)
        at = self._bucket(who)
        for begins, ends, variant in rule.split:
            if begins <= at < ends:
                return self._gives(variant, "SPLIT", who, self._counts_lanes)
        return self._gives(rule.rest, "SPLIT", who, self._counts_rest)

    def _in_slots(self, layer_bucket: Callable[[str], int], who: str) -> bool:
        slots = self._flag.slots
        if slots is None or not who:
            return False
        return slots[0] <= layer_bucket(who) < slots[1]

    def explain(self, unit: object, attributes: Attributes, now_ms: int) -> Steps:
        found = self.decide(unit, attributes, now_ms)
        flag, who = self._flag, found.unit
        fitting = next((at for at, each in enumerate(self._rules) if each.fits(attributes, now_ms)), None)
        rule = None if fitting is None else flag.rules[fitting]
        at = self._bucket(who) if who else None
        split = None if rule is None else rule.split
        holdout = self._holdout
        held = holdout[0](who) if holdout and who else None
        return Steps(
            found,
            self._because(found, held, fitting),
            bucket=at,
            layer_bucket=self._layer_bucket(who) if self._layer_bucket is not None and who else None,
            holdout_bucket=held,
            lane=lane_of(split, at) if split is not None and at is not None else "",
        )

    def _because(self, found: Evaluation, held: int | None, fitting: int | None) -> str:
        if found.error:
            return f"error: {found.error}"
        if not self._flag.enabled:
            return "disabled"
        if self._layer_bucket is not None and not self._in_slots(self._layer_bucket, found.unit):
            return "outside the layer's slots"
        if self._holdout is not None and held is not None and held < self._holdout[1]:
            return "holdout"
        if self._overrides is not None and found.unit in self._overrides:
            return "override"
        if fitting is None:
            return "no rule fits"
        if self._rules[fitting].split is not None and not found.unit:
            return f"rule {fitting + 1} parts units, and there is none"
        return f"rule {fitting + 1}"
