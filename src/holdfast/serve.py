"""`holdfast serve`: uvicorn around the layer, in one process or several, with an orderly stop."""

import asyncio
import contextlib
import gc
import importlib
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.supervisors import Multiprocess

from holdfast.app import Holdfast
from holdfast.edge.onewrite import GatheringTransport
from holdfast.ground import Config, ServerConfig
from holdfast.kernel.config import ROOT, Settings
from holdfast.kernel.errors import Misconfigured, Problem

TARGET_ENV = "HOLDFAST_SERVE_TARGET"
DEMO_ENV = "HOLDFAST_SERVE_DEMO"
"""How the parent of several workers tells them what to serve; set by us only."""
COLLECT = (10_000, 10, 10)
"""Objects until rubbish is looked for, in a process that is ours: some hundred requests' worth. By default
the collector runs at every fifth, over all that those in flight hold, and hardly ever finds any."""
HUNG_S = 30
"""One of several workers that gives no sign of life for so long is replaced. A busy machine needs more than
uvicorn's own 5 s until an interpreter has started: each worker would be replaced before it comes up."""


def load_app(target: str) -> Any:
    """The object that `module:name` points at; Misconfigured says what is wrong with it."""
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise Misconfigured(f"{target!r} names no app", hint="write module:app, e.g. main:app")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise Misconfigured(
            f"there is no module {module_name!r} here", hint="run where it can be imported"
        ) from None
    try:
        return getattr(module, name)
    except AttributeError:
        raise Misconfigured(f"{module_name} has no {name!r}", hint="name the ASGI app object") from None


def wrap(found: Any) -> Any:
    """The app inside the layer; an app that already is a Holdfast, or holds one, stays as it is."""
    if isinstance(found, Holdfast) or getattr(found, "holdfast", None) is not None:
        return found
    return Holdfast(found)


def refuse_lonely_workers(settings: Settings) -> None:
    """More than one process needs a store they share: anything else would answer differently by chance."""
    workers = settings.section("server", ServerConfig).workers
    url = settings.section(ROOT, Config).url or ""
    if workers > 1 and "postgres" not in url:
        raise Misconfigured(
            f"server.workers = {workers} needs a store that all workers share, and `url` names none",
            hint='set url = "postgresql://user@host/database" (HOLDFAST_URL), or server.workers = 1',
        )


def collect_less() -> None:
    """Tell the collector of this process; only where nobody else's program runs in it."""
    gc.set_threshold(*COLLECT)


def worker_app() -> Any:
    """What each of several worker processes serves; uvicorn imports and calls it."""
    collect_less()
    return build(os.environ.get(TARGET_ENV, ""), demo=bool(os.environ.get(DEMO_ENV)))


def build(target: str, *, demo: bool = False) -> Any:
    """The ASGI app of `holdfast serve [target]`."""
    if target:
        return wrap(load_app(target))
    return Holdfast(demo=demo)


def serve(settings: Settings, target: str, *, demo: bool) -> int:
    """Serve until a signal says stop; 0 after an orderly one."""
    refuse_lonely_workers(settings)
    server = settings.section("server", ServerConfig)
    if server.workers > 1:
        os.environ[TARGET_ENV] = target
        os.environ[DEMO_ENV] = "1" if demo else ""
        return _serve_many(server)
    return _serve_one(server, build(target, demo=demo))


def options(server: ServerConfig) -> dict[str, Any]:
    """What we ask of uvicorn."""
    fast = importlib.util.find_spec("uvloop") is not None
    return {
        "host": server.host,
        "port": server.port,
        "loop": "uvloop" if fast else "asyncio",
        "http": OneWriteProtocol,
        "lifespan": "on",
        "access_log": False,  # the record is the access log
        "log_level": "warning",
        "backlog": server.max_connections,
        "timeout_graceful_shutdown": max(1, round(server.grace_s)),
        "timeout_worker_healthcheck": HUNG_S,
        "server_header": False,
        "proxy_headers": False,  # whose headers are believed is the edge's business: identity.trusted_proxies
    }


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop that `holdfast serve` would take, for a verb that serves: uvloop's where it is installed."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def _serve_one(server: ServerConfig, app: Any) -> int:
    bound = listen(server)
    one = OrderlyServer(uvicorn.Config(app, **options(server)))
    with contextlib.suppress(SystemExit):  # how uvicorn says that the start failed
        one.run(sockets=[bound])
    if one.started:
        return 0
    failure = (app if isinstance(app, Holdfast) else app.holdfast).failure
    if isinstance(failure, Problem):
        raise failure
    return 3


def _serve_many(server: ServerConfig) -> int:
    bound = listen(server)
    config = uvicorn.Config(
        "holdfast.serve:worker_app", factory=True, workers=server.workers, **options(server)
    )
    print(f"holdfast serves http://{server.host}:{bound.getsockname()[1]}", file=sys.stderr, flush=True)
    Multiprocess(config, sockets=[bound]).run()
    return 0


def listen(server: ServerConfig) -> socket.socket:
    """The listening socket, made before anything else starts; what comes early waits in its backlog."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((server.host, server.port))
        bound.listen(server.max_connections)
    except OSError as error:
        bound.close()
        raise Misconfigured(
            f"cannot listen on {server.host} port {server.port}: {error.strerror}",
            hint="stop what listens there, or set server.port (--port)",
        ) from None
    bound.set_inheritable(True)
    return bound


class OneWriteProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type] # chosen at import by what is installed
    """uvicorn's HTTP protocol, writing a response with one system call."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(GatheringTransport(transport, self.loop))


class OrderlyServer(uvicorn.Server):
    """uvicorn that leaves with code 0 after a signal, instead of dying by it again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        collect_less()
        await super().startup(sockets=sockets)
        for server in getattr(self, "servers", ()):
            for bound in server.sockets:
                host, port = bound.getsockname()[:2]
                print(f"holdfast serves http://{host}:{port}", file=sys.stderr, flush=True)
