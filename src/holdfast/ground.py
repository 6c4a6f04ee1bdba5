"""What the composition stands on: settings, clock, stores and ports, and the rooms that were built so far."""

import errno
import logging
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from holdfast.kernel.clock import Clock
from holdfast.kernel.config import ROOT, Secret, Settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding, Migration, Room
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.cache import Cache, NoCache
from holdfast.ports.flags import Flags, NoFlags
from holdfast.ports.guards import Guards, PlainGuards
from holdfast.ports.jobs import Jobs
from holdfast.ports.model import Model, NoModel
from holdfast.ports.plain_jobs import PlainJobs
from holdfast.ports.services import Admission, Assignment, EventLog, Meter, NoEventLog, NoMeter
from holdfast.ports.shared import Shared
from holdfast.ports.storage import Sql

if TYPE_CHECKING:
    from holdfast.stores.driver import Driver
    from holdfast.stores.redis.client import RedisShared

logger = logging.getLogger("holdfast")

_DATABASE_GAUGES = (
    ("holdfast_database_pool_connections", "pool_size", "Connections that may be in use at once."),
    ("holdfast_database_busy_connections", "checked_out", "Connections in use now."),
    ("holdfast_database_waiting_calls", "waiting", "Calls that wait for a connection."),
    (
        "holdfast_database_refused_calls",
        "refused_total",
        "Calls that waited past their deadline, since the start.",
    ),
    ("holdfast_database_opened_connections", "opened_total", "Connections opened since the start."),
)

_SHARED_GAUGES = (
    ("holdfast_shared_up", "up", "Whether the shared store answers: 1 or 0."),
    ("holdfast_shared_waiting_calls", "waiting", "Calls on the shared store without a reply yet."),
    ("holdfast_shared_calls", "calls", "Calls on the shared store since the start."),
    ("holdfast_shared_missed_calls", "missed", "Calls that had no reply within the budget, since the start."),
    ("holdfast_shared_refused_calls", "turned_away", "Calls turned away without trying, since the start."),
    ("holdfast_shared_reconnects", "reconnects", "Connections opened again since the start."),
    ("holdfast_shared_outages", "outages", "Times the shared store went away since the start."),
)


class Config(Struct, frozen=True):
    """The settings at the top level of holdfast.toml."""

    url: Annotated[
        str | None, Meta(description="where truth lives: postgresql://…; nothing means SQLite in data_dir")
    ] = None
    data_dir: Annotated[str, Meta(description="folder for the database, the event log and models")] = (
        ".holdfast"
    )
    environment: Annotated[
        str,
        Meta(pattern="^(development|production)$", description="development opens admin addresses to all"),
    ] = "development"
    admin_token: Annotated[Secret, Meta(description="bearer token of the admin addresses in production")] = (
        Secret()
    )
    rooms: Annotated[list[str], Meta(description="rooms to run; empty means every room that can")] = []


class ServerConfig(Struct, frozen=True):
    """The `[server]` settings: how `holdfast serve` listens and stops."""

    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on; 0 takes a free one")] = 8000
    workers: Annotated[
        int, Meta(ge=1, le=256, description="processes; more than one needs a shared store")
    ] = 1
    grace_s: Annotated[float, Meta(ge=0, description="seconds in-flight requests get to end at a stop")] = (
        20.0
    )
    drain_s: Annotated[
        float, Meta(ge=0, description="seconds between readiness off and the listener's close at a stop")
    ] = 0.0
    max_connections: Annotated[int, Meta(ge=1, description="connections waiting to be accepted")] = 2048


def _figure(store: "Driver | RedisShared", key: str) -> float:
    return float(store.state()[key])


async def _nothing() -> Mapping[str, Any]:
    return {}


