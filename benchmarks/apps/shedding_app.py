"""One FastAPI app that can be overloaded, bare or behind the layer: `VARIANT PORT FOLDER`."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from benchmarks.apps.serving import serve, serve_ours

SLOTS, CALL_S, GLUE_S = 8, 0.020, 0.001
"""The backend: so many calls at once, each so long; and the handler's own CPU beside it."""
COMPUTE_S = 0.005


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds  # the handler's own CPU, whoever else wants the core
    while time.thread_time() < until:
        pass


def make_app() -> FastAPI:
    app = FastAPI()
    backend = asyncio.Semaphore(SLOTS)

    @app.get("/{kind}/pool")
    async def pool(kind: str) -> dict[str, str]:
        spin(GLUE_S)
        async with backend:
            await asyncio.sleep(CALL_S)
        return {"kind": kind}

    @app.get("/{kind}/compute")
    async def compute(kind: str) -> dict[str, str]:
        spin(COMPUTE_S)
        return {"kind": kind}

    return app


def holdfast(app: FastAPI, folder: Path) -> Any:
    """Limits that never act, so that only shedding does; `/critical/...` matters more than the rest."""
    from holdfast import Holdfast

    Holdfast(
        app,
        data_dir=str(folder),
        rooms=["telemetry", "health", "limits"],
        limits={
            "actions": {"api_call": "1000000000/second"},
            "routes": [{"path": "/critical/*", "action": "api_call", "priority": 0}],
        },
    )
    return app


if __name__ == "__main__":
    variant, port, folder = sys.argv[1:4]
    if variant == "holdfast":
        serve_ours(holdfast(make_app(), Path(folder)), int(port))
    else:
        serve(make_app(), int(port))
