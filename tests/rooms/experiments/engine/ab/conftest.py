"""Experiments over a database, with a manual clock and a population to feed them."""

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.ids import IdSource
from holdfast.rooms.experiments.engine.ab.experiments import Experiments
from holdfast.rooms.experiments.rules.settings import Config
from holdfast.rooms.experiments.store.releases import ReleaseStore
from holdfast.rooms.experiments.store.rules import RuleStore
from tests.rooms.experiments.engine.ab.streams import METRICS, START_S


@pytest.fixture
def clock():
    return ManualClock(START_S)


@pytest.fixture
def made(clock):
    """Makes the room's experiments of one process over a database."""

    def make(sql, writer="p1", **settings):
        rules = RuleStore(sql, draw=IdSource(6).span_id)  # the same units in the same arms at every run
        config = Config(metrics=list(METRICS), **settings)
        return Experiments(
            config, sql=sql, rules=rules, actions=ReleaseStore(sql), clock=clock, writer=writer
        )

    return make


@pytest.fixture
async def known(database):
    """The actions of the metrics have been tracked."""
    await ReleaseStore(database).tracked({"buy": 1, "visit": 1})
    return database


@pytest.fixture
async def sqlite_known(sqlite_database):
    """The same, for what does not depend on the database."""
    await ReleaseStore(sqlite_database).tracked({"buy": 1, "visit": 1})
    return sqlite_database
