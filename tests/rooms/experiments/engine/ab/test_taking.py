"""Sums kept by differences are those of a recomputation, whoever writes and whatever happens on the way."""

import asyncio
import random

import msgspec
import pytest
from sqlalchemy import select

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.rooms.experiments.engine.ab.taking import MOST_VALUES, SETTLE_S, Taker
from holdfast.rooms.experiments.rules.ab.taking import CROSSED, MIXED
from holdfast.rooms.experiments.rules.ab.watching import Watch
from holdfast.rooms.experiments.rules.statistics.quantile import bin_of
from holdfast.rooms.experiments.store.ab_sums import SumsStore
from holdfast.rooms.experiments.store.ab_tables import units
from tests.rooms.experiments.engine.ab.streams import (
    METRICS,
    START_S,
    event,
    exposure,
    recomputed,
    request,
    running,
    with_cuped,
)


@pytest.fixture
def clock():
    return ManualClock(START_S + 1000)


@pytest.fixture
def watch():
    return Watch([running()])


def stream(seed, units=40, mixed=True):
    """A random life of some units, in the order of their clocks."""
    draw = random.Random(seed)
    found = []
    for at in range(units):
        unit, arm = f"사용자-{at}", draw.choice(["control", "treatment"])
        begun = draw.uniform(0, 500)
        found += [event(unit, "buy", begun - draw.uniform(1, 50), 9.0)] if draw.random() < 0.3 else []
        found.append(exposure(unit, arm, begun, tier=draw.choice(["free", "pro"])))
        for _ in range(draw.randrange(5)):
            found.append(event(unit, "visit", begun + draw.uniform(0, 400)))
        for _ in range(draw.randrange(4)):
            found.append(event(unit, "buy", begun + draw.uniform(0, 400), round(draw.uniform(-5, 40), 2)))
        for _ in range(draw.randrange(3)):
            found.append(request(unit, arm, begun + draw.uniform(0, 400), draw.uniform(0, 2)))
        if mixed and draw.random() < 0.15:
            other = "control" if arm == "treatment" else "treatment"
            found.append(exposure(unit, other, begun + draw.uniform(0, 400)))
    return sorted(found, key=lambda outcome: outcome.at_s)


def agree(kept, wanted):
    for (arm, metric), sums in wanted.items():
        assert kept.counts.get(("", "", arm), 0) == sums["n"]
        got = kept.sums.get(("", "", arm, metric))
        for name in ("y", "yy", "d", "dd", "yd"):
            value = 0.0 if got is None else getattr(got, name)
            assert value == pytest.approx(sums[name], rel=1e-9, abs=1e-7), (arm, metric, name)


@pytest.mark.parametrize("seed", range(2))
async def test_eight_writers_keep_the_sums_of_the_raw_events(database, clock, seed):
    watch = Watch([running(), running("prices", METRICS[:2])])
    outcomes = stream(seed)
    # The same users are in a second experiment, where they come in the opposite order.
    outcomes += [exposure(f"사용자-{at}", "control", 500 - at, name="prices") for at in range(40)]
    outcomes.sort(key=lambda outcome: outcome.at_s)
    draw, sums = random.Random(seed), SumsStore(database)
    takers = [Taker(sums, clock.wall, f"p{n}") for n in range(8)]
    for start in range(0, len(outcomes), 60):
        for outcome in outcomes[start : start + 60]:
            draw.choice(takers).add([outcome])
        await asyncio.gather(*(taker.write(watch) for taker in takers))
    clock.advance(SETTLE_S)
    await asyncio.gather(*(taker.write(watch) for taker in takers))
    agree(await sums.kept("buttons", 1), recomputed(outcomes))
    assert (await sums.kept("prices", 1)).units("control") == 40
    assert not any(taker.waiting for taker in takers)


async def test_segments_and_strata_add_up_to_the_whole(sqlite_database, clock, watch):
    sums = SumsStore(sqlite_database)
    taker = Taker(sums, clock.wall, "p")
    taker.add(stream(7))
    await taker.write(watch, closing=True)
    kept = await sums.kept("buttons", 1)
    for attribute in ("visitor", "tier", "@day", "@stratum"):
        for arm in ("control", "treatment"):
            parts = [n for (of, _, has), n in kept.counts.items() if of == attribute and has == arm]
            assert sum(parts) == kept.counts["", "", arm]
            spent = [
                s.y for (of, _, has, m), s in kept.sums.items() if (of, has, m) == (attribute, arm, "spent")
            ]
            assert sum(spent) == pytest.approx(kept.sums["", "", arm, "spent"].y)


