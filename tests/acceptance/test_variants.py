"""The built app in two arms: what the door assigns is on header, record and cache keys, and never leaks."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from holdfast.app import Holdfast
from holdfast.kernel.context import current_ctx
from holdfast.kernel.event import Event, ProductEvent
from holdfast.rooms.experiments.rules.flags import Flag, Lane, Rule, Split
from holdfast.rooms.recommend.engine.writing import Item, save_items
from tests.acceptance.gateway import Upstream

RECOMMEND, CONVERSATIONS = "/api/v2/recommend", "/api/v2/conversations"
HALVES = (Rule(split=Split((Lane("control", 5_000), Lane("treatment", 5_000)))),)
VARIANTS = {
    "recommend": {"variants": {"treatment": {"sources": ["content", "persona"], "explore_slots": 0}}},
    "conversations": {"variants": {"treatment": {"style": "Answer like a pirate.", "recall": "off"}}},
}
USERS = [f"user-{number}" for number in range(12)]


async def assign(hold, name, routes, kind="experiment"):
    """A flag of that name, half and half, bound to these paths."""
    changes = hold.ground.rooms["experiments"].changes
    flag = Flag(name, {"control": None, "treatment": None}, rules=HALVES, routes=routes, kind=kind, salt=name)
    async with hold.ground.sql.transaction() as tx:
        await changes.rules.put_flag(tx, flag, "test", 0)
    await changes.rulebook.changed()


class Counting:
    """An app whose answers are loads: one number for each that the cache did not save."""

    def __init__(self):
        self.loads = 0
        self.hold = None

    async def __call__(self, scope, receive, send):
        async def load():
            self.loads += 1
            return self.loads

        self.hold.ground.rooms["cache"].responses.respond(public="everyone")
        number = await self.hold.ground.cache.get_or_set("front page", load)
        body = b"%d" % number
        head = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(folder, app=None, **settings):
    hold = Holdfast(
        app,
        data_dir=str(folder),
        limits={"enabled": False},
        **{**VARIANTS, **settings},
    )
    if app is not None:
        app.hold = hold
    records = []
    hold.ground.log.tap(records.append)
    await hold.start()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(hold), base_url="http://x") as client:
            client.hold, client.records = hold, records
            yield client
    finally:
        await hold.stop()


@pytest.fixture
async def client(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with served(tmp_path / "data") as found:
        await save_items(found.hold.ground.sql, [Item(f"tea-{n}", f"green tea {n}") for n in range(20)])
        await found.hold.ground.rooms["recommend"].open().refresh()
        await assign(found.hold, "recommend", (RECOMMEND,))
        await assign(found.hold, "conversations", (CONVERSATIONS,))
        yield found


def as_user(user):
    return {"x-user-id": user.encode()}


def events(client, action):
    return [one for one in client.records if isinstance(one, ProductEvent) and one.action == action]


def requests(client, path):
    return [one for one in client.records if isinstance(one, Event) and one.path.endswith(path)]


async def recommended(client, user):
    """The arm by the response's header, and the answer."""
    got = await client.post(f"{RECOMMEND}/personalized", json={"interests": ["tea"]}, headers=as_user(user))
    assert got.status_code == 200, got.text
    return got.headers["x-variant"].removeprefix("recommend="), got.json()


async def test_recommendations_come_from_both_arms_and_say_so_everywhere(client):
    arms = {}
    for user in USERS:
        arm, answer = await recommended(client, user)
        again, repeated = await recommended(client, user)
        assert (again, repeated["answer_id"]) == (arm, answer["answer_id"])
        assert answer["weights"]["collaborative"] == 0 or arm == "control"
        assert all(not item.get("explored") for item in answer["items"]) or arm == "control"
        arms[user] = arm
    assert set(arms.values()) == {"control", "treatment"}
    seen = requests(client, "/personalized")
    assert len(seen) == 2 * len(USERS)
    for record in seen:
        arm = arms[record.user_id]
        assert record.variant == f"recommend={arm}"
        assert f"recommend={arm} " in record.facts["exposed"]
    assert {one.user_id for one in events(client, "exposure")} == set(USERS)


