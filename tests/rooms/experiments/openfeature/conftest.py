"""The room's flags behind OpenFeature's SDK."""

import pytest

from tests.rooms.experiments.openfeature.world import World


@pytest.fixture
async def unstarted(sqlite_database):
    made = World(sqlite_database)
    yield made
    await made.stop()


@pytest.fixture
async def world(unstarted):
    await unstarted.start()
    return unstarted
