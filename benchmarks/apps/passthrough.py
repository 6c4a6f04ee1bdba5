"""The least that a gateway can be: it hands each request on and each answer back, and does nothing else.

Run as `python -m benchmarks.apps.passthrough fastapi|raw PORT UPSTREAM`: FastAPI with httpx as most people
write it, or a bare ASGI callable with aiohttp. Both keep their connections and limit their number to none.
"""

import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.apps.serving import serve

PATH = "/v1/chat/completions"


def fastapi_app(upstream: str) -> Any:
    """FastAPI + httpx."""
    import httpx
    from fastapi import FastAPI, Request, Response

    clients: list[httpx.AsyncClient] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:
            clients.append(client)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post(PATH)
    async def chat(request: Request) -> Response:
        headers = {
            "authorization": request.headers.get("authorization", ""),
            "content-type": "application/json",
        }
        answer = await clients[0].post(upstream + PATH, content=await request.body(), headers=headers)
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    return app


class RawApp:
    """ASGI + aiohttp."""

    def __init__(self, upstream: str) -> None:
        self.url = upstream + PATH
        self.session: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        headers = {"authorization": given, "content-type": "application/json"}
        async with self.session.post(self.url, data=body, headers=headers) as answer:
            content = await answer.read()
            kind = answer.headers.get("content-type", "").encode()
        found = [(b"content-type", kind), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": found})
        await send({"type": "http.response.body", "body": content})

    async def _live(self, receive: Any, send: Any) -> None:
        import aiohttp

        await receive()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.session.close()
        await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    name, port, upstream = sys.argv[1:4]
    serve({"fastapi": fastapi_app, "raw": RawApp}[name](upstream), int(port))
