"""The built-in recommendations through a release and an experiment of their own, over the admin API alone."""

from typing import Any

import pytest

from holdfast.rooms.experiments.rules.statistics.results import WHOLE
from tests.acceptance.test_variants import RECOMMEND, as_user, requests, served
from tests.waiting import until

RELEASE = {
    "name": "recommend",
    "description": "4 단계 추천",
    "version": "4.0.0",
    "stages": [{"share": 5_000, "dwell_s": 600}, {"share": 10_000, "dwell_s": 600}],
    "gates": [{"name": "errors"}],
    "routes": [RECOMMEND],
}
REPORT = "/admin/experiments/recommend/report"
QUICK = {"turn_s": 0.05, "flush_s": 0.05}
VARIANT = {"variants": {"treatment": {"sources": ["content", "persona"], "explore_slots": 0}}}


@pytest.fixture
async def client(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with served(tmp_path / "data", experiments=QUICK, recommend=VARIANT) as found:
        await found.hold.ground.seed()
        await found.hold.ground.rooms["recommend"].open().refresh()
        yield found


async def done(reply: Any) -> Any:
    got = await reply
    assert got.status_code < 300, got.text
    return got.json()


async def ask(client, user):
    return await client.post(f"{RECOMMEND}/personalized", json={"limit": 3}, headers=as_user(user))


async def test_a_broken_arm_of_the_recommendations_takes_itself_back(client, monkeypatch):
    recommender = client.hold.ground.rooms["recommend"].open().recommender
    make = recommender._make

    async def broken(asked, person, arm):
        if asked.variant == "treatment":
            raise RuntimeError("the new ranker cannot divide by zero")
        return await make(asked, person, arm)

    monkeypatch.setattr(recommender, "_make", broken)
    await done(client.put("/admin/releases/recommend", json=RELEASE))
    await done(client.post("/admin/releases/recommend/start"))
    number, status = 0, "running"
    while status in ("running", "held"):  # held while few of either arm have been seen
        await ask(client, f"손님-{number % 400}")
        number += 1
        if number % 10 == 0:
            status = (await done(client.get("/admin/releases/recommend")))["brief"]["status"]
    assert status == "rolled_back"
    suffered = {one.user_id for one in requests(client, "/personalized") if one.status == 500}
    assert suffered

    async def is_back():
        """The decision stands before this process has heard of it."""
        return (await ask(client, min(suffered))).status_code == 200

    await until(is_back)
    for user in suffered:
        got = await ask(client, user)
        assert (got.status_code, got.headers["x-variant"]) == (200, "recommend=control")
    page = await done(client.get("/admin/releases/recommend/report", headers={"accept": "application/json"}))
    assert {one["arm"] for one in page["examples"]} == {"treatment"}


async def test_clicks_over_what_was_shown_is_a_metric_of_an_experiment_on_the_recommendations(client):
    metric = {
        "name": "click-through",
        "kind": "ratio",
        "measure": {"action": "click"},
        "over": {"action": "recommend_shown", "take": "value"},
    }
    await done(client.put("/admin/experiments-metrics/click-through", json=metric))
    experiment = {
        "name": "recommend",
        "metrics": [{"metric": "click-through", "role": "primary"}],
        "routes": [RECOMMEND],
        "allow_unseen": True,
    }
    await done(client.put("/admin/experiments/recommend", json=experiment))
    await done(client.post("/admin/experiments/recommend/start"))
    users = [f"손님 {number}" for number in range(30)]
    arms = {"control": 0, "treatment": 0}
    for user in users:
        got = await ask(client, user)
        arms[got.headers["x-variant"].removeprefix("recommend=")] += 1
        click = {"item_id": got.json()["items"][0]["item_id"], "type": "click", "id": "c1"}
        for _ in range(2):  # sent again, it is no second click
            feedback = await client.post(f"{RECOMMEND}/feedback", json=click, headers=as_user(user))
            assert feedback.status_code == 200

    experiments = client.hold.ground.rooms["experiments"].changes.experiments

    async def are_taken():
        """What came is in the sums; a report before that were a look, shown again until others come."""
        sheet = await experiments.looks.sheet(await experiments.lives.one("recommend"))
        sums = [sheet.of((*WHOLE, arm), "click-through") for arm in arms]
        return [sum(each.y for each in sums), sum(each.d for each in sums)] == [len(users), 3 * len(users)]

    await until(are_taken)
    page = await done(client.get(REPORT, headers={"accept": "application/json"}))
    (found,) = page["metrics"]
    assert {one["arm"]: one["units"] for one in found["arms"]} == arms
    # One click to three that were shown, in either arm.
    assert [one["figure"]["value"] for one in found["arms"]] == pytest.approx([1 / 3, 1 / 3])
