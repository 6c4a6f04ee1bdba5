"""From the flag to the figures: whoever asks for a variant is counted, and what he does after it."""

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.event import ProductEvent
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoEventLog
from holdfast.rooms.experiments.engine.changes import Changes
from holdfast.rooms.experiments.rules.experiments import Experiment, Measure, Metric, Plan, Watched
from holdfast.rooms.experiments.rules.settings import Config
from tests.rooms.experiments.engine.ab.streams import START_S

BOUGHT = Metric("bought", "conversion", Measure("event", "buy"))


@pytest.fixture
async def life(sqlite_database):
    clock, log = ManualClock(START_S), NoEventLog()
    changes = Changes(
        Config(metrics=[BOUGHT], internal=["tester"]),
        sql=sqlite_database,
        clock=clock,
        log=log,
        ids=IdSource(6),
    )
    log.tap(changes.intake.saw)
    await changes.rulebook.start()
    await changes.experiments.lives.put(
        Experiment(
            "buttons",
            metrics=(Watched("bought", "primary"),),
            plan=Plan(units_per_arm=500),
            allow_unseen=True,
        ),
        "kim",
    )
    await changes.experiments.lives.start("buttons", "kim")
    yield changes, clock, log
    await changes.rulebook.stop()


async def test_whoever_uses_a_variant_is_counted_in_its_arm(life):
    changes, clock, log = life
    arms = {}
    for n in range(200):
        user = f"이용자{n}"
        arms[user] = changes.variant("buttons", user)
        clock.advance(0.01)
        log.append(ProductEvent(user_id=user, action="buy", facts={"value": 3}))
    assert changes.variant("buttons", "tester") == "control"
    await changes.flush()
    looked = await changes.experiments.look("buttons", "kim")
    wanted = {arm: list(arms.values()).count(arm) for arm in ("control", "treatment")}
    assert looked.analysis.units == wanted
    assert 60 < wanted["treatment"] < 140
    found = looked.analysis.comparisons[0]
    assert (found.control.value, found.treatment.value) == (1.0, 1.0)


async def test_what_was_seen_is_kept_when_the_process_stops(life):
    changes, _, log = life
    changes.variant("buttons", "kim")
    log.append(ProductEvent(user_id="lee", action="buy"))
    await changes.flush(closing=True)
    assert changes.experiments.taker.waiting == 0
