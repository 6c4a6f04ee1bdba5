"""One process's flags over a real database, read by others: through OpenFeature's SDK, or over OFREP."""

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.event import ProductEvent
from holdfast.ports.services import NoEventLog
from holdfast.rooms.experiments.engine.changes import Changes
from holdfast.rooms.experiments.rules.outcomes import EXPOSURE
from holdfast.rooms.experiments.rules.settings import Config
from tests.meters import RecordingMeter

ERRORS = "holdfast_experiments_evaluation_errors_total"


class Log(NoEventLog):
    """An event log that keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []
        self.append = self.told.append


class World:
    """One process's flags, and what it wrote down."""

    def __init__(self, database, **settings):
        self._database = database
        self.clock = ManualClock()
        self.log = Log()
        self.meter = RecordingMeter()
        self.changes = Changes(
            Config(**settings), sql=database, clock=self.clock, meter=self.meter, log=self.log
        )
        self.provider = self.changes.provider()
        self.exposure_hook = self.changes.exposure_hook

    async def start(self):
        await self.changes.rulebook.start()
        await self.changes.reading.pulse()

    async def stop(self):
        await self.changes.rulebook.stop()

    async def put(self, flag):
        async with self._database.transaction() as tx:
            await self.changes.rules.put_flag(tx, flag, "kim", 0)
        await self.changes.rulebook.changed()
        await self.changes.reading.pulse()

    def flag(self, name):
        return self.changes.rulebook.ruleset.flags[name]

    async def lose_database(self):
        await self._database.stop()
        await self._look()

    async def find_database(self):
        await self._database.start()
        await self._look()

    async def _look(self):
        await self.changes.rulebook.refresh()
        await self.changes.reading.pulse()

    def events(self):
        return [each for each in self.log.told if isinstance(each, ProductEvent)]

    def exposures(self):
        """Each as flag, variant, unit."""
        found = [each.facts["exposed"] for each in self.events() if each.action == EXPOSURE]
        parts = [line.split("=", 1) for line in found]
        return [(flag, rest.split(" ")[0], rest.split(" ", 2)[2]) for flag, rest in parts]

    def tracked(self):
        return [each for each in self.events() if each.action != EXPOSURE]

    def health(self):
        return self.changes.asking.finding()

    async def errors(self):
        """How many, and the codes that health shows."""
        counted = sum(len(lines) for (name, _), lines in self.meter.told.items() if name == ERRORS)
        facts = (await self.health()).facts
        return counted, {*facts["erring"].values(), *["FLAG_NOT_FOUND" for _ in facts["unknown"]]}
