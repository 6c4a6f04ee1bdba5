"""`Holdfast`: the object that users hold. Puts the layer around an app and owns start and stop."""

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import __version__
from holdfast.compose import compose, read_settings
from holdfast.edge.attach import addresses_of, attach, is_starlette
from holdfast.edge.compress import Compression
from holdfast.edge.compress import Config as CompressConfig
from holdfast.edge.docs_page import docs_routes
from holdfast.edge.identity import Config as IdentityConfig
from holdfast.edge.identity import Identities
from holdfast.edge.lifespan import Lifespan
from holdfast.edge.passage import Receive, Send
from holdfast.edge.pipeline import App, Edge
from holdfast.edge.respond import Responder
from holdfast.edge.router import Router
from holdfast.edge.settings import Config as EdgeConfig
from holdfast.edge.signals import SignalWatch
from holdfast.ground import ServerConfig
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured, NotFound, Problem
from holdfast.kernel.room import Migration, Verb
from holdfast.kernel.route import Route
from holdfast.ports.services import Scope
from holdfast.status import StatusReport

if TYPE_CHECKING:
    from holdfast.ports.model import Model
    from holdfast.rooms.cache.engine.cache import CacheEngine
    from holdfast.rooms.cache.engine.responses import Responses
    from holdfast.rooms.cache.engine.sessions import Sessions
    from holdfast.rooms.experiments.engine.changes import Changes
    from holdfast.rooms.jobs.engine.jobs import JobsEngine
    from holdfast.rooms.knowledge.engine.knowledge import Knowledge
    from holdfast.rooms.limits.engine.handles import Limits
    from holdfast.rooms.resilience.engine.guards import Guards
    from holdfast.stores.driver import Driver

logger = logging.getLogger("holdfast")


