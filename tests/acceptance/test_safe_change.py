"""Safe change on a served app: a broken release takes itself back, a planned experiment is reported."""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.serving import Served, run_cli, serving
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
BACK_S = 5.0
"""Within so many seconds of the decision every worker serves control again."""
RELEASE = {
    "name": "price-engine",
    "description": "새 가격 엔진",
    "version": "2.0.0",
    "stages": [{"share": 2500, "dwell_s": 600}, {"share": 10_000, "dwell_s": 600}],
    "gates": [{"name": "errors"}, {"name": "slow", "of": "latency", "target_s": 5.0, "limit": 0.05}],
}
USERS = [f"사용자-{number}" for number in range(400)]
pytestmark = pytest.mark.timeout(400)


class Load:
    """Users that ask until they are told to stop; what each got, and when it had asked."""

    def __init__(self, port: int, threads: int = 4) -> None:
        self.answers: list[tuple[float, str, int]] = []
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n, threads)) for n in range(threads)]

    def _ask(self, first: int, step: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for user in cycle(USERS[first::step]):
            if self._over.is_set():
                break
            asked_at = time.monotonic()
            try:
                connection.request("GET", "/price", headers={"x-user-id": user.encode()})
                response = connection.getresponse()
                response.read()
            except ConnectionError:  # uvicorn hangs up after an exception that the app let through
                connection.close()
                continue
            self.answers.append((asked_at, user, response.status))
        connection.close()

    def got(self, wanted: int, since: float = 0.0) -> set[str]:
        """The users who got this status when they had asked since then."""
        return {user for at, user, status in list(self.answers) if status == wanted and at > since}

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def shop(folder: Path, *arguments: str, **settings: str) -> Iterator[Served]:
    settings = {
        "PYTHONPATH": str(ROOT),
        "HOLDFAST_EXPERIMENTS_TURN_S": "0.5",
        "HOLDFAST_EXPERIMENTS_FLUSH_S": "0.5",
        **settings,
    }
    with serving(folder, *arguments, "tests.acceptance.change_app:app", **settings) as served:
        served.wait_ready()
        try:
            yield served
        finally:
            served.stop()  # killed, it would leave its workers behind


def done(reply: Any) -> Any:
    assert reply.status < 300, reply.body
    return reply.json()


def engines(served: Served, users: list[str]) -> set[int]:
    """What these users get now, each over a connection of its own, so that every worker is asked."""
    return {served.request("GET", "/price", headers={"x-user-id": user}).status for user in users}


def standing(served: Served) -> Any:
    return done(served.get("/admin/releases/price-engine"))["brief"]


def broken_release_takes_itself_back(served: Served) -> None:
    done(served.request("PUT", "/admin/releases/price-engine", RELEASE))
    assert engines(served, [user.encode() for user in USERS[:40]]) == {200}
    with Load(served.port) as load:
        done(served.request("POST", "/admin/releases/price-engine/start"))
        wait_until(lambda: standing(served)["status"] == "rolled_back", lambda: standing(served))
        back_at = time.monotonic() + BACK_S
        assert load.got(500), "nobody got the broken engine: nothing was tried"
        wait_until(
            lambda: load.got(500) & load.got(200, back_at), "those who suffered are served by control again"
        )
    assert load.got(500, back_at) == set()
    again = served.request("POST", "/admin/releases/price-engine/start")
    assert again.status == 409, "what was rolled back does not start again by itself"


def report_tells_why(served: Served) -> None:
    path = "/admin/releases/price-engine/report"
    page = done(served.get(path, accept="application/json"))
    assert page["status"] == "rolled_back"
    assert any(example["arm"] == "treatment" and example["request_id"] for example in page["examples"])
    html = served.get(path, accept="text/html")
    assert html.headers["content-type"].startswith("text/html")
    text = html.body.decode()
    assert "<svg" in text
    assert "새 가격 엔진" in text


def test_a_broken_release_takes_itself_back_in_one_process(tmp_path: Path) -> None:
    with shop(tmp_path) as served:
        broken_release_takes_itself_back(served)
        report_tells_why(served)
    done = run_cli(tmp_path, "release", "report", "price-engine", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "rolled_back"


def test_a_broken_release_takes_itself_back_on_four_workers(
    tmp_path: Path, postgres_database: str, own_redis: Any
) -> None:
    url = f"{postgres_database},{own_redis.url}"
    assert run_cli(tmp_path, "migrate", HOLDFAST_URL=url).returncode == 0
    with shop(tmp_path, "--workers", "4", HOLDFAST_URL=url) as served:
        broken_release_takes_itself_back(served)
        report_tells_why(served)


def test_an_experiment_is_planned_run_and_reported(tmp_path: Path) -> None:
    """A button that sells a quarter more, among 1,600 users who see it once."""
    luck = random.Random(6)
    with shop(tmp_path) as served:
        for user in ("먼저 온 손님", "another"):
            done(served.request("POST", "/buy", {"value": 1}, {"x-user-id": user.encode()}))
        done(
            served.request(
                "PUT",
                "/admin/experiments-metrics/bought",
                {"name": "bought", "kind": "conversion", "measure": {"action": "bought"}},
            )
        )
        experiment = {
            "name": "buy-button",
            "hypothesis": "초록 단추가 더 잘 팔린다",
            "arms": [
                {"name": "control", "share": 5000, "value": "회색"},
                {"name": "treatment", "share": 5000, "value": "초록"},
            ],
            "metrics": [{"metric": "bought", "role": "primary"}],
        }
        done(served.request("PUT", "/admin/experiments/buy-button", experiment))
        plan = done(
            served.request(
                "POST",
                "/admin/experiments/buy-button/plan",
                {"baseline": 0.3, "effect": 0.5, "units_per_day": 800, "keep": True},
            )
        )
        assert 100 < plan["units_per_arm"] < 400, plan
        until_seen(served, "/admin/experiments/buy-button/start")
        arms = visit(served, luck)
        assert min(arms.values()) > 350, arms
        results = until_counted(served, sum(arms.values()))
        text = json.dumps(results, ensure_ascii=False)
        assert results["analysis"]["verdict"]["decision"] == "ship", text
        stopped = done(
            served.request("POST", "/admin/experiments/buy-button/stop", {"decision": "treatment"})
        )
        assert stopped["status"] == "stopped"
        page = done(served.get("/admin/experiments/buy-button/report", accept="application/json"))
        assert page["name"] == "buy-button"
        assert "<svg" in served.get("/admin/experiments/buy-button/report", accept="text/html").body.decode()
    written = run_cli(tmp_path, "experiment", "report", "buy-button", "--json")
    assert written.returncode == 0, written.stderr
    assert json.loads(written.stdout)["name"] == "buy-button"


def until_seen(served: Served, path: str) -> None:
    """Start: refused until the action that its metric rests on has been seen."""

    def is_started() -> bool:
        reply = served.request("POST", path)
        assert reply.status in (200, 422), reply.body
        return reply.status == 200

    wait_until(is_started)


def visit(served: Served, luck: random.Random) -> dict[str, int]:
    """Everybody looks once; three in ten buy, of those who see green fifteen in forty more."""
    arms: dict[str, int] = {}

    def ask(method: str, path: str, user: str, body: Any = None) -> Any:
        return done(served.request(method, path, body, {"x-user-id": user.encode()}))

    for number in range(800):
        user = f"손님-{number}"
        button = ask("GET", "/offer", user)["button"]
        arms[button] = arms.get(button, 0) + 1
        if luck.random() < {"회색": 0.3, "초록": 0.45}[button]:
            ask("POST", "/buy", user, {"value": 12_000})
    return arms


def until_counted(served: Served, units: int) -> Any:
    """Results once everybody is in the sums; how many there are is told without a look."""
    path = "/admin/experiments/buy-button"
    wait_until(
        lambda: sum(done(served.get(path))["units"].values()) == units,
        lambda: done(served.get(path))["units"],
    )
    return done(served.get(f"{path}/results"))
