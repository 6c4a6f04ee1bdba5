"""Delete a room's folder and it is gone: the rest starts and answers, and every room stands alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .source import ROOT, rooms

ASK = """
import asyncio, json, sys
import holdfast.app


async def ask(app, path):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "GET",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": [(b"host", b"test")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return sent[0]["status"]


async def main():
    app = holdfast.app.Holdfast(data_dir=sys.argv[1])
    await app.start()
    plain = [route.path for route in app.routes() if route.method == "GET" and "{" not in route.path]
    answers = {path: await ask(app, path) for path in ["/docs", "/openapi.json", *plain]}
    told = app.about()
    await app.stop()
    print(json.dumps({
        "file": holdfast.app.__file__, "answers": answers,
        "on": list(told["rooms"]), "skipped": told["skipped"],
    }))


asyncio.run(main())
"""

WIRING = """
def pytest_collection_modifyitems(items):
    wiring = ("test_room.py", "test_http.py")
    items[:] = [one for one in items if one.path.name in wiring and one.path.parent.parent.name == "rooms"]
"""


def without(place: Path, *gone: str) -> None:
    """The project at `place`, less these rooms and their tests; tests of other parts stay out as well."""
    # Byte code that another process is writing has another name when it is copied.
    leave_out = shutil.ignore_patterns("structure", "acceptance", "*.pyc.*")
    shutil.copytree(ROOT / "src", place / "src", ignore=leave_out)
    shutil.copytree(ROOT / "tests", place / "tests", ignore=leave_out)
    shutil.copytree(ROOT / "benchmarks", place / "benchmarks", ignore=leave_out)
    shutil.copy(ROOT / "pyproject.toml", place)
    for room in gone:
        shutil.rmtree(place / "src" / "holdfast" / "rooms" / room)
        shutil.rmtree(place / "tests" / "rooms" / room)


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "COV"))}
    env["PYTHONPATH"] = os.pathsep.join([str(place / "src"), str(place)])
    return subprocess.run([sys.executable, *arguments], cwd=place, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("room", rooms())
def test_without_a_room_the_server_answers_and_says_which_room_is_missing(room, tmp_path):
    without(tmp_path, room)
    done = run(tmp_path, "-c", ASK, str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr[-1500:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["file"].startswith(str(tmp_path))
    assert told["skipped"][room] == "not part of this installation"
    assert set(told["on"]) | set(told["skipped"]) == set(rooms())
    assert set(told["on"]) == set(rooms()) - {room}
    assert told["answers"]["/docs"] == told["answers"]["/openapi.json"] == 200
    assert {path: status for path, status in told["answers"].items() if status == 500} == {}


@pytest.mark.slow
@pytest.mark.parametrize("room", rooms())
def test_a_room_stands_when_it_is_the_only_one(room, tmp_path):
    """Stronger than leaving out one at a time, and linear: with none of the others, none can be needed.

    All its tests are imported, and those of its wiring and its addresses run; the rest have run already.
    """
    without(tmp_path, *(other for other in rooms() if other != room))
    (tmp_path / "wiring.py").write_text(WIRING)
    how = ("-q", "-x", "-p", "wiring", "-m", "not slow", "--basetemp", str(tmp_path / "inner"))
    done = run(tmp_path, "-m", "pytest", *how, f"tests/rooms/{room}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]  # 5 where nothing has run