async def test_a_unit_of_two_arms_leaves_no_trace_in_the_sums(database, clock, watch):
    sums = SumsStore(database)
    taker = Taker(sums, clock.wall, "p")
    taker.add([exposure("a", "control", 0), event("a", "buy", 1, 5.0), exposure("b", "control", 0)])
    await taker.write(watch)
    taker.add([exposure("a", "treatment", 2), event("a", "buy", 3, 5.0)])
    await taker.write(watch)
    kept = await sums.kept("buttons", 1)
    assert kept.mixed == 1
    assert kept.counts["", "", "control"] == 1
    assert ("", "", "treatment") not in kept.counts
    assert all(not any(msgspec.structs.astuple(each)) for each in kept.sums.values())
    assert all(not any(numbers.values()) for numbers in kept.bins.values())


async def test_a_unit_of_two_phases_belongs_to_the_first_whichever_is_heard_of_first(database, clock):
    stored = running()
    second = msgspec.structs.replace(stored, phase=2)
    sums, watch = SumsStore(database), Watch([second])
    taker = Taker(sums, clock.wall, "p")
    taker.add([exposure("late", "control", 20, phase=2), exposure("both", "control", 0)])
    await taker.write(watch)
    taker.add([exposure("late", "control", 1), exposure("both", "treatment", 30, phase=2)])
    await taker.write(watch)
    one, two = await sums.kept("buttons", 1), await sums.kept("buttons", 2)
    assert one.counts["", "", "control"] == 2
    assert one.mixed == 0
    assert two.crossed == 2
    assert two.counts.get(("", "", "control"), 0) == 0
    assert (*CROSSED, "") in two.counts
    assert (*MIXED, "") not in two.counts


async def test_what_a_unit_did_before_is_its_past_and_nothing_later(database, clock):
    sums, watch = SumsStore(database), Watch([with_cuped(running())])
    taker = Taker(sums, clock.wall, "p")
    taker.add([event("a", "buy", -100, 3.0), event("a", "buy", -50, 4.0)])
    await taker.write(watch)
    assert taker.waiting, "their exposure may be on its way, in another process"
    clock.advance(SETTLE_S)
    await taker.write(watch)
    taker.add([exposure("a", "control", 0), event("a", "buy", 1, 10.0), event("a", "buy", -10, 99.0)])
    await taker.write(watch, closing=True)
    got = (await sums.kept("buttons", 1)).sums["", "", "control", "per-visit"]
    assert (got.y, got.x, got.yx, got.xx) == (10.0, 106.0, 1060.0, 106.0**2)


async def test_a_deed_that_comes_before_the_exposure_it_followed_is_counted(sqlite_database, clock, watch):
    sums = SumsStore(sqlite_database)
    fast, slow = Taker(sums, clock.wall, "fast"), Taker(sums, clock.wall, "slow")
    fast.add([event("a", "buy", 1, 10.0)])
    await fast.write(watch)
    slow.add([exposure("a", "control", 0)])
    await slow.write(watch)
    clock.advance(SETTLE_S)
    await fast.write(watch)
    assert (await sums.kept("buttons", 1)).sums["", "", "control", "spent"].y == 10.0


async def test_clocks_that_disagree_put_nothing_of_the_treatment_into_the_past(sqlite_database, clock):
    sums, watch = SumsStore(sqlite_database), Watch([with_cuped(running())])
    ahead, behind = Taker(sums, clock.wall, "ahead"), Taker(sums, clock.wall, "behind")
    ahead.add([exposure("a", "control", 2)])
    await ahead.write(watch)
    behind.add([event("a", "buy", 0, 10.0), event("a", "buy", -60, 7.0)])
    await behind.write(watch, closing=True)
    got = (await sums.kept("buttons", 1)).sums["", "", "control", "per-visit"]
    assert (got.y, got.x) == (0.0, 7.0)


async def test_a_user_exposed_as_a_session_moves_that_sessions_totals(sqlite_database, clock, watch):
    sums = SumsStore(sqlite_database)
    one, two = Taker(sums, clock.wall, "one"), Taker(sums, clock.wall, "two")
    one.add([msgspec.structs.replace(exposure("session-9", "control", 0), user="kim")])
    await one.write(watch)
    two.add([event("kim", "buy", 5, 7.0)])
    await two.write(watch)
    assert (await sums.kept("buttons", 1)).sums["", "", "control", "spent"].y == 7.0


class Dropping:
    """A database whose commits succeed but whose answers may be lost, and that may be away."""

    def __init__(self, sql):
        self._sql, self.away, self.deaf = sql, False, False

    def __getattr__(self, name):
        if self.away:
            raise Unavailable("away")
        return getattr(self._sql, name)

    def transaction(self):
        return _Deaf(self)


