"""The addresses of experiments through a real front door."""

import json

import pytest

from holdfast.edge.compress import Compression
from holdfast.edge.compress import Config as CompressionConfig
from holdfast.edge.identity import Config as IdentityConfig
from holdfast.edge.identity import Identities
from holdfast.edge.pipeline import Edge
from holdfast.edge.respond import Responder
from holdfast.edge.router import Router
from holdfast.edge.settings import Config as EdgeConfig
from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoEventLog, NoMeter
from holdfast.rooms.experiments.engine.ab.experiments import Experiments
from holdfast.rooms.experiments.http.experiments import METRICS, PATH, ExperimentsHttp, routes
from holdfast.rooms.experiments.rules.settings import Config
from holdfast.rooms.experiments.store.releases import ReleaseStore
from holdfast.rooms.experiments.store.rules import RuleStore
from tests.rooms.experiments.engine.ab.streams import START_S, event, exposure

BOUGHT = {"name": "bought", "kind": "conversion", "measure": {"action": "buy"}}
BUTTONS = {
    "name": "buttons",
    "hypothesis": "초록 단추가 더 팔린다",
    "metrics": [{"metric": "bought", "role": "primary"}],
    "plan": {"units_per_arm": 200},
}


class Door:
    """The addresses behind an Edge, and a client that speaks ASGI with the admin token."""

    def __init__(self, sql):
        self.experiments = Experiments(
            Config(),
            sql=sql,
            rules=RuleStore(sql, draw=IdSource(6).span_id),
            actions=ReleaseStore(sql),
            clock=ManualClock(START_S),
            writer="p",
        )
        self.edge = Edge(
            None,
            config=EdgeConfig(),
            router=Router(routes(ExperimentsHttp(self.experiments))),
            responder=Responder(max_body_bytes=2_000_000, admin_token="swordfish", open_admin=False),
            log=NoEventLog(),
            meter=NoMeter(),
            clock=SystemClock(),
            ids=IdSource(7),
            wake=self._wake,
            identities=Identities(
                IdentityConfig(), wall=SystemClock.wall, development=True, admin_token="swordfish"
            ),
            compression=Compression(CompressionConfig()),
        )

    async def _wake(self):
        self.edge.awake = True

    async def call(self, method, path, body=None, *, raw=None, **headers):
        where, _, query = path.partition("?")
        headers = {"authorization": "Bearer swordfish", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": where,
            "raw_path": where.encode(),
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.7", 4711),
        }
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        asked, messages = [{"type": "http.request", "body": sent, "more_body": False}], []

        async def receive():
            return asked.pop() if asked else {"type": "http.disconnect"}

        async def send(message):
            messages.append(message)

        await self.edge(scope, receive, send)
        text = b"".join(message.get("body", b"") for message in messages[1:])
        kinds = dict(messages[0]["headers"])
        as_json = b"json" in kinds.get(b"content-type", b"") and text
        return messages[0]["status"], json.loads(text) if as_json else text.decode()


@pytest.fixture
async def door(sqlite_database):
    await ReleaseStore(sqlite_database).tracked({"buy": 1})
    return Door(sqlite_database)


async def test_an_experiment_is_planned_run_and_reported(door):
    assert (await door.call("PUT", f"{METRICS}/bought", BOUGHT))[0] == 200
    assert [each["name"] for each in (await door.call("GET", METRICS))[1]["metrics"]] == ["bought"]
    status, made = await door.call("PUT", f"{PATH}/buttons", BUTTONS)
    assert (status, made["status"], made["experiment"]["hypothesis"]) == (
        200,
        "draft",
        "초록 단추가 더 팔린다",
    )
    ask = {"effect": 0.5, "baseline": 0.2, "units_per_day": 500, "keep": True}
    status, plan = await door.call("POST", f"{PATH}/buttons/plan", ask)
    assert (status, plan["metric"], plan["days"]) == (200, "bought", 7.0)
    assert (await door.call("POST", f"{PATH}/buttons/start"))[1]["status"] == "running"
    units = [(f"u{n}", "treatment" if n % 2 else "control") for n in range(60)]
    await door.experiments.take([exposure(unit, arm, 0) for unit, arm in units])
    await door.experiments.take([event(unit, "buy", 1) for unit, arm in units if arm == "treatment"])
    status, shown = await door.call("GET", f"{PATH}/buttons")
    assert shown["units"] == {"control": 30, "treatment": 30}
    assert (await door.call("GET", f"{PATH}/buttons/looks"))[1]["looks"] == [], "counting units is no look"
    status, results = await door.call("GET", f"{PATH}/buttons/results")
    assert (status, results["look"], results["who"]) == (200, 1, "admin")
    assert results["analysis"]["units"] == {"control": 30, "treatment": 30}
    assert (await door.call("GET", f"{PATH}/buttons/results?look=false"))[1]["look"] == 1
    assert len((await door.call("GET", f"{PATH}/buttons/looks"))[1]["looks"]) == 1
    status, moved = await door.call("POST", f"{PATH}/buttons/phase", {"shares": {"treatment": 1000}})
    assert (status, moved["phase"]) == (200, 2)
    status, ended = await door.call("POST", f"{PATH}/buttons/stop", {"decision": "treatment", "reason": "예"})
    assert (status, ended["status"], ended["decision"]) == (200, "stopped", "treatment")
    status, page = await door.call("GET", f"{PATH}/buttons/report", accept="text/html")
    assert status == 200
    assert "초록 단추가 더 팔린다" in page
    status, page = await door.call("GET", f"{PATH}/buttons/report?format=json")
    assert page["name"] == "buttons"
    assert [each["name"] for each in (await door.call("GET", PATH))[1]["experiments"]] == ["buttons"]
    shown = (await door.call("GET", f"{PATH}/buttons"))[1]
    assert shown["diary"][-1]["who"] == "admin"


