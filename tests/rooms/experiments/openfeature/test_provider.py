"""The provider behind OpenFeature's real client: values, reasons, exposures, errors and status."""

import asyncio
import sys
import threading
import unicodedata
from datetime import UTC, datetime

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails

from holdfast.kernel.context import Ctx, Sources, detached, enter, leave
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.event import Event
from holdfast.kernel.ids import IdSource
from holdfast.rooms.experiments.engine.flags.reading import Reading
from holdfast.rooms.experiments.rules.flags import BUCKETS, Condition, Flag, Lane, Rule, Split
from holdfast.rooms.experiments.rules.outcomes import FACT, Use, uses_of
from tests.rooms.experiments.world import BROWSER, Passage, inside

PATIENCE_S = 30
ALICE = EvaluationContext("alice")


def parted(name, kind="release", value=True, control=False, share=BUCKETS, unit="user"):
    """A flag that gives its treatment to `share` of the units."""
    return Flag(
        name,
        {"control": control, "treatment": value},
        kind=kind,
        unit=unit,
        rules=(Rule(split=Split((Lane("treatment", BUCKETS),), rollout=share)),),
    )


@pytest.fixture
def client(world):
    api.set_provider_and_wait(world.provider)
    yield api.get_client()
    api.shutdown()


TYPES = [
    ("boolean", True, False),
    ("string", "새로운", "old"),
    ("integer", 42, 0),
    ("float", 0.25, 0.0),
    ("object", {"색": "파랑"}, {}),
    ("object", [1, 2], []),
]


@pytest.mark.parametrize(("kind", "value", "default"), TYPES)
async def test_every_type_is_served_to_both_clients_with_all_that_is_known_of_it(
    world, client, kind, value, default
):
    await world.put(parted("f", value=value, control=default))
    details = getattr(client, f"get_{kind}_details")("f", default, ALICE)
    waited = await getattr(client, f"get_{kind}_details_async")("f", default, ALICE)
    assert details == waited
    assert details.value == value
    assert type(details.value) is type(value)
    assert (details.variant, details.reason, details.error_code) == ("treatment", Reason.SPLIT, None)
    told = dict(details.flag_metadata)
    assert told == {
        "kind": "release", "release": "f", "algorithm": "sha256-1", "phase": 1,
        "generation": world.flag("f").generation,
    }  # fmt: skip
    assert world.flag("f").salt not in str(told)


@pytest.mark.parametrize(
    ("value", "kind", "default"),
    [
        (True, "integer", 7),
        (1, "boolean", False),
        (1, "string", "7"),
        ("1", "integer", 7),
        (1.5, "integer", 7),
        (True, "float", 7.0),
        ("x", "object", {"a": 1}),
    ],
)
async def test_another_type_than_asked_for_gives_the_default_in_both_clients(
    world, client, value, kind, default
):
    await world.put(parted("f", value=value, control=value))
    for details in (
        getattr(client, f"get_{kind}_details")("f", default, ALICE),
        await getattr(client, f"get_{kind}_details_async")("f", default, ALICE),
    ):
        assert details.value == default
        assert details.error_code == ErrorCode.TYPE_MISMATCH
        assert details.reason == Reason.ERROR
    assert await world.errors() == (2, {"TYPE_MISMATCH"})
    assert world.exposures() == []


async def test_a_whole_number_is_a_float_as_well(world, client):
    await world.put(parted("f", value=3, control=1))
    found = client.get_float_value("f", 0.5, ALICE)
    assert (found, type(found)) == (3.0, float)


@pytest.mark.parametrize(
    ("name", "context", "code"),
    [
        ("nowhere", ALICE, ErrorCode.FLAG_NOT_FOUND),
        ("f", EvaluationContext(), ErrorCode.TARGETING_KEY_MISSING),
        ("f", EvaluationContext("a\x00b"), ErrorCode.INVALID_CONTEXT),
    ],
)
async def test_what_goes_wrong_gives_the_default_is_counted_and_is_no_exposure(
    world, client, name, context, code
):
    await world.put(parted("f"))
    details = await client.get_boolean_details_async(name, True, context)
    assert (details.value, details.reason, details.error_code) == (True, Reason.ERROR, code)
    assert await world.errors() == (1, {str(code)})
    assert world.exposures() == []
    # A flag that nobody has made yet is shown, and is no illness.
    assert (await world.health()).status == ("ok" if code == ErrorCode.FLAG_NOT_FOUND else "degraded")


async def test_a_success_is_an_exposure_and_only_of_what_is_counted(world, client):
    await world.put(parted("release", share=0))
    await world.put(parted("plain", kind="flag"))
    assert client.get_boolean_value("release", True, ALICE) is False
    assert await client.get_boolean_value_async("release", True, EvaluationContext("김철수")) is False
    assert client.get_boolean_value("plain", False, ALICE) is True
    assert sorted(world.exposures()) == [
        ("release", "control", "alice"),
        ("release", "control", "김철수"),
    ]
    assert (await world.health()).status == "ok"