class _Deaf:
    def __init__(self, dropping):
        self._dropping = dropping

    async def __aenter__(self):
        if self._dropping.away:
            raise Unavailable("away")
        self._inner = self._dropping._sql.transaction()
        return await self._inner.__aenter__()

    async def __aexit__(self, *error):
        await self._inner.__aexit__(*error)
        if self._dropping.deaf:
            raise Unavailable("the answer was lost")


async def test_nothing_is_lost_or_doubled_while_the_database_is_away(database, clock, watch):
    dropping = Dropping(database)
    sums = SumsStore(dropping)
    taker = Taker(sums, clock.wall, "p")
    outcomes = stream(11, units=20, mixed=False)
    for at, outcome in enumerate(outcomes):
        taker.add([outcome])
        dropping.away, dropping.deaf = at % 7 == 3, at % 5 == 2
        try:
            await taker.write(watch)
        except Unavailable:
            assert taker.waiting
    dropping.away = dropping.deaf = False
    clock.advance(SETTLE_S)
    await taker.write(watch)
    assert taker.lost == 0
    agree(await sums.kept("buttons", 1), recomputed(outcomes))


async def test_what_there_is_no_room_for_is_counted_as_lost(sqlite_database, clock, watch, monkeypatch):
    monkeypatch.setattr("holdfast.rooms.experiments.engine.ab.taking.MOST_WAITING", 3)
    taker = Taker(SumsStore(sqlite_database), clock.wall, "p")
    taker.add([exposure(f"u{n}", "control", n) for n in range(5)])
    assert (taker.waiting, taker.lost) == (3, 2)


async def test_a_segment_of_endless_values_stays_bounded(sqlite_database, clock):
    watch, sums = Watch([running(segments=("session",))]), SumsStore(sqlite_database)
    taker = Taker(sums, clock.wall, "p")
    taker.add([exposure(f"u{n}", "control", n, session=f"s{n}") for n in range(MOST_VALUES + 9)])
    await taker.write(watch)
    counts = (await sums.kept("buttons", 1)).counts
    values = {value: n for (of, value, _), n in counts.items() if of == "session"}
    assert len(values) == MOST_VALUES + 1
    assert values["other"] == 9


async def test_who_was_known_before_the_start_returns(sqlite_database, clock, watch):
    sums = SumsStore(sqlite_database)
    first = Taker(sums, clock.wall, "before")
    first.add([event("known", "anything", -5)])
    await first.write(Watch())
    taker = Taker(sums, clock.wall, "p")
    taker.add([exposure("known", "control", 1), exposure("nobody-knew", "control", 1)])
    await taker.write(watch)
    counts = (await sums.kept("buttons", 1)).counts
    assert counts["visitor", "returning", "control"] == 1
    assert counts["visitor", "new", "control"] == 1


async def test_a_user_moves_the_totals_of_the_tenant_he_was_exposed_as(database, clock):
    watch, sums = Watch([running(unit="tenant")]), SumsStore(database)
    seen = msgspec.structs.replace(exposure("acme", "control", 0), user="kim")
    Taker(sums, clock.wall, "p")
    one, two = Taker(sums, clock.wall, "one"), Taker(sums, clock.wall, "two")
    one.add([seen])
    await one.write(watch)
    two.add([event("kim", "buy", 5, 7.0), event("lee", "buy", 5, 9.0)])
    await two.write(watch, closing=True)
    assert (await sums.kept("buttons", 1)).sums["", "", "control", "spent"].y == 7.0


async def spent(sums, arm="control"):
    """What an arm's units spent in all."""
    found = (await sums.kept("buttons", 1)).sums.get(("", "", arm, "spent"))
    return 0.0 if found is None else found.y


def as_part_of(unit, user, arm="control"):
    """That the user is shown an arm as the tenant, device or session that is the unit."""
    return msgspec.structs.replace(exposure(unit, arm, 0), user=user)


@pytest.mark.parametrize("kind", ["user", "tenant", "device"])
async def test_a_deed_waits_for_the_exposure_that_tells_whose_it_is(database, clock, kind):
    watch, sums = Watch([running(unit=kind)]), SumsStore(database)
    fast, slow = Taker(sums, clock.wall, "fast"), Taker(sums, clock.wall, "slow")
    fast.add([event("kim", "buy", 1, 10.0)])
    await fast.write(watch)
    slow.add([as_part_of("acme", "kim")])
    await slow.write(watch)
    clock.advance(SETTLE_S)
    await fast.write(watch)
    assert await spent(sums) == 10.0
    assert fast.waiting == 0


