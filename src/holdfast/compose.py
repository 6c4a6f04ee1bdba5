"""The composition root: the only file that knows every room. Plain calls, read from top to bottom.

A room is found by its folder. Where the folder is gone or its extra is not installed, the rest runs
and `skipped` says why; a room that was asked for and cannot run stops the start instead.
"""

import importlib
import importlib.util
import os
import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.edge.settings import Config as EdgeConfig
from holdfast.ground import Config, Ground, ServerConfig
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.config import ROOT, Settings, load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.room import Room

ROOMS = (
    "telemetry",
    "resilience",
    "cache",
    "limits",
    "llm",
    "jobs",
    "experiments",
    "recommend",
    "conversations",
    "knowledge",
    "faults",
    "health",
    "console",
)
"""In the order they start; they stop in reverse, so that telemetry sees everyone else's end."""
PROCESS_ENV = "HOLDFAST_PROCESS"
"""How our commands tell a process what it is: `server`, where nothing is said, `worker`, `celery`
or `verb`."""


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


def _resilience(ground: Ground) -> Room:
    from holdfast.rooms.resilience.room import Config, ResilienceRoom

    config = ground.settings.section("resilience", Config)
    room = ResilienceRoom(
        config,
        clock=ground.clock,
        meter=ground.meter,
        log=ground.log,
        supervisor=ground.supervisor,
        shared=ground.shared,
        sql=ground.sql if config.shares and ground.shared is None else None,
        rng=random.Random(),  # noqa: S311 - it spreads load, it guards nothing
    )
    ground.guards = room.guards
    return room


def _cache(ground: Ground) -> Room:
    from holdfast.rooms.cache.room import CacheRoom, Config

    room = CacheRoom(
        ground.settings.section("cache", Config),
        clock=ground.clock,
        meter=ground.meter,
        supervisor=ground.supervisor,
        shared=ground.shared,
        ids=ground.ids,
        data_dir=ground.data_dir,
    )
    room.engine.varies = ground.varies
    ground.cache = room.engine
    return room


def _limits(ground: Ground) -> Room:
    from holdfast.rooms.limits.room import Config, LimitsRoom

    config = ground.settings.section("limits", Config)
    room = LimitsRoom(
        config,
        clock=ground.clock,
        meter=ground.meter,
        supervisor=ground.supervisor,
        shared=ground.shared,
        nodes=ground.workers,
        rng=random.Random(),  # noqa: S311 - it spreads load, it guards nothing
    )
    if config.enabled or config.shedding.enabled:
        ground.admission = room.admission
    return room


def _llm(ground: Ground) -> Room:
    _require("llm", "httptools")
    from holdfast.rooms.llm.room import Config, LlmRoom
    from holdfast.rooms.llm.rules.virtual_keys import PREFIX

    room = LlmRoom(
        ground.settings.section("llm", Config),
        clock=ground.clock,
        ids=ground.ids,
        meter=ground.meter,
        log=ground.log,
        supervisor=ground.supervisor,
        guards=ground.guards,
        cache=ground.cache,
        sql=ground.sql,
        shared=ground.shared,
        nodes=ground.workers,
        production=ground.root.environment == "production",
        rng=random.Random(),  # noqa: S311 - it spreads load, it guards nothing
    )
    ground.model = room.model
    ground.credentials = (*ground.credentials, PREFIX.encode())
    return room


def _jobs(ground: Ground) -> Room:
    from holdfast.rooms.jobs.room import Config, JobsRoom
    from holdfast.stores.config import Config as DatabaseConfig
    from holdfast.stores.open import is_postgres, open_signals, open_sql

    config = ground.settings.section("jobs", Config)
    url = config.url.reveal() or (ground.root.url if is_postgres(ground.root.url) else None)
    place = ground.settings.section("database", DatabaseConfig)
    # A job that was promised must survive a power cut; its pool is beside the requests' own.
    shape = msgspec.structs.replace(
        place, synchronous="full", readers=min(place.readers, 2), pool_size=min(place.pool_size, 4)
    )
    alone = msgspec.structs.replace(shape, readers=1, pool_size=1)
    open_ledger = partial(open_sql, url, ground.data_dir, ground.clock, default_file="jobs.db")
    ground.ledgers["jobs"] = ledger = open_ledger(config=shape)
    room = JobsRoom(
        config,
        sql=ledger,
        open_database=partial(open_ledger, config=alone),
        open_signals=partial(open_signals, url, ground.data_dir, ground.clock, "jobs.db"),
        data_dir=ground.data_dir,
        clock=ground.clock,
        ids=ground.ids,
        meter=ground.meter,
        log=ground.log,
        supervisor=ground.supervisor,
        kind=ground.jobs_kind,
        durable=os.environ.get("USE_DURABLE_WORKER", ""),
        url=ground.root.url or "",
    )
    ground.jobs = room.engine
    return room


def _experiments(ground: Ground) -> Room:
    from holdfast.rooms.experiments.room import Config, ExperimentsRoom

    room = ExperimentsRoom(
        ground.settings.section("experiments", Config),
        sql=ground.sql,
        shared=ground.shared,
        clock=ground.clock,
        ids=ground.ids,
        meter=ground.meter,
        log=ground.log,
        supervisor=ground.supervisor,
    )
    ground.flags = room.changes
    ground.assignment = room.changes.door
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
        cache=ground.cache,
        flags=ground.flags,
    )


def _faults(ground: Ground) -> Room:
    from holdfast.rooms.faults.room import Config, FaultsRoom

    return FaultsRoom(ground.settings.section("faults", Config), clock=ground.clock)


def _conversations(ground: Ground) -> Room:
    from holdfast.rooms.conversations.room import Config, ConversationsRoom

    return ConversationsRoom(
        ground.settings.section("conversations", Config),
        sql=ground.sql,
        clock=ground.clock,
        meter=ground.meter,
        supervisor=ground.supervisor,
        model=ground.model,
        flags=ground.flags,
        log=ground.log,
    )


def _knowledge(ground: Ground) -> Room:
    _require("knowledge", "numpy")
    from holdfast.rooms.knowledge.room import Config, KnowledgeRoom

    return KnowledgeRoom(
        ground.settings.section("knowledge", Config),
        sql=ground.sql,
        model=ground.model,
        jobs=ground.jobs,
        clock=ground.clock,
        meter=ground.meter,
        supervisor=ground.supervisor,
        data_dir=ground.data_dir,
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
    "resilience": _resilience,
    "cache": _cache,
    "limits": _limits,
    "llm": _llm,
    "jobs": _jobs,
    "experiments": _experiments,
    "recommend": _recommend,
    "conversations": _conversations,
    "knowledge": _knowledge,
    "faults": _faults,
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
    from holdfast.stores.redis.config import Config as SharedConfig

    sections: dict[str, type[Struct]] = {
        ROOT: Config,
        "server": ServerConfig,
        "edge": EdgeConfig,
        "compression": CompressConfig,
        "identity": IdentityConfig,
        "database": DatabaseConfig,
        "shared": SharedConfig,
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


def compose(settings: Settings, clock: Clock | None = None, process: str = "") -> Ground:
    """Build every room that is wanted and can run; nothing is started yet.

    `process` is what PROCESS_ENV else says.
    """
    ground = Ground(settings, clock or SystemClock())
    ground.jobs_kind = process or os.environ.get(PROCESS_ENV) or ground.jobs_kind
    ground.seed = partial(seed_demo, ground)
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
