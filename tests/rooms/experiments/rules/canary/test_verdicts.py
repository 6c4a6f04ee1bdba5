"""Every verdict, and what stands between it and the next."""

import pytest

from holdfast.rooms.experiments.rules.canary.budget import terms_of
from holdfast.rooms.experiments.rules.canary.counts import Counts, Delta
from holdfast.rooms.experiments.rules.canary.evidence import Evidence, advance, next_stage, resumed
from holdfast.rooms.experiments.rules.canary.verdicts import Facts, Moment, deadline_s, judge, least_samples
from holdfast.rooms.experiments.rules.releases import Gate, Release, Stage

RELEASE = Release(name="r")
ALL = len(RELEASE.stages) - 1
HOUR_S = 3600.0
WELL = Facts(treatment_successes=60, control_successes=1140)


def seen(treatment, control, seconds=HOUR_S, turns=1, release=RELEASE, evidence=None):
    """Evidence after equal turns of these counts each."""
    evidence = evidence or Evidence()
    for _ in range(turns):
        delta = Delta(Counts(*treatment), Counts(*control), seconds / turns)
        evidence = advance(evidence, delta, terms_of(release, release.gates[0]))
    return evidence


def verdict(evidence, release=RELEASE, facts=WELL, stage=0, in_stage_s=60.0, quiet_s=0.0, held=False):
    moment = Moment(stage=stage, in_stage_s=in_stage_s, quiet_s=quiet_s, held=held)
    evidences = evidence if isinstance(evidence, dict) else {release.gates[0].name: evidence}
    return judge(release, moment, evidences, facts)


HEALTHY = seen((6000, 18), (114_000, 342))
QUIET = Evidence()

CRASHES = [
    (Facts(treatment_failing=5, control_successes=40), 0, "HARD_STOP", "crash", False),
    (Facts(treatment_failing=4, control_successes=40), 0, "EXTEND", "dwell", False),
    (Facts(treatment_failing=5, treatment_successes=1, control_successes=40), 0, "EXTEND", "dwell", False),
    (Facts(treatment_failing=5, control_failing=60), 0, "HOLD", "both_over_limit", False),
    (
        Facts(treatment_failing=5, control_failing=60, control_successes=9),
        0,
        "HOLD",
        "both_over_limit",
        False,
    ),
    (Facts(treatment_failing=5, control_successes=4), 0, "WARN", "over_limit_undecided", False),
    (Facts(treatment_failing=90), ALL, "HOLD", "over_limit_no_baseline", True),
]


@pytest.mark.parametrize(("facts", "stage", "kind", "why", "needs_baseline"), CRASHES)
def test_a_plain_crash_needs_no_statistics_but_a_control_that_is_well(
    facts, stage, kind, why, needs_baseline
):
    found = verdict(HEALTHY, facts=facts, stage=stage)
    assert (found.kind, found.why, found.needs_baseline) == (kind, why, needs_baseline)


def test_worse_than_the_baseline_is_rolled_back_with_the_numbers():
    found = verdict(seen((60, 3), (1140, 3), seconds=300.0, turns=5))
    assert (found.kind, found.why, found.gate) == ("ROLL_BACK", "worse_than_baseline", "errors")
    assert found.numbers["treatment_bad"] == 15
    assert found.numbers["log_evidence"] >= found.numbers["at"]


def test_a_defect_that_comes_after_twelve_hours_is_found_in_a_quarter_of_one():
    evidence = seen((600, 2), (11_400, 34), seconds=12 * HOUR_S, turns=72)
    assert verdict(evidence).kind == "EXTEND"
    assert (
        verdict(seen((600, 12), (11_400, 34), seconds=900.0, turns=2, evidence=evidence)).kind == "ROLL_BACK"
    )


def test_a_gate_that_only_watches_decides_nothing():
    release = Release(name="r", gates=(Gate("errors"), Gate("slow", observe_only=True)))
    found = verdict({"errors": HEALTHY, "slow": seen((60, 50), (1140, 3), turns=5)}, release)
    assert found.kind == "WARN"
    assert found.warnings == ("slow",)


def test_an_outage_of_both_arms_is_held():
    found = verdict(seen((60, 2), (1140, 23), turns=60))
    assert (found.kind, found.why) == ("HOLD", "both_over_limit")
    assert not found.needs_baseline


