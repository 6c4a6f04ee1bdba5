"""Bad days over real processes: kill -9 under load, a full disk, odd records, PostgreSQL gone."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.kernel.event import Event, LogLine
from holdfast.rooms.telemetry.store.reader import read_events
from tests.acceptance.serving import Served, records, run_cli, serving
from tests.servers import PostgresServer
from tests.waiting import wait_until

APP = """
    import logging
    from fastapi import FastAPI
    from holdfast import Holdfast, note

    app = FastAPI()
    Holdfast(app, rooms=["telemetry", "health"])
    logger = logging.getLogger("shop")

    @app.get("/items/{item}")
    async def item(item: str):
        return {"item": item}

    @app.get("/odd/{kind}")
    async def odd(kind: str):
        text = {
            "newline": "one\\ntwo\\r\\nthree",
            "ansi": "\\x1b[31mred\\x1b[0m",
            "nul": "a\\x00b",
            "long": "가" * 400_000,
            "surrogate": "broken \\udcff text",
        }[kind]
        note(odd=text)
        logger.info("saw %s", text, extra={"detail": text, "password": "swordfish"})
        return {"kind": kind}
"""
KINDS = ("newline", "ansi", "nul", "long", "surrogate")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(textwrap.dedent(APP), "utf-8")
    return tmp_path


class Load:
    """Threads that keep asking; every answer is kept with its moment."""

    def __init__(self, ask: Any, threads: int = 4) -> None:
        self.answers: list[tuple[float, str, int]] = []
        self._ask = ask
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        turn = 0
        while not self._over.is_set():
            turn += 1
            name = f"load-{number}-{turn}"
            try:
                status = self._ask(name)
            except OSError:
                status = 0
            self.answers.append((time.monotonic(), name, status))

    def until(self, reached: Any) -> None:
        """Wait until what has been answered satisfies `reached`."""
        wait_until(lambda: reached(self.answers), lambda: f"after {self.answers[-5:]}")

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)


@pytest.mark.alone
def test_kill_9_loses_nothing_older_than_200_ms_and_the_next_start_reads_it_all(shop: Path) -> None:
    known: set[str] = set()
    for turn in range(3):
        with serving(shop, "shop:app") as served:
            load = Load(lambda name, served=served: served.get("/items/x", X_Request_ID=name).status)
            load.until(lambda answers: len(answers) > 200)
            killed_at = time.monotonic()
            served.stop(signal.SIGKILL)
            load.end()
        known |= {
            f"{turn} {name}" for at, name, status in load.answers if status == 200 and at < killed_at - 0.2
        }
        # The names repeat from turn to turn: what this turn wrote is told by its folder's new lines.
        on_disk = {
            str(record.get("http.request.id")) for record in records(shop) if record["kind"] == "request"
        }
        lost = {name for name in known if name.split()[1] not in on_disk}
        assert not lost, f"{len(lost)} of {len(known)} answered requests have no record"
    with serving(shop, "shop:app") as served:
        assert served.get("/items/y", X_Request_ID="after").status == 200
        assert served.stop() == 0
    hot = list((shop / "data" / "events" / "hot").iterdir())
    assert hot == [], "segments of dead processes are sealed by the next start"
    read = [r for r in read_events(shop / "data" / "events") if isinstance(r, Event)]
    assert "after" in {record.request_id for record in read}
    assert len({(record.request_id, record.trace_id) for record in read}) == len(read), (
        "nothing is read twice"
    )


def test_odd_records_are_one_valid_line_each_and_come_back_from_parquet(shop: Path) -> None:
    with serving(shop, "shop:app", HOLDFAST_TELEMETRY_SEGMENT_AGE_S="1") as served:
        for kind in KINDS:
            assert served.get(f"/odd/{kind}", X_Request_ID=f"odd-{kind}").status == 200
        assert served.get("/items/%00%1b%0a%FF?q=%FF%00").status == 200
        assert served.stop() == 0
    raw = b"".join(file.read_bytes() for file in (shop / "data" / "events").glob("*/*.jsonl"))
    lines = [json.loads(line) for line in raw.splitlines()]
    assert b"swordfish" not in raw
    logged = {
        line["http.request.id"]: line for line in lines if line["kind"] == "log" and "http.request.id" in line
    }
    assert set(logged) == {f"odd-{kind}" for kind in KINDS}
    assert max(len(line) for line in raw.splitlines()) < 200_000
    with serving(shop, "shop:app", HOLDFAST_TELEMETRY_UPKEEP_INTERVAL_S="1") as served:
        wait_until(lambda: list((shop / "data" / "events").glob("parquet/**/*.parquet")))
        assert served.get("/health").status == 200
        assert served.stop() == 0
    texts = {
        record.request_id: record.message
        for record in read_events(shop / "data" / "events")
        if isinstance(record, LogLine) and record.request_id.startswith("odd-")
    }
    assert texts["odd-newline"] == "saw one\ntwo\r\nthree"
    assert texts["odd-ansi"] == "saw \x1b[31mred\x1b[0m"
    assert texts["odd-nul"] == "saw a\x00b"
    assert texts["odd-surrogate"] == "saw broken \\udcff text"
    assert texts["odd-long"].startswith("saw 가가가")


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from holdfast.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 2 MiB where we may mount one; elsewhere None, and files may not grow instead."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    )
    yield place if mounted else None
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_stops_no_request_and_says_so(shop: Path, small_disk: Path | None) -> None:
    settings = {"HOLDFAST_TELEMETRY_BACKLOG_MIB": "1", "HOLDFAST_TELEMETRY_FREE_DISK_FLOOR_MIB": "0"}
    program: tuple[str, ...] = ("-m", "holdfast.cli")
    if small_disk is not None:
        settings["HOLDFAST_DATA_DIR"] = str(small_disk)
        (small_disk / "ballast").write_bytes(b"x" * 1_900_000)
    else:
        program = ("-c", FULL)
    with serving(shop, "shop:app", program=program, **settings) as served:
        counted = 0.0
        deadline = time.monotonic() + 90
        while counted == 0 and time.monotonic() < deadline:
            for _ in range(50):
                assert served.get("/odd/newline").status == 200
                assert served.get("/odd/long").status == 200
            counted = dropped(served)
        assert counted > 0
        while (check := served.get("/health/detailed").json()["checks"]["event_log"])["status"] == "ok":
            assert served.get("/odd/long").status == 200
            assert time.monotonic() < deadline
        assert (check["status"], bool(check["detail"])) == ("degraded", True)
        if small_disk is not None:
            (small_disk / "ballast").unlink()
            written = size_of(small_disk)
            while size_of(small_disk) <= written:
                assert time.monotonic() < deadline
                assert served.get("/odd/ansi").status == 200
        assert served.stop() == 0


def size_of(folder: Path) -> int:
    """Bytes of all segments; one that is sealed between two looks is left out."""
    size = 0
    for file in folder.rglob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def dropped(served: Served) -> float:
    lines = served.get("/metrics").body.decode().splitlines()
    found = [line for line in lines if line.startswith("holdfast_telemetry_records_dropped_total{")]
    return sum(float(line.split()[-1]) for line in found)


async def test_postgres_killed_under_load_is_503_and_comes_back_by_itself(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    settings = {"HOLDFAST_URL": own_postgres.url}
    refused = await asyncio.to_thread(lambda: run_cli(tmp_path, "serve", "--port", "0", **settings))
    assert refused.returncode != 0
    assert "holdfast migrate" in refused.stderr
    assert (await asyncio.to_thread(lambda: run_cli(tmp_path, "migrate", **settings))).returncode == 0
    await asyncio.to_thread(_outage, tmp_path, own_postgres, settings)


def _outage(tmp_path: Path, postgres: PostgresServer, settings: dict[str, str]) -> None:
    (tmp_path / "items.csv").write_text("id,name\n" + "".join(f"i{n},사과 {n}\n" for n in range(50)), "utf-8")
    assert run_cli(tmp_path, "import", "items", "items.csv", **settings).returncode == 0
    with serving(tmp_path, HOLDFAST_HEALTH_INTERVAL_S="0.5", **settings) as served:
        replies: list[Any] = []

        def ask(name: str) -> int:
            body = {"user_id": name, "item_id": "i7", "type": "click"}
            reply = served.request("POST", "/api/v2/recommend/feedback", body, {"Idempotency-Key": name})
            replies.append(reply)
            return reply.status

        load = Load(ask)
        load.until(lambda answers: sum(status == 200 for *_, status in answers) > 30)
        postgres.kill()
        load.until(lambda answers: sum(status == 503 for *_, status in answers) > 10)
        assert served.get("/health").status == 200
        wait_until(lambda: served.get("/health/ready").status == 503)
        postgres.start()
        back = len(load.answers)
        load.until(lambda answers: sum(status == 200 for *_, status in answers[back:]) > 30)
        wait_until(lambda: served.get("/health/ready").status == 200)
        load.end()
        statuses = {status for *_, status in load.answers}
        assert statuses <= {200, 503}, statuses
        for reply in replies:
            if reply.status == 503:
                assert reply.headers["content-type"] == "application/problem+json"
                assert int(reply.headers["retry-after"]) >= 1
        # Whatever was answered 200 is known: the same key again is a duplicate, not a second event.
        kept = [name for _, name, status in load.answers if status == 200]
        for name in (kept[0], kept[len(kept) // 2], kept[-1]):
            body = {"user_id": name, "item_id": "i7", "type": "click"}
            again = served.request("POST", "/api/v2/recommend/feedback", body, {"Idempotency-Key": name})
            assert again.status == 200
            history = served.request("POST", "/api/v2/recommend/personalized", {"user_id": name, "limit": 3})
            assert "i7" not in [item["item_id"] for item in history.json()["items"]]
        assert served.stop() == 0
