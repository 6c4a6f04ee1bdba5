"""The parts of a turn: time without common clocks, who is alive, the path, what is refused at the start."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.codec import encode_json
from holdfast.rooms.experiments.engine.canary import deciding, moves
from holdfast.rooms.experiments.engine.canary.beats import Beats
from holdfast.rooms.experiments.engine.canary.deciding import decide
from holdfast.rooms.experiments.engine.canary.elapsed import StageClock
from holdfast.rooms.experiments.engine.canary.last_minute import MOST, LastMinute, together
from holdfast.rooms.experiments.engine.canary.state import read_state
from holdfast.rooms.experiments.rules.canary.checks import check_release
from holdfast.rooms.experiments.rules.canary.counts import Counts
from holdfast.rooms.experiments.rules.flags import Condition
from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.releases import Gate, Stage
from holdfast.rooms.experiments.store.release_rows import Beat, Minute, Standing, Sum
from tests.rooms.experiments.engine.canary.lives import release


def begun(**changes):
    return moves.started(Standing(name="ranker", definition=release(**changes)), 1, 0).now


# -- time -----------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 5), st.booleans()), max_size=40),
    st.tuples(*[st.floats(0, 1e6)] * 3),
)
def test_time_in_a_stage_never_steps_back_and_never_runs_fast(turns, skews):
    """Processes with clocks of their own take turns as they like; one of them writes now and then."""
    clocks = [ManualClock(monotonic_s=skew) for skew in skews]
    stages = [StageClock(clock.monotonic) for clock in clocks]
    row, true_s = begun(), 0.0
    for process, seconds, writes in turns:
        for clock in clocks:
            clock.advance(seconds)
        true_s += seconds
        found = stages[process].elapsed_s(row)
        assert row.elapsed_s <= found <= true_s + 1e-6
        if writes:
            row = replace(row, elapsed_s=found, turn=row.turn + 1)


def test_two_processes_that_take_turns_do_not_lose_the_time_between():
    clocks = [ManualClock(monotonic_s=skew) for skew in (0.0, 500_000.0)]
    stages = [StageClock(clock.monotonic) for clock in clocks]
    row = begun()
    for stage in stages:
        stage.elapsed_s(row)
    for turn in range(100):
        for clock in clocks:
            clock.advance(1)
        row = replace(row, elapsed_s=stages[turn % 2].elapsed_s(row), turn=turn)
    assert row.elapsed_s == pytest.approx(100)


def test_a_new_period_begins_at_what_its_row_says():
    clock = ManualClock()
    stage = StageClock(clock.monotonic)
    row = begun()
    stage.elapsed_s(row)
    clock.advance(50)
    assert stage.elapsed_s(row) == 50
    assert stage.elapsed_s(replace(row, period=2)) == 0
    clock.advance(7200)
    assert stage.elapsed_s(replace(row, period=2)) == 60  # nobody looked
    stage.keep_only([])
    assert stage.elapsed_s(row) == 0


# -- who is alive ---------------------------------------------------------------------------------


def test_a_process_that_says_nothing_new_is_left_out():
    clock = ManualClock()
    beats = Beats("own", clock.monotonic)
    failing = Minute(treatment_failing=("a", "b"))
    said = [Beat("own", 1, Minute(control_successes=3)), Beat("other", 1, failing)]
    assert beats.of("ranker", said) == Minute(control_successes=3)  # the other may have died long ago
    said[1] = Beat("other", 2, failing)
    assert beats.of("ranker", said).treatment_failing == ("a", "b")
    clock.advance(59)
    assert beats.of("ranker", said).treatment_failing == ("a", "b")
    clock.advance(1)
    assert beats.of("ranker", said).treatment_failing == ()


def test_the_last_minute_forgets_and_counts_each_unit_once():
    minute = LastMinute(1)
    for at_s in (0.0, 0.5, 30.0):
        minute.saw(at_s, "treatment", "mina", True)
        minute.saw(at_s, "control", "juno", False)
    minute.saw(30.0, "treatment", "juno", False)
    assert minute.recent(30.0) == Minute(("mina",), (), 1, 1)
    assert minute.recent(90.0) == Minute(("mina",), (), 1, 1)
    assert minute.recent(91.0) == Minute()


def test_the_last_minute_is_bounded():
    minute = LastMinute(1)
    for n in range(10_000):
        minute.saw(n / 1000, "treatment", f"user-{n:05}", True)
    assert len(minute.recent(10.0).treatment_failing) == MOST


def test_a_unit_that_failed_at_two_processes_is_one():
    said = [Minute(("a", "b"), ("c",), 1, 2), Minute(("b",), (), 0, 5)]
    assert together(said) == Minute(("a", "b"), ("c",), 1, 7)


# -- a turn ---------------------------------------------------------------------------------------


@dataclass
class Site:
    """Turns over counts that grow."""

    row: Standing
    n: int = 0
    points: int = 0
    thinned: int = 0

    def turn(self, n=0, bad=0, seconds=1.0):
        self.n += n
        sums = [Sum("treatment", "errors", self.n, bad), Sum("control", "errors", self.n, 0)]
        move = decide(self.row, sums, Minute(), self.row.elapsed_s + seconds, 0)
        self.points += move.point is not None
        self.thinned += move.thin is not None
        self.row = move.now
        return move


def test_a_path_is_bounded_however_long_a_stage_lasts():
    site = Site(begun(dwell_s=1e9))
    for _ in range(5_000):
        assert site.turn(n=1).did == ""
    state = read_state(site.row)
    assert state.turns == 5_000
    assert state.kept <= deciding.MOST_POINTS
    assert site.thinned >= 4
    assert site.points < 4 * deciding.MOST_POINTS


def test_a_path_is_bounded_where_silence_and_counts_take_turns_for_days():
    """Each change of verdict was kept, and doubled the stride until no database could hold it."""
    site, strides = Site(begun(dwell_s=1e9)), []
    for turn in range(4_000):
        move = site.turn(n=turn % 2, seconds=1.0 if turn % 2 else 61.0)
        strides.append(move.thin or 0)
    assert read_state(site.row).crossed == deciding.MOST_CROSSINGS
    assert site.points < 4 * deciding.MOST_POINTS
    assert max(strides) <= 4_000 / deciding.MOST_POINTS * 2


def test_a_turn_that_finds_nothing_new_only_grows_older():
    site = Site(begun())
    site.turn(n=100)
    before = read_state(site.row)
    assert site.turn().did == ""
    after = read_state(site.row)
    assert after.evidences["errors"].treatment == before.evidences["errors"].treatment
    assert after.evidences["errors"].age_s == before.evidences["errors"].age_s + 1
    assert (after.treatment_quiet_s, before.treatment_quiet_s) == (1, 0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_sums_that_step_back_take_nothing_in(steps):
    """A repeated write may count one less than the first; evidence never sees a negative count."""
    row, high = begun(dwell_s=1e9), [0, 0]
    for n, bad in steps:
        sums = [Sum("treatment", "errors", n, min(n, bad)), Sum("control", "errors", 100, 0)]
        move = decide(row, sums, Minute(), row.elapsed_s + 1, 0)
        if move.did:
            return
        row = move.now
        high = [max(high[0], n), max(high[1], min(n, bad))]
        counts = read_state(row).evidences["errors"].treatment
        assert [counts.n, counts.bad] == high


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stages": ()}, "no stage"),
        ({"stages": (Stage(0), Stage(500))}, "do not rise"),
        ({"stages": (Stage(500), Stage(400))}, "do not rise"),
        ({"stages": tuple(Stage(n + 1) for n in range(51))}, "more than 50"),
        ({"stages": (Stage(500, 3600.0, deadline_s=60.0),)}, "before its dwell time"),
        ({"values": {"control": 1}}, "variants control"),
        ({"values": {"control": 1, "treatment": 2, "other": 3}}, "a release has two"),
        ({"gates": ()}, "no gate"),
        ({"gates": (Gate("errors"), Gate("errors"))}, "one name"),
        ({"gates": (Gate("errors", observe_only=True),)}, "only observes"),
        ({"gates": (Gate("slow", of="latency"),)}, "no target"),
        ({"gates": (Gate("votes", of="event"),)}, "names no action"),
        ({"gates": (Gate("errors", action="vote"),)}, "settings of an event"),
        ({"gates": (Gate("votes", of="event", action="vote", bad_from=1, bad_below=0),)}, "two limits"),
        ({"gates": (Gate("errors", warn=0.02),)}, "beyond its limit"),
        ({"gates": (Gate("votes", of="event", action="vote"),), "unit": "device"}, "parts devices"),
        (
            {
                "gates": (Gate("errors"), Gate("votes", of="event", action="vote")),
                "when": (Condition("tier", "is", "pro"),),
            },
            "takes only some users in",
        ),
        ({"warm_up_s": 3600.0}, "before its warm-up"),
        ({"stages": (Stage(500, dwell_s=1e308),)}, "more than ten years"),
        ({"stale_s": 1e308}, "more than ten years"),
        ({"stages": (Stage(500, samples=10**400),)}, "samples"),
        ({"alpha": 5e-324}, "which no evidence reaches"),
        ({"gates": (Gate("errors", limit=1.0 - 1e-16),)}, "nothing is above"),
    ],
)
def test_a_release_that_could_not_be_judged_is_refused(change, said):
    with pytest.raises(BadDefinition) as refused:
        check_release(release(**change))
    assert said in f"{refused.value.detail} {refused.value.hint}"
    assert refused.value.hint


def test_a_release_as_it_is_by_default_can_be_started():
    check_release(release())


def test_a_release_for_some_is_judged_by_what_is_not_an_event():
    check_release(release(when=(Condition("tier", "is", "pro"),)))


def test_evidence_of_another_grid_begins_anew():
    site = Site(begun())
    site.turn(n=100)
    state = read_state(site.row)
    other = replace(state.evidences["errors"], relative=(0.0, 0.0))
    foreign = replace(state, evidences={"errors": other})
    site.row = replace(site.row, state=encode_json(foreign).decode())
    site.turn(n=10)
    assert read_state(site.row).evidences["errors"].treatment == Counts(10, 0)