LEVELS = [
    # treatment over, control over, worse than it -> what
    (9.0, 9.0, 4.0, "HOLD", "both_over_limit"),
    (9.0, 5.0, 4.0, "HOLD", "both_over_limit"),
    (9.0, 2.0, 4.0, "HOLD", "baseline_not_well"),
    (9.0, -3.0, 0.0, "WARN", "over_limit_undecided"),
    (9.0, -3.0, 4.0, "ROLL_BACK", "over_limit"),
    (9.0, -3.0, 6.0, "ROLL_BACK", "worse_than_baseline"),
    (7.0, -3.0, 4.0, "EXTEND", "dwell"),
    (-3.0, 9.0, 6.0, "EXTEND", "dwell"),
    (-3.0, 2.0, 6.0, "EXTEND", "dwell"),
    (-3.0, 2.0, 7.5, "ROLL_BACK", "worse_than_baseline"),
    (9.0, 9.0, 9.0, "HOLD", "both_over_limit"),
    (9.0, 9.0, 14.5, "ROLL_BACK", "worse_than_baseline"),
]


@pytest.mark.parametrize(("over", "control", "worse", "kind", "why"), LEVELS)
def test_what_is_over_the_limit_is_weighed_against_its_baseline(over, control, worse, kind, why):
    evidence = Evidence(
        treatment=Counts(5000, 20),
        control=Counts(5000, 20),
        treatment_over=(over,) * 6,
        control_over=(control,) * 6,
        relative=(worse,) * 8,
    )
    found = verdict(evidence)
    assert (found.kind, found.why) == (kind, why)


@pytest.mark.parametrize(
    ("control", "kind"),
    [
        (Counts(300, 2), "ROLL_BACK"),
        (Counts(300, 4), "ROLL_BACK"),  # too few to say that it is not well
        (Counts(300, 6), "WARN"),
        (Counts(700, 6), "ROLL_BACK"),
    ],
)
def test_a_baseline_that_looks_bad_asks_for_much_more_before_its_evidence_has_grown(control, kind):
    evidence = Evidence(treatment=Counts(16, 3), control=control, relative=(7.0,) * 8)
    assert verdict(evidence).kind == kind


def test_a_treatment_that_always_fails_is_no_incident_while_too_few_are_counted_in_control():
    """Four of four failed, and control answered ten of ten: an incident of both arms it is not."""
    evidence = seen((4, 4), (10, 0), seconds=2.0)
    facts = Facts(treatment_failing=4, control_successes=10)
    found = verdict(evidence, facts=facts)
    assert (found.kind, found.why, found.gate) == ("WARN", "over_limit_undecided", "errors")
    passed = verdict(evidence, Release(name="r", stages=(Stage(500, 1.0, samples=1),)), facts=facts)
    assert passed.kind == "WARN", "it does not go on meanwhile"
    evidence = seen((1, 1), (3, 0), seconds=1.0, evidence=evidence)
    assert verdict(evidence, facts=facts).kind == "ROLL_BACK", "nor is the bar any higher afterwards"


@pytest.mark.parametrize(("in_stage_s", "kind"), [(3 * HOUR_S, "WARN"), (4 * HOUR_S + 1, "ROLL_BACK")])
def test_what_is_undecided_does_not_stay_for_ever(in_stage_s, kind):
    assert verdict(seen((4, 4), (10, 0)), in_stage_s=in_stage_s).kind == kind


def test_a_crash_of_which_control_says_nothing_neither_goes_on_nor_ends_a_hold():
    facts = Facts(treatment_failing=5)
    assert verdict(HEALTHY, in_stage_s=HOUR_S, facts=facts).kind == "WARN"
    assert verdict(HEALTHY, in_stage_s=HOUR_S, facts=facts, held=True).why == "still_bad"
    assert verdict(HEALTHY, in_stage_s=HOUR_S, held=True).kind == "RECOVER"


def test_without_a_baseline_nothing_over_the_limit_is_rolled_back():
    evidence = next_stage(HEALTHY)
    for _ in range(60):
        evidence = seen((1200, 24), (0, 0), seconds=60.0, evidence=evidence)
        assert verdict(evidence, stage=ALL).kind in ("EXTEND", "WARN", "HOLD")
    found = verdict(evidence, stage=ALL)
    assert (found.kind, found.why, found.needs_baseline) == ("HOLD", "over_limit_no_baseline", True)


def test_a_hold_lasts_until_both_arms_are_well_again_and_no_deadline_ends_it():
    evidence = seen((60, 2), (1140, 23), turns=60)
    late = 100 * HOUR_S
    assert verdict(evidence, held=True, in_stage_s=late).why == "still_bad"
    minutes = 0
    while verdict(evidence, held=True, in_stage_s=late).kind == "HOLD":
        evidence, minutes = seen((60, 0), (1140, 3), seconds=60.0, evidence=evidence), minutes + 1
    assert 5 < minutes < 90
    assert verdict(evidence, held=True, in_stage_s=late).kind == "RECOVER"
    assert verdict(resumed(evidence)).kind == "INCONCLUSIVE"


