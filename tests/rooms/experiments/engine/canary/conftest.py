"""A site of one process, on each database."""

import pytest

from tests.rooms.experiments.engine.canary.lives import Process, Site, release


async def _begun(sql):
    made = Site(await Process(sql).start())
    await made.processes[0].releases.operating.define(release(), "mina")
    await made.processes[0].releases.start("ranker", "mina")
    return made


@pytest.fixture
async def site(database):
    """A process with a release that has just been started, on each database."""
    return await _begun(database)


@pytest.fixture
async def sqlite_site(sqlite_database):
    """For what does not depend on the database."""
    return await _begun(sqlite_database)