@pytest.mark.parametrize("kind", ["tenant", "device"])
async def test_a_unit_that_is_named_itself_is_known_to_every_process(database, clock, kind):
    """Of a device that nobody has signed in on, there is no other name."""
    watch, sums = Watch([running(unit=kind)]), SumsStore(database)
    one, two = Taker(sums, clock.wall, "one"), Taker(sums, clock.wall, "two")
    two.add([event("phone-1", "buy", 4, 3.0)])
    await two.write(watch)
    one.add([exposure("phone-1", "control", 0)])
    await one.write(watch)
    two.add([event("phone-1", "buy", 5, 7.0), event("phone-2", "buy", 5, 9.0)])
    await two.write(watch, closing=True)
    assert await spent(sums) == 10.0
    assert (await sums.kept("buttons", 1)).counts["", "", "control"] == 1


async def test_a_user_whose_number_is_another_tenants_moves_his_own_tenants_totals(sqlite_database, clock):
    watch, sums = Watch([running(unit="tenant")]), SumsStore(sqlite_database)
    taker = Taker(sums, clock.wall, "p")
    taker.add([as_part_of("7", "42"), as_part_of("42", "7", "treatment")])
    await taker.write(watch)
    taker.add([event("42", "buy", 5, 7.0)])
    await taker.write(watch, closing=True)
    assert (await spent(sums), await spent(sums, "treatment")) == (7.0, 0.0)


async def test_the_first_request_of_a_tenant_is_counted_as_every_later_one(sqlite_database, clock):
    watch, sums = Watch([running(unit="tenant")]), SumsStore(sqlite_database)
    taker = Taker(sums, clock.wall, "p")
    taker.add([msgspec.structs.replace(request("acme", "control", at, 2.0), user="kim") for at in (0, 1)])
    await taker.write(watch, closing=True)
    assert (await sums.kept("buttons", 1)).sums["", "", "control", "seconds"].y == 4.0


async def test_a_quantile_keeps_units_by_the_bin_of_their_total(sqlite_database, clock, watch):
    sums = SumsStore(sqlite_database)
    taker = Taker(sums, clock.wall, "p")
    taker.add([exposure("a", "control", 0), exposure("b", "control", 0), event("a", "buy", 1, 5.0)])
    await taker.write(watch)
    taker.add([event("a", "buy", 2, 6.0)])
    await taker.write(watch)
    assert (await sums.kept("buttons", 1)).bins["", "", "control", "slowest"] == {bin_of(11.0): 1}


async def test_a_fact_that_is_no_text_is_counted_as_what_is_left_of_it(database, clock):
    watch, sums = Watch([running(segments=("campaign",))]), SumsStore(database)
    taker = Taker(sums, clock.wall, "p")
    taker.add(
        [exposure("a", "control", 1, campaign="spring\ud83d"), exposure("b", "control", 1, campaign="봄")]
    )
    await taker.write(watch)
    counts = (await sums.kept("buttons", 1)).counts
    assert counts["campaign", "spring?", "control"] == 1
    assert counts["campaign", "봄", "control"] == 1
    assert taker.lost == 0


class _Refusing(SumsStore):
    """Fails with what it is told to, as long as it is told to."""

    error = None

    async def take(self, *args):
        if self.error is not None:
            raise self.error
        await super().take(*args)

    async def linked(self, *args):
        if self.error is not None:
            raise self.error
        return await super().linked(*args)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (BadInput("no"), 1),
        ("half a pair", 1),
        (OverflowError(), 1),
        (Unavailable("away"), 0),
        (ConnectionResetError(), 0),
    ],
    ids=str,
)
async def test_what_would_be_refused_for_ever_is_lost_and_what_passes_is_not(
    sqlite_database, clock, watch, error, lost
):
    if error == "half a pair":
        error = UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed")
    sums = _Refusing(sqlite_database)
    taker, sums.error = Taker(sums, clock.wall, "p"), error
    taker.add([exposure("a", "control", 1)])
    if lost:
        await taker.write(watch)
    else:
        with pytest.raises(type(error)):
            await taker.write(watch)
    sums.error = None
    taker.add([exposure("b", "control", 1)])
    await taker.write(watch)
    assert (taker.lost, taker.waiting) == (lost, 0)
    assert (await sums.kept("buttons", 1)).units("control") == 2 - lost


async def test_who_came_while_the_database_was_away_is_known_when_it_is_back(sqlite_database, clock):
    stored = msgspec.structs.replace(with_cuped(running()), status="collecting", phase=0)
    watch, sums = Watch([stored]), _Refusing(sqlite_database)
    taker, sums.error = Taker(sums, clock.wall, "p"), Unavailable("away")
    taker.add([event("a", "buy", 1, 2.0), event("b", "looks-around", 1)])
    with pytest.raises(Unavailable):
        await taker.write(watch)
    sums.error = None
    await taker.write(watch, closing=True)
    rows = await sqlite_database.fetch(select(units.c.unit).order_by(units.c.unit))
    assert [row[0] for row in rows] == ["a", "b"]
