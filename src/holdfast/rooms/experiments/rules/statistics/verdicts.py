"""The decision, from everything that was found. What blocks comes first, what is only good news last.

sample ratio broken                                   -> blocked
too few units, or a metric without data               -> too-early; at the last look: inconclusive
an arm better in a primary, worse in none,
  every guardrail shown to be no worse                -> ship
the same, a guardrail still open                      -> keep-going; at the last look: do-not-ship
an arm worse in a primary or beyond a guardrail       -> harm
an effect of the planned size is excluded
  (at the last look; with always-valid intervals any) -> no-difference
the last look, and none of these                      -> inconclusive
else                                                  -> keep-going
"""

from collections.abc import Iterator, Sequence

from holdfast.rooms.experiments.rules.experiments import Plan
from holdfast.rooms.experiments.rules.statistics.comparing import LEAST_UNITS
from holdfast.rooms.experiments.rules.statistics.results import (
    Analysis,
    Comparison,
    Decision,
    Reason,
    Verdict,
)


def verdict(found: Analysis, plan: Plan, expected: Sequence[tuple[str, str]]) -> Verdict:
    """What to do, why, and what to keep in mind. `expected`: primary and guardrail (metric, arm) pairs."""
    if not found.sample_ratio.holds:
        reason = Reason("sample-ratio", figures={"p": found.sample_ratio.p})
        return Verdict("blocked", reasons=(reason,), final=found.final)
    missing = tuple(_missing(found, expected))
    decision, arm, reasons = _unready(found, missing) or _decided(found, plan)
    return Verdict(decision, arm, (*reasons, *_cautions(found)), found.final)


def harms(verdict: Verdict) -> dict[str, list[str]]:
    """The arms that do harm, by this verdict, and to which metrics."""
    codes = {"other-worse"} | ({"worse", "guardrail-broken"} if verdict.decision == "harm" else set())
    found: dict[str, list[str]] = {}
    for one in verdict.reasons:
        if one.code in codes:
            found.setdefault(one.arm, []).append(one.metric)
    return found


def _missing(found: Analysis, expected: Sequence[tuple[str, str]]) -> Iterator[Reason]:
    there = {(one.metric, one.arm) for one in found.comparisons}
    for metric, arm in expected:
        if (metric, arm) not in there:
            yield Reason("no-data", metric, arm)
    fewest = min(found.sample_ratio.observed.values(), default=0)  # without arms whose share is 0
    if fewest < LEAST_UNITS:
        yield Reason("few-units", figures={"units": float(fewest), "least": float(LEAST_UNITS)})


def _unready(found: Analysis, missing: tuple[Reason, ...]) -> tuple[Decision, str, tuple[Reason, ...]] | None:
    if missing:
        return ("inconclusive" if found.final else "too-early"), "", missing
    if not any(one.role == "primary" for one in found.comparisons):
        return ("inconclusive" if found.final else "keep-going"), "", (Reason("no-primary"),)
    return None


def _decided(found: Analysis, plan: Plan) -> tuple[Decision, str, tuple[Reason, ...]]:
    arms = dict.fromkeys(one.arm for one in found.comparisons)
    bad = {arm: reasons for arm in arms if (reasons := tuple(_harms(found, arm)))}
    good = {arm: reasons for arm in arms if arm not in bad and (reasons := tuple(_gains(found, arm)))}
    guarded = {arm: open_ for arm in good if (open_ := tuple(_open_guardrails(found, arm)))}
    safe = [arm for arm in good if arm not in guarded]
    if safe:
        best = max(safe, key=lambda arm: _strongest(found, arm))
        return "ship", best, (*good[best], *_guardrails_hold(found, best), *_others_harm(found, best))
    if bad:
        arm = min(bad, key=lambda arm: -len(bad[arm]))
        return "harm", arm, (*bad[arm], *_others_harm(found, arm))
    if guarded:
        arm = next(iter(guarded))
        return ("do-not-ship" if found.final else "keep-going"), arm, (*good[arm], *guarded[arm])
    return _nothing(found, plan)


def _harms(found: Analysis, arm: str) -> Iterator[Reason]:
    for one in found.comparisons:
        if one.arm == arm and one.finding == "worse" and one.role != "secondary":
            yield reason("worse" if one.role == "primary" else "guardrail-broken", one)


def _others_harm(found: Analysis, best: str) -> Iterator[Reason]:
    for one in found.comparisons:
        if one.arm != best and one.finding == "worse" and one.role != "secondary":
            yield reason("other-worse", one)


def _gains(found: Analysis, arm: str) -> Iterator[Reason]:
    for one in found.comparisons:
        if one.arm == arm and one.finding == "better" and one.role == "primary":
            yield reason("better", one)


def _open_guardrails(found: Analysis, arm: str) -> Iterator[Reason]:
    for one in found.comparisons:
        if one.arm == arm and one.role == "guardrail" and one.finding != "no-worse":
            yield reason("guardrail-open", one)


def _guardrails_hold(found: Analysis, arm: str) -> Iterator[Reason]:
    for one in found.comparisons:
        if one.arm == arm and one.role == "guardrail":
            yield reason("guardrail-holds", one)


def _strongest(found: Analysis, arm: str) -> float:
    return max(abs(one.z) for one in found.comparisons if one.arm == arm and one.role == "primary")


def _nothing(found: Analysis, plan: Plan) -> tuple[Decision, str, tuple[Reason, ...]]:
    primaries = [one for one in found.comparisons if one.role == "primary"]
    may_say_no = found.final or all(one.method == "always-valid" for one in primaries)
    if may_say_no and plan.effect and all(_within(one, plan.effect) for one in primaries):
        return "no-difference", "", tuple(reason("too-small", one, least=plan.effect) for one in primaries)
    if found.final:
        return "inconclusive", "", tuple(reason("unclear", one) for one in primaries)
    if found.information is None:
        return "keep-going", "", tuple(reason("unclear", one) for one in primaries)
    return "keep-going", "", (Reason("under-way", figures={"information": found.information}),)


def _within(one: Comparison, effect: float) -> bool:
    """Whether changes of the planned size are excluded, both ways."""
    if one.relative_low is None or one.relative_high is None:
        return False
    return -effect < one.relative_low and one.relative_high < effect


def _cautions(found: Analysis) -> Iterator[Reason]:
    """What does not decide but must be known."""
    if found.early and found.information is not None:
        yield Reason("stopped-early", figures={"information": found.information})
    for worn in found.novelty:
        if worn.wears_off:
            yield Reason("wears-off", worn.metric, worn.arm, {"first": worn.first, "later": worn.later})
    for strata in found.strata:
        if strata.disagrees:
            yield Reason("strata-disagree", strata.metric, strata.arm, {"absolute": strata.absolute})
    for one in found.comparisons:
        if one.role == "secondary" and one.finding == "worse":
            yield reason("secondary-worse", one)
    everybody = found.mixed + sum(found.units.values())
    if found.mixed:
        yield Reason("mixed", figures={"units": float(found.mixed), "share": found.mixed / everybody})


def reason(code: str, one: Comparison, **more: float) -> Reason:
    """A comparison as a reason, with its figures."""
    figures = {"absolute": one.absolute, "low": one.low, "high": one.high, **more}
    if one.relative is not None and one.relative_low is not None and one.relative_high is not None:
        figures |= {
            "relative": one.relative,
            "relative_low": one.relative_low,
            "relative_high": one.relative_high,
        }
    if one.margin is not None:
        figures["margin"] = one.margin
    return Reason(code, one.metric, one.arm, figures)
