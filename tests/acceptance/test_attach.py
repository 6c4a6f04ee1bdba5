"""The layer around other people's apps: FastAPI, Starlette, Litestar and raw ASGI, over a real server."""

import http.client
import textwrap
from pathlib import Path

import pytest

from holdfast.serve import COLLECT
from tests.acceptance.serving import records, run_cli, serving

FASTAPI = """
    import asyncio
    from fastapi import BackgroundTasks, FastAPI, HTTPException
    from fastapi.responses import StreamingResponse
    from contextlib import asynccontextmanager
    from holdfast import Holdfast, Problem, note
    from starlette.middleware.base import BaseHTTPMiddleware

    order = []

    @asynccontextmanager
    async def lifespan(app):
        order.append("up")
        yield
        print("user down", flush=True)

    app = FastAPI(lifespan=lifespan)
    Holdfast(app)

    class Old(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            return await call_next(request)

    app.add_middleware(Old)  # after us, and still inside

    @app.get("/items/{item}")
    async def item(item: int):
        note(seen=item)
        return {"item": item, "order": order}

    @app.get("/sync/{item}")
    def sync(item: int):
        note(thread=True)
        return {"item": item}

    @app.get("/boom")
    async def boom():
        raise ValueError("unlucky")

    @app.get("/missing")
    async def missing():
        raise HTTPException(404, "no such thing")

    class Full(Problem):
        "The shelf is full."
        code, status = "shelf-full", 409

    @app.get("/full")
    async def full():
        raise Full("shelf 7", hint="take something off")

    @app.get("/health")
    async def own_health():
        return {"mine": True}

    @app.get("/stream")
    async def stream():
        async def body():
            for number in range(3):
                yield f"data: {number}\\n\\n"
        return StreamingResponse(body(), media_type="text/event-stream")
"""

STARLETTE = """
    from holdfast import Holdfast
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    async def item(request):
        return JSONResponse({"item": request.path_params["item"]})

    app = Starlette(routes=[Route("/items/{item}", item), Mount("/sub", routes=[Route("/{x}", item)])])
    Holdfast(app)
"""

LITESTAR = """
    from holdfast import Holdfast
    from litestar import Litestar, get

    @get("/items/{item:int}")
    async def item(item: int) -> dict[str, int]:
        return {"item": item}

    app = Holdfast(Litestar([item]))
"""

RAW = """
    from holdfast import Holdfast

    async def raw(scope, receive, send):
        assert scope["type"] == "http"
        scope["holdfast.route"] = "/items/{item}"
        body = b'{"item": 7}'
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    app = Holdfast(raw)
"""


def write(folder: Path, source: str) -> None:
    (folder / "theirs.py").write_text(textwrap.dedent(source), "utf-8")


def requests_of(folder: Path) -> list[dict[str, object]]:
    return [record for record in records(folder) if record["kind"] == "request"]


@pytest.mark.parametrize(
    "source", [FASTAPI, STARLETTE, LITESTAR, RAW], ids=["fastapi", "starlette", "litestar", "raw"]
)
def test_every_kind_of_app_is_served_inside_the_layer(tmp_path: Path, source: str) -> None:
    write(tmp_path, source)
    with serving(tmp_path, "theirs:app") as served:
        reply = served.get("/items/7", X_Request_ID="mine-1")
        assert (reply.status, reply.json()["item"] in (7, "7")) == (200, True)
        assert reply.headers["x-request-id"] == "mine-1"
        assert len(reply.headers["x-trace-id"]) == 32
        served.wait_ready()
        metrics = served.get("/metrics").body.decode()
        assert served.stop() == 0
    assert (
        'holdfast_http_request_duration_seconds_count{method="GET",route="/items/{item}",status="200"} 1'
        in metrics
    )
    (first, *_) = requests_of(tmp_path)
    assert (first["http.route"], first["http.request.id"]) == ("/items/{item}", "mine-1")


@pytest.fixture
def fastapi(tmp_path: Path) -> Path:
    write(tmp_path, FASTAPI)
    return tmp_path


