"""Limits, cache and guards in a served app, alone and over several processes with a shared store."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.serving import Reply, Served, records, run_cli, serving
from tests.shared_servers import ValkeyServer
from tests.waiting import wait_until

ON = {"HOLDFAST_LIMITS_ENABLED": "true", "HOLDFAST_LIMITS_BY_LOAD": "false"}
APP = """
import asyncio, os
from fastapi import FastAPI
from holdfast import Holdfast

app = FastAPI()
hold = Holdfast(app)
calls = {"report": 0, "payments": 0}


@app.get("/report/{name}")
async def report(name: str):
    async def load():
        calls["report"] += 1
        await asyncio.sleep(0.05)
        return {"name": name, "calls": calls["report"], "by": os.getpid()}

    return await hold.cache.get_or_set(f"report:{name}", load, kind="dashboard", tags=["reports"])


@app.get("/generate")
@hold.limits.limit("ai_generation", by="ip")
async def generate():
    return {"text": "안녕하세요"}


@app.get("/pay")
async def pay():
    async def charge():
        calls["payments"] += 1
        raise ConnectionError("the bank is away")

    return await hold.resilience.guard("payments").call(charge)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP, "utf-8")
    return tmp_path


def spend(served: Served, path: str, **headers: str) -> tuple[int, Reply]:
    """Ask until refused: how often it was let in, and the refusal."""
    for passed in range(1000):
        reply = served.get(path, **headers)
        if reply.status == 429:
            return passed, reply
        assert reply.status == 200, reply.body
    raise AssertionError("never refused")


def test_the_table_of_limits_holds_out_of_the_box_and_health_always_answers(shop: Path) -> None:
    with serving(shop, "shop:app", **ON) as served:
        served.wait_ready()
        passed, refusal = spend(served, "/generate")
        assert refusal.headers["content-type"] == "application/problem+json"
        assert int(refusal.headers["retry-after"]) >= 1
        assert "ai_generation" in refusal.body.decode()
        # 5 a 10 minutes and 2 on top, times the hour's factor (0.8, 1 or 1.5), both rounded down.
        assert passed in {4 + 1, 5 + 2, 7 + 3}, (passed, refusal.json())
        usual, _ = spend(served, "/report/a")
        forged, _ = spend(served, "/report/a", X_Forwarded_For="203.0.113.9")
        assert forged < usual / 2, "a forged address is nobody new: only what has come back meanwhile is left"
        for path in ("/health", "/health/ready", "/metrics", "/admin/cache/stats", "/admin/limits"):
            assert served.get(path).status == 200, path


def test_the_command_line_explains_a_limit(tmp_path: Path) -> None:
    asked = ("--user", "지민", "--action", "ai_generation", "--tier", "PREMIUM", "--at", "2026-11-21T10:00")
    done = run_cli(tmp_path, "limits", "explain", *asked, **ON)
    assert done.returncode == 0, done.stderr
    # PREMIUM x 2 and x 0.8 between 9 and 18 o'clock: 5 x 1.6 = 8, and 2 x 1.6 on top, rounded down.
    assert done.stdout.startswith("ai_generation: 8 per 600 s + 3 burst for user:지민\n"), done.stdout
    for part in ("PREMIUM x 2", "x 0.8", "load"):
        assert part in done.stdout, done.stdout
    wrong = run_cli(tmp_path, "limits", "explain", "--user", "x", "--action", "ai_genration")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert "ai_generation" in wrong.stderr


def test_many_callers_cost_one_computation_and_an_invalidation_another(shop: Path) -> None:
    with serving(shop, "shop:app") as served:
        told = together(served, "/report/%EB%B4%84", 24)
        assert {reply.status for reply in told} == {200}
        assert {reply.json()["calls"] for reply in told} == {1}
        gone = served.request("POST", "/admin/cache/invalidate", {"tags": ["reports"]})
        assert gone.status == 200, gone.body
        assert served.get("/report/%EB%B4%84").json()["calls"] == 2
        stats = served.get("/admin/cache/stats").json()
        assert "dashboard" in json.dumps(stats)
        assert served.stop() == 0
    noted = [r["holdfast"]["cache"] for r in records(shop) if "cache" in (r.get("holdfast") or {})]
    assert len(noted) >= 25


def test_a_dependency_that_is_away_is_left_alone_until_an_administrator_says_otherwise(shop: Path) -> None:
    # Longer than all that is asked takes: its end lets one through.
    (shop / "holdfast.toml").write_text("[resilience.defaults]\nopen_s = 120\n", "utf-8")
    with serving(shop, "shop:app") as served:
        served.wait_ready()
        statuses = [served.get("/pay").status for _ in range(12)]
        assert set(statuses) <= {500, 502, 503}
        assert statuses[-1] == 503, "the breaker is open"
        listed = served.get("/admin/resilience").json()
        assert "open" in json.dumps(listed)
        assert served.request("POST", "/admin/resilience/payments/reset").status == 200
        unknown = served.request("POST", "/admin/resilience/paymnets/reset")
        assert unknown.status == 404
        assert "payments" in unknown.body.decode()


@contextlib.contextmanager
def two(shop: Path, **settings: str) -> Iterator[tuple[Served, Served]]:
    """Two servers of one service, each with a database and records of its own."""
    other = shop / "other"
    other.mkdir()
    (other / "shop.py").write_text(APP, "utf-8")
    with serving(shop, "shop:app", **settings) as a, serving(other, "shop:app", **settings) as b:
        yield a, b


def test_two_nodes_share_limits_and_answers_and_go_on_alone_when_the_store_dies(
    shop: Path, own_redis: ValkeyServer
) -> None:
    with two(shop, HOLDFAST_URL=own_redis.url, HOLDFAST_SHARED_BUDGET_MS="5000", **ON) as (a, b):
        for node in (a, b):
            wait_until(lambda node=node: node.get("/admin/cache/stats").json()["shared"]["status"] == "up")
        first = a.get("/report/x").json()
        assert b.get("/report/x").json() == first, "what one node computed, the other does not"
        passed = spend(a, "/generate")[0]
        assert b.get("/generate").status == 429, "one limit for both"
        assert a.request("POST", "/admin/cache/invalidate", {"keys": ["report:x"]}).status == 200
        # It is told, and b may answer before it has heard of it.
        anew = wait_until(lambda: (told := b.get("/report/x").json())["by"] != first["by"] and told)
        assert anew["calls"] == 1, "computed anew: the first time by this node"
        assert b.get("/report/z").json()["calls"] == 2
        own_redis.kill()
        alone = [node.get("/report/y").status for node in (a, b) for _ in range(20)]
        assert set(alone) <= {200, 429}, "no request fails because the store has"
        assert passed > 0
        # Down, and not merely without an answer for a while.
        found = wait_until(lambda: "on its own" in (told := shared_store(a))["detail"] and told)
        assert found["status"] != "ok"


def shared_store(served: Served) -> dict[str, str]:
    """How this node finds it."""
    found: dict[str, str] = served.get("/health/dependencies").json()["dependencies"]["shared store"]
    return found


def together(served: Served, path: str, count: int) -> list[Reply]:
    """`count` requests at the same time."""
    told: list[Reply] = []
    threads = [threading.Thread(target=lambda: told.append(served.get(path))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(told) == count
    return told