class Ground:
    """What the composition has made so far, for the rooms that come after."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.root = settings.section(ROOT, Config)
        self.data_dir = Path(self.root.data_dir)
        self.clock = clock
        self.ids = IdSource()
        self.supervisor = Supervisor()
        self.log: EventLog = NoEventLog()
        self.meter: Meter = NoMeter()
        self.cache: Cache = NoCache()
        self.admission: Admission | None = None
        self.assignment: Assignment | None = None
        self.flags: Flags = NoFlags()
        self.guards: Guards = PlainGuards(clock=clock)
        self.model: Model = NoModel()
        self.plain_jobs = PlainJobs(clock, self.ids)
        self.jobs: Jobs = self.plain_jobs
        self.credentials: tuple[bytes, ...] = ()
        """How the credentials begin that a room, and not the door, knows what to make of."""
        self.rooms: dict[str, Room] = {}
        self.skipped: dict[str, str] = {}
        self.database: Driver | None = None
        self.ledgers: dict[str, Driver] = {}
        """Databases of rooms that have one of their own."""
        self.jobs_kind = "server"
        """What this process is to the jobs room: the server, a worker, a worker of Celery."""
        self.shared_store: RedisShared | None = None
        self.demo = False
        """Whether to fill an empty catalogue with generated items at the start."""
        # Set by the app that holds this ground, before anyone can ask.
        self.about: Callable[[], Mapping[str, Any]] = dict
        self.status: Callable[[], Awaitable[Mapping[str, Any]]] = _nothing
        self.seed: Callable[[], Awaitable[Any]] = _nothing

    def varies(self) -> bool:
        """Whether requests are assigned variants: a dropped cache key then has entries in every arm."""
        return self.assignment is not None and self.assignment.binds()

    def tell_about(self) -> Mapping[str, Any]:
        """`about` as it is when asked; rooms are built before anyone can answer it."""
        return self.about()

    async def tell_status(self) -> Mapping[str, Any]:
        """`status` as it is when asked."""
        return await self.status()

    @property
    def sql(self) -> Sql:
        """The truth, opened by the first room that needs it."""
        if self.database is None:
            from holdfast.stores.config import Config as DatabaseConfig
            from holdfast.stores.open import open_sql

            config = self.settings.section("database", DatabaseConfig)
            self.database = open_sql(self.root.url, self.data_dir, self.clock, config)
            self._measure_database(self.database)
        return self.database

    @property
    def shared(self) -> Shared | None:
        """The shared store, where the URL names one; opened by the first room that asks."""
        if self.shared_store is None and self.root.url:
            from holdfast.stores.open import open_shared
            from holdfast.stores.redis.config import Config as SharedConfig

            self.shared_store = open_shared(
                self.root.url, self.clock, self.settings.section("shared", SharedConfig)
            )
            if self.shared_store is not None:
                for name, key, meaning in _SHARED_GAUGES:
                    self.meter.watch(name, meaning, partial(_figure, self.shared_store, key))
        return self.shared_store

    @property
    def workers(self) -> int:
        """How many processes share what each of them counts alone."""
        return self.settings.section("server", ServerConfig).workers

    def checks(self) -> Sequence[Check]:
        """The database's own, where one is open, and every room's."""
        found = [check for room in self.rooms.values() for check in room.checks()]
        if self.database is not None:
            found.insert(0, Check("database", self._ask_database, required=True))
        if self.shared_store is not None:
            found.insert(0, Check("shared store", self._ask_shared))
        return found

    async def _ask_database(self) -> Finding:
        assert self.database is not None
        await self.database.ping()
        return Finding(facts=self.database.state())

    async def _ask_shared(self) -> Finding:
        """Away is degraded, not down: every room goes on with process memory."""
        assert self.shared_store is not None
        facts = self.shared_store.state()
        if self.shared_store.is_up:
            return Finding(facts=facts)
        return Finding("degraded", "the shared store is away: each process is on its own", facts)

    def _measure_database(self, database: "Driver") -> None:
        """The pool as gauges, read when somebody asks."""
        for name, key, meaning in _DATABASE_GAUGES:
            self.meter.watch(name, meaning, partial(_figure, database, key))

    async def start(self) -> None:
        """Database, migrations, then the rooms in order."""
        self.make_data_dir()
        if self.database is not None:
            await self.database.start()
            await self._settle(self.database, self._on_shared_ground())
        for name, ledger in self.ledgers.items():
            await ledger.start()
            await self._settle(ledger, (name,))
        if self.shared_store is not None:
            await self.shared_store.start()
        for room in self.rooms.values():
            await room.start()
        if self.demo:
            await self.seed()

    def make_data_dir(self) -> None:
        """The folder for everything on disk; raises Misconfigured where it cannot be written."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.data_dir):
                pass
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return  # a full disk stops no start: what cannot be written is counted
            raise Misconfigured(
                f"data_dir {self.data_dir} cannot be written: {error.strerror}",
                hint="set data_dir (HOLDFAST_DATA_DIR) to a folder of yours",
            ) from None

    def migrations(self) -> Mapping[str, Sequence[Migration]]:
        """Of the rooms that share the database."""
        return self.migrations_of(self._on_shared_ground())

    def migrations_of(self, rooms: Iterable[str]) -> Mapping[str, Sequence[Migration]]:
        return {name: self.rooms[name].migrations for name in rooms if self.rooms[name].migrations}

    def _on_shared_ground(self) -> list[str]:
        return [name for name in self.rooms if name not in self.ledgers]

    async def _settle(self, database: "Driver", rooms: Iterable[str]) -> None:
        """SQLite is brought up to date; on PostgreSQL somebody decides when, with `holdfast migrate`."""
        from holdfast.stores.migrate import migrate, pending

        if database.dialect == "sqlite":
            await migrate(database, self.migrations_of(rooms), self.clock.wall)
            return
        waiting = await pending(database, self.migrations_of(rooms))
        if waiting:
            raise Misconfigured(
                f"{len(waiting)} migrations are pending, the first of room {waiting[0].room}",
                hint="run `holdfast migrate` first",
            )

    async def stop(self, grace_s: float) -> None:
        """Background tasks, the rooms in reverse, the database; one failure does not keep the others up."""
        late = await self.supervisor.stop(grace_s)
        if late:
            logger.warning("cancelled after %.3g s: %s", grace_s, ", ".join(late))
        await self.plain_jobs.stop()
        for room in reversed(self.rooms.values()):
            try:
                await room.stop()
            except Exception:
                logger.exception("the room %s did not stop cleanly", room.name)
        if self.shared_store is not None:
            await self.shared_store.stop()
        for ledger in self.ledgers.values():
            await ledger.stop()
        if self.database is not None:
            await self.database.stop()
