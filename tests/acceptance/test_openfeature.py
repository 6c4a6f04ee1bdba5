"""OpenFeature's stock clients against a served app: over OFREP from outside, and in process beside it."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from tests.acceptance.serving import Served, records, run_cli, serving
from tests.waiting import wait_until

TOKEN = {"authorization": "Bearer swordfish"}
PRODUCTION = {"HOLDFAST_ENVIRONMENT": "production", "HOLDFAST_ADMIN_TOKEN": "swordfish"}
APP = """
from fastapi import FastAPI
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from holdfast import Holdfast, experiments

app = FastAPI()
hold = Holdfast(app)
api.set_provider(hold.experiments.provider())


@app.get("/which/{user}")
async def which(user: str):
    client = api.get_client()
    details = await client.get_string_details_async("new-ranker", "default", EvaluationContext(user))
    return {
        "status": client.get_provider_status().value,
        "openfeature": details.variant,
        "object": hold.experiments.variant("new-ranker", user),
        "module": experiments.variant("new-ranker", user),
    }
"""
USERS = ["김철수", "이영희", "alice", "bob@example.com", "用户", "42", *(f"user-{at}" for at in range(14))]


def everybody(value: Any, control: Any) -> dict[str, Any]:
    """A flag whose treatment everybody has."""
    return {"variants": {"control": control, "treatment": value}, "rules": [{"variant": "treatment"}]}


FLAGS: dict[str, dict[str, Any]] = {
    "a-bool": everybody(True, False),
    "a-string": everybody("안녕하세요", ""),
    "an-int": everybody(42, 0),
    "a-float": everybody(0.25, 0.5),
    "an-object": everybody({"색": ["파랑", "빨강"]}, {}),
    "by-grade": {
        "variants": {"control": "no", "on": "yes"},
        "rules": [{"when": [{"attribute": "등급", "value": "금"}], "variant": "on"}],
    },
}


def put_flags(served: Served) -> None:
    for name, flag in FLAGS.items():
        reply = served.request("PUT", f"/admin/flags/{name}", {"name": name, **flag}, TOKEN)
        assert reply.status in (200, 201), reply.body


OUTSIDE = "from-outside"
"""Another experiment, begun by the test of it, before or after the others."""
PURCHASES = {"name": "purchases", "measure": {"action": "구매"}}


def begin(served: Served, name: str) -> None:
    """An experiment of half and half."""
    arms = {"control": "옛 랭커", "treatment": "새 랭커"}
    experiment = {
        "name": name,
        "arms": [{"name": arm, "share": 5000, "value": value} for arm, value in arms.items()],
        "metrics": [{"metric": "purchases", "role": "primary"}],
        "allow_unseen": True,
    }
    asks = (
        ("PUT", "/admin/experiments-metrics/purchases", PURCHASES),
        ("PUT", f"/admin/experiments/{name}", experiment),
        ("POST", f"/admin/experiments/{name}/start", None),
    )
    for method, path, body in asks:
        reply = served.request(method, path, body, TOKEN)
        assert reply.status in (200, 201), reply.body


def client_of(served: Served, token: str = "swordfish") -> OpenFeatureClient:
    """The stock client, as a back end in any language would be set up."""
    provider = OFREPProvider(
        f"http://127.0.0.1:{served.port}",
        headers_factory=lambda: {"authorization": f"Bearer {token}"},
        timeout=60.0,
    )
    domain = f"{served.port}-{token}"
    api.set_provider_and_wait(provider, domain)
    return api.get_client(domain)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("openfeature")
    (folder / "shop.py").write_text(APP, "utf-8")
    with serving(folder, "shop:app", **PRODUCTION) as up:
        put_flags(up)
        begin(up, "new-ranker")
        yield up
    api.shutdown()


@pytest.mark.parametrize(
    ("kind", "name", "default", "value"),
    [
        ("boolean", "a-bool", False, True),
        ("string", "a-string", "?", "안녕하세요"),
        ("integer", "an-int", 1, 42),
        ("float", "a-float", 1.0, 0.25),
        ("object", "an-object", {}, {"색": ["파랑", "빨강"]}),
    ],
)
def test_the_stock_client_reads_flags_of_every_type(
    served: Served, kind: str, name: str, default: Any, value: Any
) -> None:
    details = getattr(client_of(served), f"get_{kind}_details")(name, default, EvaluationContext("alice"))
    assert (details.value, details.variant, details.reason) == (value, "treatment", Reason.STATIC)
    assert details.flag_metadata["algorithm"] == "sha256-1"


def test_whoever_asks_in_whatever_way_gets_the_same_variant(served: Served) -> None:
    client = client_of(served)
    seen = set()
    for user in USERS:
        outside = client.get_string_details("new-ranker", "?", EvaluationContext(user))
        inside = served.get(f"/which/{quote(user)}").json()
        decomposed = EvaluationContext(unicodedata.normalize("NFD", user))
        assert client.get_string_value("new-ranker", "?", decomposed) == outside.value
        ways = (inside["openfeature"], inside["object"], inside["module"])
        assert ways == (outside.variant,) * 3
        assert inside["status"] == "READY"
        assert outside.reason == Reason.SPLIT
        seen.add(outside.variant)
    assert seen == {"control", "treatment"}


def test_attributes_in_korean_are_targeted_by(served: Served) -> None:
    client = client_of(served)
    gold, silver = ({"등급": grade} for grade in ("금", "은"))
    assert client.get_string_value("by-grade", "?", EvaluationContext("김철수", gold)) == "yes"
    assert client.get_string_value("by-grade", "?", EvaluationContext("김철수", silver)) == "no"


def test_an_unknown_flag_or_user_or_token_gives_the_default_and_the_code(served: Served) -> None:
    client, alice = client_of(served), EvaluationContext("alice")
    unknown = client.get_boolean_details("nowhere", True, alice)
    nobody = client.get_string_details("new-ranker", "mine")
    stranger = client_of(served, "guessed").get_boolean_details("a-bool", False, alice)
    mistyped = client.get_integer_details("a-string", 7, alice)
    found = [(each.value, each.error_code) for each in (unknown, nobody, stranger, mistyped)]
    assert found == [
        (True, ErrorCode.FLAG_NOT_FOUND),
        ("mine", ErrorCode.TARGETING_KEY_MISSING),
        (False, ErrorCode.GENERAL),
        (7, ErrorCode.TYPE_MISMATCH),
    ]


def test_a_client_that_keeps_flags_is_told_when_it_has_them_already(served: Served) -> None:
    address = "/ofrep/v1/evaluate/flags"
    body = {"context": {"targetingKey": "김철수", "등급": "금"}}
    first = served.request("POST", address, body, TOKEN)
    found = {each["key"] for each in first.json()["flags"]}
    assert found - {OUTSIDE} == {*FLAGS, "new-ranker"}
    known = {**TOKEN, "if-none-match": first.headers["etag"]}
    again = served.request("POST", address, body, known)
    assert (again.status, again.body) == (304, b"")
    other = {"context": {"targetingKey": "김철수", "등급": "은"}}
    changed = served.request("POST", address, other, known)
    assert changed.status == 200
    assert changed.headers["etag"] != first.headers["etag"]


def test_what_users_of_other_services_saw_and_did_is_in_the_event_log(served: Served) -> None:
    client_of(served).get_string_value("new-ranker", "?", EvaluationContext("박민수"))
    report = {"action": "구매", "user_id": "박민수", "value": 39_000}
    assert served.request("POST", "/api/v2/track", report).status == 202
    written: list[dict[str, Any]] = []

    def both() -> bool:
        written[:] = [each for each in records(served.folder) if each.get("user.id") == "박민수"]
        return len(written) == 2

    wait_until(both, lambda: f"two records of his; there are {written}")
    seen, bought = sorted(written, key=lambda each: each["event.action"] != "exposure")
    assert (seen["kind"], seen["event.action"]) == ("product", "exposure")
    assert seen["holdfast"]["exposed"].startswith("new-ranker=")
    assert (bought["event.action"], bought["holdfast"]) == ("구매", {"value": 39_000})


def counted(served: Served, name: str) -> dict[str, tuple[int, int]]:
    """Units and buyers of each arm, as the experiment has them now."""
    reply = served.request("GET", f"/admin/experiments/{name}/results", headers=TOKEN)
    if reply.status != 200 or not (found := reply.json()["analysis"]["comparisons"]):
        return {}
    arms = {arm: found[0][arm] for arm in ("control", "treatment")}
    return {arm: (each["units"], round(each["units"] * each["value"])) for arm, each in arms.items()}


def test_what_is_asked_and_reported_from_outside_counts_in_the_experiment(served: Served) -> None:
    begin(served, OUTSIDE)
    client = client_of(served)
    expected = {"control": (0, 0), "treatment": (0, 0)}
    for at in range(30):
        user, buys = f"손님-{at}", at % 3 == 0
        arm = client.get_string_details(OUTSIDE, "?", EvaluationContext(user)).variant
        assert arm is not None
        expected[arm] = (expected[arm][0] + 1, expected[arm][1] + buys)
        if buys:
            report = {"action": "구매", "user_id": unicodedata.normalize("NFD", user)}
            assert served.request("POST", "/api/v2/track", report).status == 202
    assert all(units for units, _ in expected.values()), expected
    wait_until(
        lambda: counted(served, OUTSIDE) == expected,
        lambda: f"{expected}; counted are {counted(served, OUTSIDE)}",
    )


def test_a_kill_switch_reaches_the_clients_of_another_server(tmp_path: Path, postgres_database: str) -> None:
    settings = {**PRODUCTION, "HOLDFAST_URL": postgres_database}
    assert run_cli(tmp_path, "migrate", **settings).returncode == 0
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with serving(folders[0], **settings) as one, serving(folders[1], **settings) as other:
        put_flags(one)
        client = client_of(other)
        wait_until(
            lambda: client.get_string_details("a-string", "?").reason == Reason.STATIC,
            "the flag reaches the other server",
        )
        assert one.request("POST", "/admin/flags/a-string/kill", headers=TOKEN).status == 200
        wait_until(
            lambda: client.get_string_details("a-string", "?").reason == Reason.DISABLED,
            "the kill switch reaches the other server",
        )