async def test_what_was_shown_and_clicked_arrives_as_events_of_the_same_user(client):
    arm, answer = await recommended(client, "지민")
    click = {"item_id": answer["items"][0]["item_id"], "type": "click"}
    got = await client.post(f"{RECOMMEND}/feedback", json=click, headers=as_user("지민"))
    assert got.status_code == 200
    (shown,), (clicked,) = events(client, "recommend_shown"), events(client, "click")
    assert (shown.user_id, shown.facts["value"]) == ("지민", len(answer["items"]))
    assert clicked.user_id == "지민"
    assert shown.facts["answer_id"] == answer["answer_id"]
    assert shown.request_id == requests(client, "/personalized")[0].request_id
    assert arm in ("control", "treatment")


async def said(client, user, text, **how):
    started = await client.post(f"{CONVERSATIONS}/start", json={}, headers=as_user(user))
    one = f"{CONVERSATIONS}/{started.json()['conversation_id']}"
    got = await client.post(f"{one}/messages", json={"message": text, **how}, headers=as_user(user))
    assert got.status_code == 200, got.text
    return one, got


def models(upstream):
    """A model that answers, which is the default one, and a model that is broken."""
    names = {"gpt": "gpt-4o+ok", "broken": "gpt-4o+500"}
    deployments = {
        name: {"base_url": upstream.url, "model": model, "probe": False, "attempts": 1}
        for name, model in names.items()
    }
    return {"deployments": deployments, "default_model": "gpt"}