async def test_contexts_of_api_and_client_are_merged_and_attributes_are_targeted_by(world, client):
    gold = Rule(
        when=(Condition("등급", "is", "금"), Condition("since", "before", "2026-01-01")), variant="on"
    )
    await world.put(Flag("f", {"control": "no", "on": "yes"}, rules=(gold,)))
    api.set_evaluation_context(EvaluationContext("alice", {"등급": "은"}))
    since = EvaluationContext(attributes={"since": datetime(2025, 1, 1, tzinfo=UTC)})
    assert client.get_string_value("f", "?", since) == "no"
    client.context = EvaluationContext(attributes={"등급": unicodedata.normalize("NFD", "금")})
    details = client.get_string_details("f", "?", since)
    assert (details.value, details.reason) == ("yes", Reason.TARGETING_MATCH)


async def test_a_rule_on_the_user_is_about_the_targeting_key(world, client):
    ours = Rule(when=(Condition("user", "in", ["김철수"]),), variant="on")
    await world.put(Flag("f", {"control": "no", "on": "yes"}, rules=(ours,)))
    found = [client.get_string_value("f", "?", EvaluationContext(user)) for user in ("김철수", "alice")]
    assert found == ["yes", "no"]


async def test_a_flag_of_tenants_asks_for_the_tenant(world, client):
    await world.put(parted("f", unit="tenant"))
    client.get_boolean_value("f", False, EvaluationContext("alice", {"tenant": "한빛"}))
    assert world.exposures() == [("f", "treatment", "한빛")]


async def test_disabled_and_static_flags_say_so(world, client):
    await world.put(Flag("off", {"control": 1, "on": 2}, enabled=False, rules=(Rule(variant="on"),)))
    await world.put(Flag("on", {"control": 1, "on": 2}, rules=(Rule(variant="on"),)))
    await world.put(Flag("unset", {"control": None}, rules=(Rule(variant="control"),)))
    found = {name: client.get_integer_details(name, 9) for name in ("off", "on", "unset")}
    assert {name: (each.value, str(each.reason)) for name, each in found.items()} == {
        "off": (1, "DISABLED"),
        "on": (2, "STATIC"),
        "unset": (9, "STATIC"),
    }


async def test_what_is_tracked_is_a_product_event_of_the_targeting_key(world, client):
    details = TrackingEventDetails(39_000).add("상품", "A-17")
    client.track("구매", EvaluationContext("김철수"), details)
    client.track("viewed")
    assert [(each.action, each.user_id, each.facts) for each in world.tracked()] == [
        ("구매", "김철수", {"상품": "A-17", "value": 39_000}),
        ("viewed", "", None),
    ]


async def test_in_a_request_its_user_is_meant_and_its_record_says_what_was_used(world, client):
    await world.put(parted("f"))
    ctx = detached(Event(user_id="김철수"))
    token = enter(ctx)
    try:
        assert client.get_boolean_value("f", False) is True
        client.track("viewed")
    finally:
        leave(token)
    assert world.exposures() == [("f", "treatment", "김철수")]
    assert uses_of(ctx.event.facts[FACT]) == {"f": Use("treatment", "김철수", 1)}
    assert world.tracked()[0].user_id == "김철수"


@pytest.mark.parametrize(
    ("user", "agent"), [("", BROWSER), ("", b"Googlebot/2.1"), ("alice", b"Googlebot/2.1")]
)
async def test_unknown_visitors_and_bots_get_what_is_off_and_that_is_no_error(world, client, user, agent):
    await world.put(parted("f", value="new", control="old"))
    scope = {"path": "/", "headers": [(b"user-agent", agent)]}
    ctx = Passage(Event(user_id=user), Sources(world.clock, IdSource()), scope=scope)
    token = enter(ctx)
    try:
        details = client.get_string_details("f", "?")
    finally:
        leave(token)
    assert (details.value, details.reason, details.error_code) == ("old", Reason.DEFAULT, None)
    assert world.exposures() == []
    assert await world.errors() == (0, set())


def test_without_the_sdk_it_says_what_to_install(world, monkeypatch):
    ours = "holdfast.rooms.experiments.openfeature"
    for name in ("provider", "hook"):
        monkeypatch.delitem(sys.modules, f"{ours}.{name}", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "openfeature"]:
        monkeypatch.setitem(sys.modules, name, None)
    parts = world.changes
    reading = Reading(parts.look, parts.asking, parts.exposing, parts.tracking, world.clock.wall)
    for ask in (reading.provider, reading.exposure_hook):
        with pytest.raises(Misconfigured) as told:
            ask()
        assert told.value.hint == "pip install 'holdfast[openfeature]'"


# -- status ---------------------------------------------------------------------------------------------


class Heard:
    """What the SDK tells its handlers, in its own thread."""

    def __init__(self, client, event):
        self._came = threading.Event()
        client.add_handler(event, lambda details: self._came.set())

    def wait(self):
        assert self._came.wait(PATIENCE_S)