async def test_what_is_refused_says_what_to_do(door):
    await door.call("PUT", f"{METRICS}/bought", BOUGHT)
    unknown = await door.call("GET", f"{PATH}/nothing")
    assert (unknown[0], unknown[1]["type"]) == (404, "urn:holdfast:problem:experiments-unknown")
    wrong = await door.call("PUT", f"{PATH}/other", BUTTONS)
    assert (wrong[0], wrong[1]["hint"]) == (422, "give both the same name")
    typo = {**BUTTONS, "metrics": [{"metric": "bougth", "role": "primary"}]}
    await door.call("PUT", f"{PATH}/buttons", typo)
    refused = await door.call("POST", f"{PATH}/buttons/start")
    assert (refused[0], refused[1]["hint"]) == (422, "did you mean 'bought'?")
    early = await door.call("GET", f"{PATH}/buttons/results")
    assert (early[0], early[1]["type"]) == (409, "urn:holdfast:problem:experiments-wrong-state")
    assert (await door.call("PUT", f"{PATH}/buttons?generation=9", BUTTONS))[0] == 409
    assert (await door.call("DELETE", f"{METRICS}/bougth"))[0] == 404
    assert (await door.call("DELETE", f"{METRICS}/bought"))[0] == 204
    assert (await door.call("GET", PATH, authorization="Bearer sworfdish"))[0] == 401


async def test_what_never_ran_is_removed_and_what_ran_stays(door):
    await door.call("PUT", f"{METRICS}/bought", BOUGHT)
    await door.call("PUT", f"{PATH}/buttons", BUTTONS)
    assert (await door.call("DELETE", f"{PATH}/buttons"))[0] == 204
    assert (await door.call("GET", f"{PATH}/buttons"))[0] == 404
    await door.call("PUT", f"{PATH}/buttons", BUTTONS)
    await door.call("POST", f"{PATH}/buttons/start")
    status, refused = await door.call("DELETE", f"{PATH}/buttons")
    assert (status, refused["type"]) == (409, "urn:holdfast:problem:experiments-wrong-state")


async def test_units_past_comes_from_a_csv_and_wrong_lines_are_named(door):
    await door.call("PUT", f"{METRICS}/bought", BOUGHT)
    await door.call("PUT", f"{PATH}/buttons", BUTTONS)
    good = "\ufeffunit,bought\n김철수,3\n7,0\n".encode()
    assert (await door.call("POST", f"{PATH}/buttons/covariates", raw=good))[1] == {
        "units": 2,
        "metrics": ["bought"],
    }
    for raw, said in (
        (b"unit,bougth\nkim,1\n", "line 1: 'bougth'"),
        (b"unit,bought\nkim,1\nlee,many\n", "line 3: 'many' is no number"),
        (b"unit,bought\nkim,nan\n", "line 2: 'nan' is no measurement"),
        (b"unit,bought\nkim\n", "line 2: 1 columns instead of 2"),
        (b"unit,bought\nkim,1\nkim,2\n", "line 3: the unit 'kim' stands there twice"),
        (b"unit,bought\nkim,1\n\xff,2\n", "line 3: not UTF-8"),
    ):
        status, problem = await door.call("POST", f"{PATH}/buttons/covariates", raw=raw)
        assert status == 422
        assert said in problem["detail"]


def figures_named(found, names, at=()):
    """Where in a JSON these names stand with a figure."""
    if isinstance(found, dict):
        for name, each in found.items():
            if name in names and isinstance(each, int | float):
                yield (*at, name)
            yield from figures_named(each, names, (*at, name))
    for each in found if isinstance(found, list) else ():
        yield from figures_named(each, names, at)


async def test_no_address_gives_a_p_value_of_an_effect_before_the_last_look(door):
    await door.call("PUT", f"{METRICS}/bought", BOUGHT)
    await door.call("PUT", f"{PATH}/buttons", BUTTONS)
    await door.call("POST", f"{PATH}/buttons/start")
    given = []
    for part in range(2):
        units = [(f"u{part}-{n}", "treatment" if n % 2 else "control") for n in range(240)]
        await door.experiments.take([exposure(unit, arm, 0, tier="pro") for unit, arm in units])
        await door.experiments.take([event(unit, "buy", 1) for unit, _ in units[part::5]])
        found = []
        for address in ("results", "results?look=false", "report?format=json", "looks", ""):
            status, shown = await door.call("GET", f"{PATH}/buttons/{address}".rstrip("/"))
            assert status == 200
            found += figures_named(shown, {"p", "adjusted_p", "p_value"})
        given.append({path for path in found if not {"sample_ratio", "novelty"} & set(path)})
    assert given[0] == set()
    assert ("analysis", "comparisons", "p") in given[1]