def test_a_process_of_ours_looks_for_rubbish_less_often(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        import gc
        from fastapi import FastAPI

        app = FastAPI()

        @app.get("/collects")
        async def collects():
            return gc.get_threshold()
        """,
    )
    with serving(tmp_path, "theirs:app") as served:
        assert served.get("/collects").json() == list(COLLECT)


def test_the_apps_own_lifespan_runs_inside_ours(fastapi: Path) -> None:
    with serving(fastapi, "theirs:app") as served:
        assert served.get("/items/1").json()["order"] == ["up"]
        assert served.stop() == 0


def test_errors_of_a_fastapi_app(fastapi: Path) -> None:
    with serving(fastapi, "theirs:app") as served:
        boom, missing, full = (served.get(path) for path in ("/boom", "/missing", "/full"))
        assert served.stop() == 0
    assert (boom.status, boom.headers["content-type"]) == (500, "application/problem+json")
    assert boom.json()["request_id"] == boom.headers["x-request-id"]
    assert (missing.status, missing.json()) == (404, {"detail": "no such thing"})
    assert (full.status, full.json()["type"], full.json()["hint"]) == (
        409,
        "urn:holdfast:problem:shelf-full",
        "take something off",
    )
    by_path = {record["url.path"]: record for record in requests_of(fastapi)}
    assert by_path["/boom"]["error.type"] == "ValueError"
    assert "unlucky" in str(by_path["/boom"]["error.stack_trace"])
    assert by_path["/full"]["http.response.status_code"] == 409


def test_notes_from_async_and_threaded_handlers_reach_the_record(fastapi: Path) -> None:
    with serving(fastapi, "theirs:app") as served:
        served.get("/items/5")
        served.get("/sync/5")
        assert served.stop() == 0
    facts = {record["http.route"]: record.get("holdfast") for record in requests_of(fastapi)}
    assert facts == {"/items/{item}": {"seen": 5}, "/sync/{item}": {"thread": True}}


def test_an_address_the_app_answers_itself_stays_the_apps(fastapi: Path) -> None:
    with serving(fastapi, "theirs:app") as served:
        assert served.get("/health").json() == {"mine": True}
        assert "GET /health" in served.get("/health/detailed").json()["about"]["skipped"]
        assert served.get("/docs").body.count(b"swagger") > 0
        assert served.get("/holdfast/openapi.json").json()["openapi"].startswith("3.1")


def test_a_stream_is_a_stream_even_behind_old_middleware(fastapi: Path) -> None:
    with serving(fastapi, "theirs:app") as served:
        assert served.get("/stream", Accept_Encoding="gzip").body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert served.stop() == 0
    (record,) = requests_of(fastapi)
    assert record["http.response.stream"] is True


def test_10_000_idle_connections_cost_a_file_each_and_no_answer(tmp_path: Path) -> None:
    import resource
    import socket

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Where the system allows fewer files, as many as it does allow: both ends need one each.
    count = min(10_000, hard - 500)
    write(tmp_path, RAW)
    idle: list[socket.socket] = []
    try:
        with serving(tmp_path, "theirs:app") as served:
            for _ in range(count):
                idle.append(socket.create_connection(("127.0.0.1", served.port), 30))
            assert served.get("/items/1").status == 200
            for connection in idle[:: max(1, count // 50)]:
                connection.sendall(b"GET /items/1 HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
            assert served.stop() == 0
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_handler_that_never_reads_its_body_does_not_hang_the_server(tmp_path: Path) -> None:
    write(tmp_path, RAW)
    with serving(tmp_path, "theirs:app") as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        connection.putrequest("POST", "/items/1")
        connection.putheader("Content-Length", "50000000")
        connection.endheaders()
        connection.send(b"x" * 65536)
        assert connection.getresponse().status == 200
        connection.close()
        assert served.get("/items/1").status == 200
        assert served.stop() == 0


def test_what_is_wrong_with_the_target_is_said_in_one_line(tmp_path: Path) -> None:
    for target, says in (
        ("nothing", "module:app"),
        ("nowhere:app", "nowhere"),
        ("json:app", "json has no 'app'"),
    ):
        done = run_cli(tmp_path, "serve", target)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1
