"""Wiring of the experiments room."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Migration, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import EventLog, Meter
from holdfast.ports.shared import Shared
from holdfast.ports.storage import Sql
from holdfast.rooms.experiments.engine.ab.verbs import ExperimentVerbs
from holdfast.rooms.experiments.engine.canary.verbs import ReleaseVerbs
from holdfast.rooms.experiments.engine.changes import Changes
from holdfast.rooms.experiments.engine.flags.editing import Editor
from holdfast.rooms.experiments.engine.flags.verbs import FlagVerbs
from holdfast.rooms.experiments.engine.installed import install, uninstall
from holdfast.rooms.experiments.http import experiments as experiments_http
from holdfast.rooms.experiments.http import flags as flags_http
from holdfast.rooms.experiments.http import ofrep, track
from holdfast.rooms.experiments.http import releases as releases_http
from holdfast.rooms.experiments.rules.settings import Config as Config
from holdfast.rooms.experiments.store import tables


class ExperimentsRoom(Room):
    """Flags, releases and experiments over one database; `shared` makes a change known at once."""

    name: ClassVar[str] = "experiments"
    migrations: ClassVar[Sequence[Migration]] = tables.MIGRATIONS

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        shared: Shared | None,
        clock: Clock,
        ids: IdSource,
        meter: Meter,
        log: EventLog,
        supervisor: Supervisor,
    ) -> None:
        self.config = config
        self.changes = Changes(config, sql=sql, shared=shared, clock=clock, meter=meter, log=log, ids=ids)
        self._editor = Editor(self.changes.rules, self.changes.rulebook, clock, self.changes.internal)
        self._flag_verbs = FlagVerbs(self._editor)
        self._release_verbs = ReleaseVerbs(self.changes.releases)
        self._experiment_verbs = ExperimentVerbs(self.changes.experiments, self.changes.releases.report)
        self._log = log
        self._supervisor = supervisor
        self._untap: Callable[[], None] | None = None

    async def start(self) -> None:
        if self._untap is None:
            self._untap = self._log.tap(self.changes.intake.saw)
            await self.changes.rulebook.start()
            await self.changes.reading.pulse()
            install(self.changes, self.changes.tracking)
            self._supervisor.every("experiments rules", self.config.poll_s, self.changes.rulebook.refresh)
            self._supervisor.every("experiments provider", self.config.poll_s, self.changes.reading.pulse)
            self._supervisor.every("experiments flush", self.config.flush_s, self.changes.flush)
            self._supervisor.every("experiments turn", self.config.turn_s, self.changes.turn)

    async def stop(self) -> None:
        if self._untap is not None:
            self._untap()
            self._untap = None
            uninstall(self.changes)
            await self.changes.flush(closing=True)
            await self.changes.rulebook.stop()

    def checks(self) -> Sequence[Check]:
        return (Check("experiments", self.changes.asking.finding), *self.changes.releases.checks())

    def routes(self) -> Sequence[Route]:
        return (
            *flags_http.routes(flags_http.FlagsHttp(self._editor)),
            *releases_http.routes(releases_http.ReleasesHttp(self.changes.releases)),
            *experiments_http.routes(experiments_http.ExperimentsHttp(self.changes.experiments)),
            *ofrep.routes(self.changes.reading, everyone=self.config.ofrep == "client"),
            *track.routes(self.changes.tracking),
        )

    def verbs(self) -> Sequence[Verb]:
        return (*self._flag_verbs.all(), *self._release_verbs.all(), *self._experiment_verbs.all())