async def test_a_broken_arm_fails_for_its_own_users_and_every_failure_is_on_their_records(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    broken = {"variants": {"treatment": {"model": "broken"}}}
    with Upstream() as upstream:
        async with served(tmp_path / "data", llm=models(upstream), conversations=broken) as client:
            await assign(client.hold, "conversations", (CONVERSATIONS,))
            statuses: dict[str, set[int]] = {"control": set(), "treatment": set()}
            for number, user in enumerate(USERS):
                started = await client.post(f"{CONVERSATIONS}/start", json={}, headers=as_user(user))
                got = await client.post(
                    f"{CONVERSATIONS}/{started.json()['conversation_id']}/messages",
                    json={"message": "hello", "stream": number % 2 == 0},
                    headers=as_user(user),
                )
                statuses[got.headers["x-variant"].removeprefix("conversations=")].add(got.status_code)
    assert statuses == {"control": {200}, "treatment": {200, 502}}
    for record in requests(client, "/messages"):
        failed = record.status >= 500 or bool(record.error_type)
        assert failed is (record.variant == "conversations=treatment")
    failed = {one.user_id for one in events(client, "turn_failed")}
    assert failed == {one.user_id for one in requests(client, "/messages") if "treatment" in one.variant}


async def test_conversations_are_answered_in_both_arms_and_no_answer_is_kept_for_the_other(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arms: dict[str, list[bool]] = {"control": [], "treatment": []}
    with Upstream() as upstream:
        async with served(tmp_path / "data", llm=models(upstream)) as client:
            await assign(client.hold, "conversations", (CONVERSATIONS,))
            for user in USERS:
                one, got = await said(client, user, "What is a hash table?")
                arm = got.headers["x-variant"].removeprefix("conversations=")
                context = (await client.get(f"{one}/context", headers=as_user(user))).json()
                assert ("pirate" in context["messages"][0]["content"]) is (arm == "treatment")
                arms[arm].append(got.json()["cached"])
    for kept in arms.values():
        assert kept == [False] + [True] * (len(kept) - 1), "the first of each arm asks the model itself"
        assert len(kept) > 1


@pytest.mark.parametrize("how", [{}, {"stream": True}])
async def test_the_use_stands_on_the_record_of_the_request_that_asked(client, how):
    one, got = await said(client, "지민", "안녕하세요", **how)
    (asked,) = requests(client, "/messages")
    arm = got.headers["x-variant"].removeprefix("conversations=")
    assert f"conversations={arm} " in asked.facts["exposed"]
    (start,) = requests(client, "/start")
    assert "exposed" not in (start.facts or {})
    (turn,) = events(client, "turn")
    assert (turn.user_id, turn.request_id, turn.facts["outcome"]) == ("지민", asked.request_id, "done")
    score = await client.post(f"{one}/messages/m2/feedback", json={"score": 1}, headers=as_user("지민"))
    assert score.status_code == 201
    (event,) = events(client, "satisfaction")
    assert (event.user_id, event.facts["value"]) == ("지민", 1)


async def test_a_rollback_takes_users_back_to_control_and_never_to_what_the_other_arm_kept(client):
    user, answer = "", {}
    for user in USERS:
        arm, answer = await recommended(client, user)
        if arm == "treatment":
            break
    changes = client.hold.ground.rooms["experiments"].changes
    async with client.hold.ground.sql.transaction() as tx:
        flag = changes.rulebook.ruleset.flags["recommend"]
        off = Flag(**{name: getattr(flag, name) for name in flag.__struct_fields__} | {"enabled": False})
        await changes.rules.put_flag(tx, off, "test", 1)
    await changes.rulebook.changed()
    arm, back = await recommended(client, user)
    assert arm == "control"
    assert back["answer_id"] != answer["answer_id"]


async def test_the_apps_own_cache_is_apart_by_arm_private_and_dropped_by_one_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with served(tmp_path / "data", Counting()) as client:
        first = await client.get("/front", headers=as_user("user-1"))
        assert first.headers["cache-control"].startswith("public")
        assert "x-variant" not in first.headers
        await assign(client.hold, "front", ("/front",))
        seen: dict[str, set[str]] = {}
        for user in USERS:
            got = await client.get("/front", headers=as_user(user))
            assert got.headers["cache-control"].startswith("private")
            seen.setdefault(got.headers["x-variant"], set()).add(got.text)
        assert {arm: len(texts) for arm, texts in seen.items()} == {"front=control": 1, "front=treatment": 1}
        assert set.union(*seen.values()) == {"2", "3"}
        elsewhere = await client.get("/elsewhere", headers=as_user("user-1"))
        assert (elsewhere.text, elsewhere.headers["cache-control"].split(",")[0]) == ("1", "public")
        assert current_ctx() is None
        await client.hold.ground.cache.invalidate(keys=["front page"])
        anew = await asyncio.gather(*(client.get("/front", headers=as_user(user)) for user in USERS))
        assert {got.text for got in anew} == {"4", "5"}


@pytest.mark.parametrize("kind", ["flag", "experiment"])
async def test_a_flag_bound_to_no_path_parts_caches_from_where_it_is_asked(tmp_path, monkeypatch, kind):
    """The natural way to write it: ask for the engine, then keep what it computes."""
    monkeypatch.chdir(tmp_path)

    async def app(scope, receive, send):
        hold.ground.rooms["cache"].responses.respond(public="everyone")
        engine = hold.experiments.variant("prices")

        async def load():
            return engine

        body = (await hold.ground.cache.get_or_set("prices", load)).encode()
        head = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    class Shop:
        async def __call__(self, scope, receive, send):
            await app(scope, receive, send)

    async with served(tmp_path / "data", shop := Shop()) as client:
        hold = shop.hold
        await assign(hold, "prices", (), kind)
        seen = {user: await client.get("/p", headers=as_user(user)) for user in USERS}
        assert {got.text for got in seen.values()} == {"control", "treatment"}
        changes = hold.experiments
        assert {user: got.text for user, got in seen.items()} == {
            user: changes.look("prices", user).variant for user in USERS
        }
        bot = await client.get("/p", headers={"user-agent": "Googlebot/2.1", **as_user("user-1")})
        assert bot.text == "control"
        for got in (*seen.values(), bot):
            assert got.headers["cache-control"].startswith("private, no-cache")
