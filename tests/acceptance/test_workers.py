"""Many workers: refused without a shared store, one set of metrics with one, and an orderly end."""

import os
import signal
from pathlib import Path

from tests.acceptance.serving import Served, run_cli, serving
from tests.waiting import wait_until


def served_requests(served: Served, route: str) -> float:
    """What /metrics counts for GET `route`, over all workers."""
    wanted = f'holdfast_http_request_duration_seconds_count{{method="GET",route="{route}",status="200"}}'
    lines = served.get("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))


def children(pid: int) -> list[int]:
    """The worker processes of a server, not the resource tracker that multiprocessing adds."""
    found = []
    for process in Path("/proc").glob("[0-9]*") if Path("/proc/self").exists() else ():
        try:
            stat = (process / "stat").read_text().rsplit(")", 1)[1].split()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if int(stat[1]) == pid and b"spawn_main" in command:
            found.append(int(process.name))
    return found


def test_without_a_shared_store_more_than_one_is_refused(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "serve", "--workers", "2")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "server.workers" in done.stderr
    assert "url" in done.stderr


def test_metrics_are_one_over_workers_and_survive_the_death_of_one(
    tmp_path: Path, postgres_database: str
) -> None:
    settings = {"HOLDFAST_URL": postgres_database}
    assert run_cli(tmp_path, "migrate", **settings).returncode == 0
    with serving(tmp_path, "--workers", "2", **settings) as served:
        sent = 0
        wait_until(lambda: len(workers_seen(served)) == 2, "both workers answer")
        for _ in range(200):
            assert served.get("/api/v2/recommend/trending").status == 200
            sent += 1
        # Whoever is asked knows its own at once and the other's a second later.
        counted = wait_until(
            lambda: (n := served_requests(served, "/api/v2/recommend/trending")) >= sent and n
        )
        assert counted == sent
        # What a worker counted since it last wrote would be gone with it: each has written twice more.
        for _ in range(2):
            before = written(tmp_path)
            wait_until(lambda before=before: all(at > before[slot] for slot, at in written(tmp_path).items()))
        workers = children(served.process.pid)
        if workers:
            os.kill(workers[0], signal.SIGKILL)
            wait_until(
                lambda: len(now := children(served.process.pid)) == 2 and workers[0] not in now,
                "another worker takes its place",
            )
            wait_until(lambda: len(workers_seen(served)) == 2, "both workers answer")
            assert served_requests(served, "/api/v2/recommend/trending") >= sent
        assert served.stop() == 0
        assert children(served.process.pid) == []


SLOW = """
import sys, threading
if any("spawn_main" in part for part in sys.orig_argv):
    threading.Event().wait(7)
"""


def test_workers_that_take_long_to_start_come_up_all_the_same(tmp_path: Path, postgres_database: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW, "utf-8")
    settings = {"HOLDFAST_URL": postgres_database}
    assert run_cli(tmp_path, "migrate", **settings).returncode == 0
    with serving(tmp_path, "--workers", "2", **settings) as served:
        wait_until(lambda: len(workers_seen(served)) == 2, "both workers answer")
        assert served.stop() == 0


def written(folder: Path) -> dict[str, int]:
    """When each worker has last written down what it counts."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "data" / "metrics").glob("*.metrics")}


def workers_seen(served: Served) -> set[str]:
    """The workers whose gauges /metrics shows."""
    lines = served.get("/metrics").body.decode().splitlines()
    up = [line for line in lines if line.startswith("holdfast_process_start_time_seconds{")]
    return {line.split('worker="')[1].split('"')[0] for line in up}
