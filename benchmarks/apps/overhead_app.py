"""One FastAPI app, and what people put around it: `VARIANT PORT FOLDER`."""

import sys
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from benchmarks.apps.serving import serve, serve_ours

SPIN_S = 0.0005


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> dict[str, int]:
        return {"item_id": item_id}

    @app.get("/busy/{item_id}")
    async def busy(item_id: int) -> dict[str, int]:
        until = time.thread_time() + SPIN_S  # the handler's own CPU, whoever else wants the core
        while time.thread_time() < until:
            pass
        return {"item_id": item_id}

    return app


def bare(app: FastAPI, folder: Path) -> Any:
    return app


def holdfast(app: FastAPI, folder: Path) -> Any:
    from holdfast import Holdfast

    Holdfast(app, data_dir=str(folder), rooms=["telemetry", "health"], edge={"sample_rate": 1.0})
    return app


def protected(app: FastAPI, folder: Path) -> Any:
    """The same with limits and shedding on: every request is decided upon, none is refused."""
    from holdfast import Holdfast

    limits = {"actions": {"api_call": "1000000000/minute"}}
    Holdfast(app, data_dir=str(folder), rooms=["telemetry", "health", "limits"], limits=limits)
    return app


def attached(app: FastAPI, folder: Path) -> Any:
    """The same layer, under the plain uvicorn of everybody else."""
    return holdfast(app, folder)


def correlation_id(app: FastAPI, folder: Path) -> Any:
    from asgi_correlation_id import CorrelationIdMiddleware

    app.add_middleware(CorrelationIdMiddleware)
    return app


def structlog_access(app: FastAPI, folder: Path) -> Any:
    """A JSON access line a request, as structlog's performance page writes it, from a pure-ASGI layer."""
    import orjson
    import structlog

    stream = (folder / "access.jsonl").open("ab", buffering=0)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger()

    class Access:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await self.app(scope, receive, send)
                return
            started, status = time.perf_counter(), 0

            async def watched(message: Any) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            await self.app(scope, receive, watched)
            seconds = time.perf_counter() - started
            log.info("request", method=scope["method"], path=scope["path"], status=status, seconds=seconds)

    app.add_middleware(Access)
    return app


def instrumentator(app: FastAPI, folder: Path) -> Any:
    from prometheus_fastapi_instrumentator import Instrumentator

    Instrumentator().instrument(app).expose(app)
    return app


def slowapi(app: FastAPI, folder: Path) -> Any:
    from slowapi import Limiter
    from slowapi.middleware import SlowAPIASGIMiddleware
    from slowapi.util import get_remote_address

    app.state.limiter = Limiter(key_func=get_remote_address, default_limits=["1000000000/minute"])
    app.add_middleware(SlowAPIASGIMiddleware)
    return app


def opentelemetry(app: FastAPI, folder: Path) -> Any:
    """All spans and metrics made, to an exporter that throws them away: only the application's own cost."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(Nowhere()))
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=traces, meter_provider=MeterProvider([InMemoryMetricReader()])
    )
    return app


def glue(app: FastAPI, folder: Path) -> Any:
    """All five, as the tutorials stack them."""
    for part in (structlog_access, instrumentator, slowapi, opentelemetry, correlation_id):
        part(app, folder)
    return app


VARIANTS = {
    "bare": bare,
    "bare, our server": bare,
    "holdfast": holdfast,
    "protected": protected,
    "attached": attached,
    "glue": glue,
    "asgi-correlation-id": correlation_id,
    "structlog": structlog_access,
    "prometheus-instrumentator": instrumentator,
    "slowapi": slowapi,
    "opentelemetry": opentelemetry,
}

if __name__ == "__main__":
    variant, port, folder = sys.argv[1:4]
    made = VARIANTS[variant](make_app(), Path(folder))
    if variant in ("holdfast", "protected", "bare, our server"):
        serve_ours(made, int(port))
    else:
        serve(made, int(port))
