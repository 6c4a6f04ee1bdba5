"""An orderly stop: readiness off, streams told, what is in flight finished, exit code 0."""

import http.client
import textwrap
import threading
import time
from pathlib import Path

from tests.acceptance.serving import records, serving
from tests.waiting import wait_until

APP = """
    import asyncio
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
    from holdfast import Holdfast
    from holdfast.kernel.context import current_ctx

    app = FastAPI()
    Holdfast(app)
    told = asyncio.Event()

    @app.get("/slow")
    async def slow():
        await told.wait()
        return {"finished": True}

    @app.get("/deaf")
    async def deaf():
        async def body():
            yield "data: first\\n\\n"
            await asyncio.Event().wait()
        return StreamingResponse(body(), media_type="text/event-stream")

    @app.get("/polite")
    async def polite():
        ctx = current_ctx()
        async def body():
            yield "data: first\\n\\n"
            await ctx.gone.wait()
            told.set()
            yield "event: bye\\n\\n"
        return StreamingResponse(body(), media_type="text/event-stream")
"""


def open_stream(port: int, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.read(13).startswith(b"data: first")
    return connection, response


def test_sigterm_finishes_requests_and_ends_streams(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(textwrap.dedent(APP))
    with serving(tmp_path, "theirs:app", HOLDFAST_EDGE_STREAM_GRACE_S="0.3") as served:
        answers: list[int] = []
        request = threading.Thread(target=lambda: answers.append(served.get("/slow").status))
        deaf, deaf_response = open_stream(served.port, "/deaf")
        polite, polite_response = open_stream(served.port, "/polite")
        request.start()
        in_flight = b'holdfast_http_requests_in_flight{worker="0"} 4'
        wait_until(lambda: in_flight in served.get("/metrics").body)
        assert served.stop() == 0
        request.join(60)
        assert answers == [200]
        assert b"bye" in polite_response.read()
        assert deaf_response.read() == b""
        deaf.close()
        polite.close()
    ended = {
        r["http.route"]: r.get("http.response.ended") for r in records(tmp_path) if r["kind"] == "request"
    }
    assert (ended["/deaf"], ended["/polite"], ended["/slow"]) == ("shutdown", "shutdown", None)


def test_readiness_goes_off_before_the_listener_closes(tmp_path: Path) -> None:
    # Longer than whatever holds this test up: a second signal ends it.
    with serving(tmp_path, HOLDFAST_SERVER_DRAIN_S="120") as served:
        served.wait_ready()
        served.process.terminate()
        reply = wait_until(lambda: (told := served.get("/health/ready")).status != 200 and told)
        assert reply.status == 503
        assert "retry-after" in reply.headers
        assert served.get("/health").status == 200
        assert served.stop() == 0


def test_the_drain_ends_by_itself(tmp_path: Path) -> None:
    with serving(tmp_path, HOLDFAST_SERVER_DRAIN_S="0.5") as served:
        begun = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - begun >= 0.5