def test_silence_does_not_end_a_hold():
    found = verdict(HEALTHY, held=True, quiet_s=61.0, in_stage_s=100 * HOUR_S)
    assert (found.kind, found.why) == ("HOLD", "nothing_counted")


@pytest.mark.parametrize(("worse", "kind"), [(6.0, "HOLD"), (14.5, "HOLD"), (15.5, "ROLL_BACK")])
def test_while_it_is_held_it_takes_many_times_the_evidence(worse, kind):
    evidence = Evidence(
        treatment=Counts(9, 0), control=Counts(9, 0), treatment_over=(9.0,) * 6, relative=(worse,) * 8
    )
    assert verdict(evidence, held=True).kind == kind


MISSING = [
    ({}, 0.0),
    (QUIET, 0.0),
    (seen((0, 0), (1140, 3)), 0.0),
    (seen((60, 0), (0, 0)), 0.0),
    (HEALTHY, 60.1),
]


@pytest.mark.parametrize(("evidence", "quiet_s"), MISSING)
def test_no_data_is_no_pass_and_no_zero(evidence, quiet_s):
    passed = 2 * HOUR_S
    found = verdict(evidence, quiet_s=quiet_s, in_stage_s=passed)
    assert (found.kind, found.why) == ("INCONCLUSIVE", "nothing_counted")
    assert found.needs["seconds"] == deadline_s(RELEASE.stages[0]) - passed
    found = verdict(evidence, quiet_s=quiet_s, in_stage_s=4 * HOUR_S + 1)
    assert (found.kind, found.why) == ("ROLL_BACK", "deadline")


def test_one_gate_without_data_is_enough_for_that():
    release = Release(name="r", gates=(Gate("errors"), Gate("slow", of="latency", target_s=1.0)))
    found = verdict({"errors": HEALTHY}, release, in_stage_s=2 * HOUR_S)
    assert (found.kind, found.gate) == ("INCONCLUSIVE", "slow")


def test_a_stage_is_left_after_its_dwell_with_enough_counted_and_the_bound_below_the_limit():
    assert verdict(HEALTHY, in_stage_s=HOUR_S - 1).why == "dwell"
    assert verdict(HEALTHY, in_stage_s=HOUR_S).kind == "PROMOTE"


def test_too_few_stay():
    few = seen((600, 2), (11_400, 34))
    found = verdict(few, in_stage_s=HOUR_S)
    assert (found.kind, found.why) == ("EXTEND", "samples")
    assert found.needs["samples"] == least_samples(RELEASE.stages[0], RELEASE.gates[0], few) - 600
    release = Release(name="r", stages=(Stage(500, samples=500),), gates=(Gate("errors", limit=0.02),))
    assert verdict(few, release, in_stage_s=HOUR_S).kind == "PROMOTE"


def test_a_rate_that_may_still_be_over_the_limit_stays():
    found = verdict(seen((6000, 54), (114_000, 1026)), in_stage_s=HOUR_S)
    assert found.kind == "WARN"
    release = Release(name="r", gates=(Gate("errors", warn=0.0099),))
    found = verdict(seen((6000, 54), (114_000, 1026)), release, in_stage_s=HOUR_S)
    assert (found.kind, found.why) == ("EXTEND", "bound_over_limit")
    assert found.numbers["upper"] > 0.01
    assert verdict(seen((6000, 54), (114_000, 1026)), in_stage_s=5 * HOUR_S).why == "deadline"


def test_a_warning_does_not_keep_from_leaving_and_goes_with_it():
    evidence = seen((60_000, 420), (1_140_000, 7980))
    assert verdict(evidence, in_stage_s=60.0).kind == "WARN"
    found = verdict(evidence, in_stage_s=HOUR_S)
    assert (found.kind, found.warnings) == ("PROMOTE", ("errors",))


def test_the_last_stage_is_left_without_a_baseline():
    evidence = next_stage(HEALTHY)
    evidence = seen((72_000, 216), (0, 0), evidence=evidence)
    assert verdict(evidence, stage=ALL, in_stage_s=HOUR_S).kind == "PROMOTE"


@pytest.mark.parametrize(
    ("stage", "expected"),
    [(Stage(500), 14_400.0), (Stage(500, 60.0), 3600.0), (Stage(500, 60.0, deadline_s=90.0), 90.0)],
)
def test_the_deadline_of_a_stage(stage, expected):
    assert deadline_s(stage) == expected