@pytest.fixture
def fresh():
    yield
    api.shutdown()


async def test_before_the_start_it_is_not_ready_and_gives_defaults(unstarted, fresh):
    api.set_provider(unstarted.provider, "ours")
    client = api.get_client("ours")
    ready = Heard(client, ProviderEvent.PROVIDER_READY)
    assert client.get_provider_status() is ProviderStatus.NOT_READY
    details = client.get_boolean_details("f", True, ALICE)
    assert (details.value, details.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
    assert await unstarted.errors() == (1, {"PROVIDER_NOT_READY"})
    await unstarted.start()
    ready.wait()
    assert client.get_provider_status() is ProviderStatus.READY


async def test_waiting_for_it_before_the_start_is_refused_and_mends_itself(unstarted, fresh):
    with pytest.raises(ProviderNotReadyError):
        api.set_provider_and_wait(unstarted.provider, "ours")
    client = api.get_client("ours")
    assert client.get_boolean_details("f", True, ALICE).error_code == ErrorCode.PROVIDER_NOT_READY
    await unstarted.start()
    assert client.get_provider_status() is ProviderStatus.READY


async def test_a_server_in_a_daemon_thread_does_not_wait_for_itself(unstarted, fresh):
    def serve():
        async def begin():
            with pytest.raises(ProviderNotReadyError):
                api.set_provider_and_wait(unstarted.provider, "ours")

        asyncio.run(begin())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join(PATIENCE_S / 2)
    assert not thread.is_alive()


async def test_a_wait_for_the_start_ends_when_the_provider_is_let_go(unstarted, fresh):
    before = {each for each in threading.enumerate() if each.daemon}
    api.set_provider(unstarted.provider, "ours")
    (waiting,) = {each for each in threading.enumerate() if each.daemon} - before
    api.shutdown()
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()


async def test_it_is_stale_while_the_database_is_away_and_tells_of_changes(world, client):
    stale = Heard(client, ProviderEvent.PROVIDER_STALE)
    changed = Heard(client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    await world.put(parted("f"))
    changed.wait()
    await world.lose_database()
    stale.wait()
    assert client.get_provider_status() is ProviderStatus.STALE
    assert client.get_boolean_value("f", False, ALICE) is True
    ready = Heard(client, ProviderEvent.PROVIDER_READY)
    await world.find_database()
    ready.wait()
    assert client.get_provider_status() is ProviderStatus.READY


async def test_a_wait_that_begins_after_the_provider_was_let_go_ends_at_once(unstarted):
    """The SDK tells it in one thread, and another has come to its waiting too late."""
    unstarted.provider.attach(lambda *told: None)
    unstarted.provider.shutdown()

    def late():
        with pytest.raises(ProviderNotReadyError):
            unstarted.provider.initialize(EvaluationContext())

    waiting = threading.Thread(target=late, daemon=True)
    waiting.start()
    waiting.join(PATIENCE_S / 2)
    assert not waiting.is_alive()


# -- flags that others decide ------------------------------------------------------------------------------


async def test_exposures_of_a_foreign_provider_s_flag_are_ours_where_we_know_the_flag(world, fresh):
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    await world.put(parted("theirs", kind="experiment"))
    await world.put(parted("odd", kind="experiment"))
    await world.put(parted("plain", kind="flag"))
    theirs = {"control": False, "treatment": True, "third": True}
    flags = {
        name: InMemoryFlag(variant, theirs)
        for name, variant in {
            **dict.fromkeys(("theirs", "unknown", "plain"), "treatment"),
            "odd": "third",
        }.items()
    }
    api.set_provider_and_wait(InMemoryProvider(flags))
    client = api.get_client()
    client.add_hooks([world.exposure_hook()])
    for name in ("theirs", "unknown", "plain", "odd", "missing"):
        client.get_boolean_value(name, False, ALICE)
    client.get_boolean_value("theirs", False)
    client.get_boolean_value("theirs", False, EvaluationContext("a\x00b"))
    assert world.exposures() == [("theirs", "treatment", "alice")]
    api.set_provider_and_wait(world.provider)
    client.get_boolean_value("theirs", False, EvaluationContext("bob"))
    assert world.exposures() == [("theirs", "treatment", "alice"), ("theirs", "treatment", "bob")]


async def test_a_request_depends_on_what_a_foreign_provider_chose_for_it(world, fresh):
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    await world.put(parted("theirs", kind="experiment"))
    api.set_provider_and_wait(
        InMemoryProvider({"theirs": InMemoryFlag("treatment", {"control": False, "treatment": True})})
    )
    client = api.get_client()
    client.add_hooks([world.exposure_hook()])
    ctx = Ctx(Event(), Sources(world.clock, IdSource()))
    with inside(ctx):
        client.get_boolean_value("theirs", False, ALICE)
    assert ctx.variants == {"theirs": "treatment"}
