"""The composition root: the only file that knows every room. Plain calls, read from top to bottom.

A room is found by its folder. Where the folder is gone or its extra is not installed, the rest runs
and `skipped` says why; a room that was asked for and cannot run stops the start instead.
"""

import errno
import importlib
import importlib.util
import logging
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from holdfast.edge.settings import Config as EdgeConfig
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.config import ROOT, Secret, Settings, load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding, Migration, Room
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import EventLog, Meter, NoEventLog, NoMeter
from holdfast.ports.storage import Sql

if TYPE_CHECKING:
    from holdfast.stores.driver import Driver

logger = logging.getLogger("holdfast")

ROOMS = ("telemetry", "recommend", "health", "console")
"""In the order they start; they stop in reverse, so that telemetry sees everyone else's end."""


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


def _figure(database: "Driver", key: str) -> float:
    return float(database.state()[key])


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
        self.rooms: dict[str, Room] = {}
        self.skipped: dict[str, str] = {}
        self.database: Driver | None = None
        self.demo = False
        """Whether to fill an empty catalogue with generated items at the start."""
        # Set by the app that holds this ground, before anyone can ask.
        self.about: Callable[[], Mapping[str, Any]] = dict
        self.status: Callable[[], Awaitable[Mapping[str, Any]]] = _nothing

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

    def checks(self) -> Sequence[Check]:
        """The database's own, where one is open, and every room's."""
        found = [check for room in self.rooms.values() for check in room.checks()]
        if self.database is not None:
            found.insert(0, Check("database", self._ask_database, required=True))
        return found

    async def _ask_database(self) -> Finding:
        assert self.database is not None
        await self.database.ping()
        return Finding(facts=self.database.state())

    def _measure_database(self, database: "Driver") -> None:
        """The pool as gauges, read when somebody asks."""
        for name, key, meaning in _DATABASE_GAUGES:
            self.meter.watch(name, meaning, partial(_figure, database, key))

    async def start(self) -> None:
        """Database, migrations, then the rooms in order."""
        self.make_data_dir()
        if self.database is not None:
            await self.database.start()
            await self._settle(self.database)
        for room in self.rooms.values():
            await room.start()
        if self.demo:
            await seed_demo(self)

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
        return {name: room.migrations for name, room in self.rooms.items() if room.migrations}

    async def _settle(self, database: "Driver") -> None:
        """SQLite is brought up to date; on PostgreSQL somebody decides when, with `holdfast migrate`."""
        from holdfast.stores.migrate import migrate, pending

        if database.dialect == "sqlite":
            await migrate(database, self.migrations(), self.clock.wall)
            return
        waiting = await pending(database, self.migrations())
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
        for room in reversed(self.rooms.values()):
            try:
                await room.stop()
            except Exception:
                logger.exception("the room %s did not stop cleanly", room.name)
        if self.database is not None:
            await self.database.stop()


# -- one function a room: which port it implements and what it is given --------------------------


def _telemetry(ground: Ground) -> Room:
    from holdfast.rooms.telemetry.room import Config, TelemetryRoom

    room = TelemetryRoom(
        ground.settings.section("telemetry", Config),
        data_dir=ground.data_dir,
        clock=ground.clock,
        ids=ground.ids,
        supervisor=ground.supervisor,
    )
    ground.log, ground.meter = room.log, room.meter
    return room


def _recommend(ground: Ground) -> Room:
    _require("recommend", "numpy", "scipy")
    from holdfast.rooms.recommend.room import Config, RecommendRoom

    return RecommendRoom(
        ground.settings.section("recommend", Config),
        sql=ground.sql,
        log=ground.log,
        meter=ground.meter,
        clock=ground.clock,
        ids=ground.ids,
        data_dir=ground.data_dir,
        supervisor=ground.supervisor,
    )


def _health(ground: Ground) -> Room:
    from holdfast.rooms.health.room import Config, HealthRoom

    return HealthRoom(
        ground.settings.section("health", Config),
        clock=ground.clock,
        meter=ground.meter,
        supervisor=ground.supervisor,
        checks=ground.checks,
        about=ground.tell_about,
    )


def _console(ground: Ground) -> Room:
    from holdfast.rooms.console.room import Config, ConsoleRoom

    return ConsoleRoom(ground.settings.section("console", Config), status=ground.tell_status)


_BUILD: dict[str, Callable[[Ground], Room]] = {
    "telemetry": _telemetry,
    "recommend": _recommend,
    "health": _health,
    "console": _console,
}


class Missing(Exception):
    """A room cannot run here; the text says what to do."""


def _require(extra: str, *modules: str) -> None:
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    if absent:
        raise Missing(f"{', '.join(absent)} not installed: pip install 'holdfast[{extra}]'")


async def seed_demo(ground: Ground) -> None:
    """Generated items and interactions, where there are none yet."""
    room = ground.rooms.get("recommend")
    if room is not None:
        from holdfast.rooms.recommend.engine.demo import seed_demo as seed

        await seed(room.open())  # type: ignore[attr-defined] # the recommend room, and no other, stands here


def room_is_here(name: str) -> bool:
    """Whether this installation has the room's folder."""
    return (Path(__file__).parent / "rooms" / name / "room.py").is_file()


def all_sections() -> dict[str, type[Struct]]:
    """Every settings section of this installation, by name."""
    from holdfast.edge.compress import Config as CompressConfig
    from holdfast.edge.identity import Config as IdentityConfig
    from holdfast.stores.config import Config as DatabaseConfig

    sections: dict[str, type[Struct]] = {
        ROOT: Config,
        "server": ServerConfig,
        "edge": EdgeConfig,
        "compression": CompressConfig,
        "identity": IdentityConfig,
        "database": DatabaseConfig,
    }
    for name in ROOMS:
        if room_is_here(name):
            sections[name] = importlib.import_module(f"holdfast.rooms.{name}.room").Config
    return sections


def read_settings(
    *,
    file: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of this installation's sections from all four layers."""
    return load_settings(all_sections(), file=file, env=env, overrides=overrides)


def compose(settings: Settings, clock: Clock | None = None) -> Ground:
    """Build every room that is wanted and can run; nothing is started yet."""
    ground = Ground(settings, clock or SystemClock())
    wanted = ground.root.rooms
    unknown = sorted(set(wanted) - set(ROOMS))
    if unknown:
        raise Misconfigured(f"there is no room {unknown[0]!r}", hint=f"rooms are: {', '.join(ROOMS)}")
    for name in ROOMS:
        asked = name in wanted or settings.is_set(name)
        if wanted and name not in wanted:
            ground.skipped[name] = "not in the setting `rooms`"
        elif not room_is_here(name):
            ground.skipped[name] = "not part of this installation"
        else:
            try:
                ground.rooms[name] = _BUILD[name](ground)
            except Missing as missing:
                if asked:
                    raise Misconfigured(f"the room {name} was asked for: {missing}") from None
                ground.skipped[name] = str(missing)
    return ground
