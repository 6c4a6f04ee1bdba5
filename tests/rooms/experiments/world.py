"""A process with flags: the engine over a real database, with a clock, a meter and a log to look at."""

import msgspec

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import Ctx, Sources, enter, leave
from holdfast.kernel.event import Event
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoEventLog
from holdfast.rooms.experiments.engine.changes import Changes
from holdfast.rooms.experiments.engine.flags.editing import Editor
from holdfast.rooms.experiments.rules.flags import BUCKETS, Flag, Lane, Rule, Split
from holdfast.rooms.experiments.rules.settings import Config
from tests.meters import RecordingMeter

BROWSER = b"Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Safari/605.1.15"


class Passage(Ctx):
    """A request at the door, with the scope that the edge's own context has."""

    scope: dict = msgspec.field(default_factory=dict)


class Process:
    """One process; several on one database are several of them."""

    def __init__(self, database, shared=None, clock=None, **settings):
        self.clock = clock or ManualClock()
        self.meter = RecordingMeter()
        self.log = NoEventLog()
        self.records = []
        self.log.tap(self.records.append)
        self.changes = Changes(
            Config(**settings), sql=database, shared=shared, clock=self.clock, meter=self.meter, log=self.log
        )
        self.rulebook = self.changes.rulebook
        self.editor = Editor(self.changes.rules, self.rulebook, self.clock, self.changes.internal)

    async def put(self, flag):
        """The flag as it is kept, whoever owns it."""
        async with self.changes.rules.sql.transaction() as tx:
            kept = await self.changes.rules.put_flag(tx, flag, "test", 1)
        await self.rulebook.changed()
        return kept

    def request(self, path="/api/x", user="", tier="", tenant="", agent=BROWSER, **headers):
        """A request that has passed the door."""
        event = Event(user_id=user, tier=tier, request_id="r", trace_id="t")
        sent = [(b"user-agent", agent), *((name.encode(), value) for name, value in headers.items())]
        scope = {"path": path, "headers": sent}
        ctx = Passage(event, Sources(self.clock, IdSource()), tenant=tenant, scope=scope)
        self.changes.door.assign(scope, ctx)
        return ctx

    def errors(self, flag):
        """How often evaluations of the flag went wrong."""
        return self.meter.count("holdfast_experiments_evaluation_errors_total", flag)


class inside:
    """`with inside(ctx):` what runs there runs within that request."""

    def __init__(self, ctx):
        self.ctx = ctx

    def __enter__(self):
        self.token = enter(self.ctx)
        return self.ctx

    def __exit__(self, *raised):
        leave(self.token)


def rolled(rollout=BUCKETS, **more):
    """A flag whose treatment is opened so far."""
    values = more.pop("variants", {"control": "old", "treatment": "new"})
    rule = Rule(split=Split((Lane("treatment", BUCKETS),), rollout))
    return Flag(more.pop("name", "ranker"), values, rules=(rule,), **{"kind": "release", "salt": "s", **more})


class Dying:
    """A database that can be taken away: what is asked then fails as a driver fails."""

    def __init__(self, sql, failure):
        self._sql = sql
        self._failure = failure
        self.is_gone = False

    async def fetch(self, *asked):
        if self.is_gone:
            raise self._failure
        return await self._sql.fetch(*asked)

    def transaction(self):
        if self.is_gone:
            raise self._failure
        return self._sql.transaction()