async def _nothing_below(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands below the layer when there is no app: every address of its own is ours."""
    if scope["type"] == "lifespan":
        raise NotFound("no lifespan")
    raise NotFound(f"there is nothing at {scope['path']}", hint="GET /docs lists what this server answers")


class Holdfast:
    """The production layer around an app: `Holdfast(app)` for FastAPI, else `app = Holdfast(app)`.

    Starlette and FastAPI apps are wrapped in place, outside everything they install themselves; for
    any other ASGI app, and when the app object is mounted elsewhere, serve the Holdfast object: it is
    an ASGI callable. Without an app it serves its own addresses. Settings come from holdfast.toml (or
    `config`), the environment and `settings`, in this order; a wrong one raises Misconfigured.
    """

    def __init__(
        self,
        app: Any = None,
        *,
        config: str | Path | None = None,
        clock: Clock | None = None,
        demo: bool = False,
        process: str = "",
        **settings: Any,
    ) -> None:
        self.settings = read_settings(file=settings_file(config), env=os.environ, overrides=settings)
        self.ground = compose(self.settings, clock, process)
        self.ground.about, self.ground.status = self.about, self.status
        self.ground.demo = demo
        self._below: Any = app
        self._attached = is_starlette(app)
        self.failure: BaseException | None = None
        """Why the last start failed, if it did."""
        self._state = "new"
        self._starting: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._started_at = 0.0
        server = self.settings.section("server", ServerConfig)
        self._grace_s = server.grace_s
        self._signals = SignalWatch(self._heard_signal, self._later, server.drain_s)
        self.edge = self._make_edge(self._told(app if app is not None else _nothing_below))
        self._report = StatusReport(self.ground, self.edge)
        self._lifespan = Lifespan(self._below or _nothing_below, start=self.start, stop=self.stop)
        if self._attached:
            attach(app, self._wrap, problem_json=self.edge.config.problem_json)
            app.holdfast = self  # so that `holdfast serve` does not wrap it twice

    def _make_edge(self, below: App) -> Edge:
        ground, settings = self.ground, self.settings
        config = settings.section("edge", EdgeConfig)
        development = ground.root.environment == "development"
        compress = settings.section("compression", CompressConfig)
        return Edge(
            below,
            config=config,
            router=Router(()),
            responder=Responder(
                max_body_bytes=config.max_body_bytes,
                admin_token=ground.root.admin_token.reveal(),
                open_admin=development,
            ),
            log=ground.log,
            meter=ground.meter,
            clock=ground.clock,
            ids=ground.ids,
            wake=self.start,
            identities=Identities(
                settings.section("identity", IdentityConfig),
                wall=ground.clock.wall,
                development=development,
                admin_token=ground.root.admin_token.reveal(),
                others=ground.credentials,
            ),
            compression=Compression(compress) if compress.enabled else None,
            admission=ground.admission,
            assignment=ground.assignment,
        )

    def _wrap(self, inner: App) -> App:
        """The outermost callable of an app that we are attached to."""
        self.edge.app = self._told(inner)
        self._lifespan = Lifespan(inner, start=self.start, stop=self.stop)
        return self._serve

    def _told(self, inner: App) -> App:
        """`inner`, its answers marked by the table of responses with how long they may be kept."""
        room: Any = self.ground.rooms.get("cache")
        told: App = inner if room is None else room.responses.around(inner)
        return told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._attached:
            await self._below(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    def _serve(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            return self.edge(scope, receive, send)
        if scope["type"] == "websocket":
            return self.edge.websocket(scope, receive, send)
        return self._lifespan(scope, receive, send)

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Migrate, start the rooms, open the door. Called by the lifespan, or by the first request."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._state == "up":
                return
            self._loop = asyncio.get_running_loop()
            self.ground.supervisor.open()
            try:
                await self.ground.start()
            except BaseException as error:
                self.failure = error
                await self.ground.stop(self._grace_s)
                raise
            self._state = "up"
            self._started_at = self.ground.clock.monotonic()
            self.edge.route_to(Router(self._free_routes()))
            self.edge.awake = True
            self._signals.install()
            # What start-up made will live as long as the process: keep the collector from walking it.
            gc.collect()
            gc.freeze()
            self._announce()

    def begin_stop(self) -> None:
        """Readiness off, streams told; the ones that do not listen are cut after `edge.stream_grace_s`."""
        if self._state != "up":
            return
        self._state = "stopping"
        self.ground.supervisor.stopping.set()
        self.edge.streams.tell()
        if self._loop is not None:
            self._cut = self._loop.call_later(self.edge.config.stream_grace_s, self.edge.streams.cut)

    async def stop(self) -> None:
        """Stop the rooms in reverse order. Legal before a start, and twice."""
        if self._state == "new":
            return
        self.begin_stop()
        if self._cut is not None:
            self._cut.cancel()
        self.edge.streams.cut()
        self.edge.awake = False
        self._signals.remove()
        self._state = "new"
        self._starting = None
        gc.unfreeze()
        await self.ground.stop(self._grace_s)

    def _heard_signal(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.begin_stop)

    def _later(self, delay_s: float, call: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, delay_s, call)

    # -- what is here -------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """Every route of every running room."""
        return [route for room in self.ground.rooms.values() for route in room.routes()]

    def _free_routes(self) -> list[Route]:
        """Our routes, less those that the app below answers itself: the app wins."""
        ours = self.routes()
        taken = set(addresses_of(self._below))
        free = [route for route in ours if (route.method, route.path) not in taken]
        for route in ours:
            if route not in free:
                self.ground.skipped[f"{route.method} {route.path}"] = "the app answers this address itself"
        prefix = "/holdfast" if self._below is not None else ""
        return [*free, *docs_routes(prefix, free, version=__version__)]

    def about(self) -> Mapping[str, Any]:
        """Version, uptime, rooms on and skipped with the reason."""
        up = self.ground.clock.monotonic() - self._started_at if self._state == "up" else 0.0
        return {
            "version": __version__,
            "environment": self.ground.root.environment,
            "uptime_s": round(up, 3),
            "state": self._state,
            "rooms": list(self.ground.rooms),
            "skipped": dict(self.ground.skipped),
        }

    async def status(self) -> Mapping[str, Any]:
        """What the console shows, in the shape of its Status."""
        addresses = [(route.method, route.path) for route in self.edge.router.routes]
        return await self._report.read(self.about(), addresses)

    async def migrate(self, *, dry_run: bool) -> list[str]:
        """Apply what is pending in every database, or only say what; one line a step."""
        ground = self.ground
        ground.make_data_dir()
        lines: list[str] = []
        if ground.database is not None:
            lines += await self._migrate(ground.database, ground.migrations(), dry_run=dry_run)
        for name, ledger in ground.ledgers.items():
            lines += await self._migrate(ledger, ground.migrations_of((name,)), dry_run=dry_run)
        return lines

    async def _migrate(
        self, database: "Driver", plans: Mapping[str, Sequence[Migration]], *, dry_run: bool
    ) -> list[str]:
        from holdfast.stores.migrate import migrate, pending

        await database.start()
        try:
            steps = await (
                pending(database, plans) if dry_run else migrate(database, plans, self.ground.clock.wall)
            )
        finally:
            await database.stop()
        return [f"{step.room} {step.version}: {step.summary}" for step in steps]

    async def examine(self) -> tuple[list[str], list[str]]:
        """What would keep this from serving (errors), and what deserves a look (warnings)."""
        root, errors, warnings = self.ground.root, [], []
        if root.environment == "production" and not root.admin_token:
            warnings.append("admin_token is not set: admin addresses answer 401 to everyone")
        if root.environment == "development":
            warnings.append("environment is development: admin addresses and X-User-ID are open to all")
        warnings += [f"{name} is off: {reason}" for name, reason in self.ground.skipped.items()]
        try:
            pending = await self.migrate(dry_run=True)
        except Problem as problem:
            errors.append(f"{problem.detail} {problem.hint}".strip())
        else:
            databases = (self.ground.database, *self.ground.ledgers.values())
            if pending and any(each is not None and each.dialect != "sqlite" for each in databases):
                errors.append(f"{len(pending)} migrations are pending: run `holdfast migrate`")
        return errors, warnings

    @property
    def cache(self) -> "CacheEngine":
        """Answers kept for a while: `await hold.cache.get_or_set(key, load, kind="dashboard")`."""
        found: CacheEngine = self._room("cache").engine
        return found

    @property
    def sessions(self) -> "Sessions":
        """Who is logged in, on every node: `await hold.sessions.create(user_id)`."""
        found: Sessions = self._room("cache").sessions
        return found

    @property
    def responses(self) -> "Responses":
        """What browsers and CDNs may keep: `hold.responses.respond(kind="dashboard", public=True)`."""
        found: Responses = self._room("cache").responses
        return found

    @property
    def limits(self) -> "Limits":
        """Charge an action: `@hold.limits.limit("ai_generation")`, `await hold.limits.take(...)`."""
        found: Limits = self._room("limits").limits
        return found

    @property
    def jobs(self) -> "JobsEngine":
        """Background work: `@hold.jobs.job("ai")`, `await hold.jobs.enqueue(index, doc_id=7)`."""
        found: JobsEngine = self._room("jobs").engine
        return found

    @property
    def model(self) -> "Model":
        """A language model: `await hold.model.complete(Ask(messages=(Turn("user", "안녕"),)))`."""
        found: Model = self._room("llm").model
        return found

    @property
    def resilience(self) -> "Guards":
        """The guards of what this service calls: `await hold.resilience.guard("payments").call(...)`."""
        found: Guards = self._room("resilience").guards
        return found

    @property
    def experiments(self) -> "Changes":
        """Flags, releases, experiments: `hold.experiments.variant("new-ranker")`."""
        found: Changes = self._room("experiments").changes
        return found

    @property
    def knowledge(self) -> "Knowledge":
        """Documents in, cited answers out: `await hold.knowledge.ask("언제 창제되었나?", tenant="acme")`."""
        found: Knowledge = self._room("knowledge").engine
        return found

    def _room(self, name: str) -> Any:
        """The room, as what it is; raises Misconfigured where it is not on, and says why not."""
        room = self.ground.rooms.get(name)
        if room is None:
            reason = self.ground.skipped.get(name, "not part of this installation")
            raise Misconfigured(f"the room {name} is not on: {reason}")
        return room

    def verbs(self) -> list[Verb]:
        """Every command of every room."""
        return [verb for room in self.ground.rooms.values() for verb in room.verbs()]

    def _announce(self) -> None:
        on = ", ".join(self.ground.rooms)
        logger.info("holdfast %s is up: %s", __version__, on)
        for name, reason in self.ground.skipped.items():
            logger.info("skipped %s: %s", name, reason)


def settings_file(config: str | Path | None) -> Path | None:
    """The file that was named, else HOLDFAST_CONFIG, else holdfast.toml where we stand if it is there."""
    named = config or os.environ.get("HOLDFAST_CONFIG")
    if named:
        return Path(named)
    usual = Path("holdfast.toml")
    return usual if usual.is_file() else None
