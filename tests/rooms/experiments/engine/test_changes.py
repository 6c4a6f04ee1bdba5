"""What rooms and apps get, and what is written down of it."""

import unicodedata

import pytest

from holdfast.kernel.context import Ctx, Fields, Sources
from holdfast.kernel.event import Event, ProductEvent
from holdfast.kernel.ids import IdSource
from holdfast.rooms.experiments.engine.flags import exposing
from holdfast.rooms.experiments.rules.flags import Condition, Flag, Rule
from holdfast.rooms.experiments.rules.outcomes import FACT, Use
from tests.rooms.experiments.world import Process, inside, rolled


@pytest.fixture
def process(sqlite_database):
    return Process(sqlite_database, internal=["probe"])


def exposures(process):
    return [record.facts[FACT] for record in process.records if isinstance(record, ProductEvent)]


# -- the door -------------------------------------------------------------------------------------


async def test_the_door_assigns_what_is_bound_to_the_path(process):
    await process.put(rolled(routes=("/api",)))
    await process.put(rolled(0, name="banner", routes=("/api/x", "/shop")))
    ctx = process.request("/api/x", user="u")
    assert ctx.variants == {"ranker": "treatment", "banner": "control"}
    assert ctx.event.variant == "banner=control,ranker=treatment"
    assert list(ctx.headers) == [(b"x-variant", b"banner=control,ranker=treatment")]
    assert process.request("/shop", user="u").variants == {"banner": "control"}
    assert exposures(process) == []


async def test_elsewhere_nothing_is_assigned(process):
    await process.put(rolled(routes=("/api",)))
    ctx = process.request("/other", user="u")
    assert (ctx.variants, ctx.headers, ctx.event.variant) == (None, None, "")


async def test_headers_that_others_share_are_not_written_in(process):
    await process.put(rolled(routes=("/api",)))
    shared = Fields(((b"ratelimit", b"5"),))
    ctx = process.request("/none", user="u")
    ctx.headers = shared
    process.changes.door.assign({"path": "/api", "headers": []}, ctx)
    assert list(ctx.headers) == [(b"ratelimit", b"5"), (b"x-variant", b"ranker=treatment")]
    assert len(shared) == 1


async def test_no_header_is_sent_where_none_is_set(sqlite_database):
    process = Process(sqlite_database, header="")
    await process.put(rolled(routes=("/api",)))
    assert process.request(user="u").headers is None


@pytest.mark.parametrize(
    "who",
    [
        {"agent": b"Googlebot/2.1"},
        {"agent": b"kube-probe/1.29"},
        {"user": "probe"},
        {"path": "/health/live"},
    ],
)
async def test_bots_probes_and_internal_users_get_off_and_are_not_counted(process, who):
    await process.put(rolled(routes=("/",)))
    ctx = process.request(**{"user": "u", **who})
    assert ctx.variants == {"ranker": "control"}
    with inside(ctx):
        assert process.changes.variant("ranker") == "control"
        assert process.changes.variant("ranker", "somebody else") == "control"
    assert exposures(process) == []
    assert ctx.event.facts is None


async def test_they_are_left_out_of_what_is_not_bound_too(process):
    await process.put(rolled())
    with inside(process.request(agent=b"Yeti/1.1", user="u")):
        assert process.changes.variant("ranker") == "control"
    assert process.changes.variant("ranker", "probe") == "control"
    assert exposures(process) == []


@pytest.mark.parametrize("settled", ["NFC", "NFD"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_internal_users_are_known_in_either_form_of_their_name(sqlite_database, settled, form):
    process = Process(sqlite_database, internal=[unicodedata.normalize(settled, "김민수")])
    await process.put(rolled(routes=("/api",)))
    user = unicodedata.normalize(form, "김민수")
    with inside(process.request(user=user)):
        assert process.changes.variant("ranker") == "control"
    assert process.changes.variant("ranker", user) == "control"
    assert exposures(process) == []


async def test_an_internal_user_is_explained_as_it_is_served(process):
    await process.put(rolled())
    await process.put(rolled(name="banner", unit="tenant"))
    for unit in ("probe", " probe"):
        told = process.editor.explain("ranker", unit, {})
        assert told.evaluation == process.changes.use("ranker", unit)
        assert (told.evaluation.variant, told.because) == ("control", "an internal user")
    assert process.editor.explain("banner", "probe", {}).evaluation.variant == "treatment"
    assert process.editor.explain("ranker", "u", {}).evaluation.variant == "treatment"


async def test_units_are_users_tenants_or_devices(process):
    for unit in ("user", "tenant", "device"):
        await process.put(rolled(name=unit, unit=unit, routes=("/",)))
    ctx = process.request(user="u", tenant="t", **{"x-device-id": b" d "})
    assert {name: each.unit for name, each in ctx.variants.found.items()} == {
        "user": "u", "tenant": "t", "device": "d",
    }  # fmt: skip
    anonymous = process.request(**{"x-device-id": b"x" * 5000})
    assert set(anonymous.variants.values()) == {"control"}
    assert not any(process.errors(name) for name in ("user", "tenant", "device"))


async def test_the_door_never_raises(process):
    await process.put(rolled(routes=("/",)))
    ctx = process.request(user="u")
    process.changes.door.assign({"path": "/"}, ctx)
    assert process.errors("(door)") == 1


# -- using ----------------------------------------------------------------------------------------


async def test_inside_a_request_the_caller_gets_what_the_door_assigned(process):
    await process.put(rolled(routes=("/",)))
    ctx = process.request(user="42")
    await process.put(rolled(0, generation=1))
    with inside(ctx):
        assert process.changes.variant("ranker") == "treatment"
        assert process.changes.variant("ranker", 42) == "treatment"
        assert process.changes.variant("ranker", "43") == "control"


async def test_a_use_is_on_the_record_and_read_back_by_the_intake(process):
    await process.put(rolled(routes=("/",)))
    await process.put(rolled(0, name="banner"))
    ctx = process.request(user="u", tier="pro")
    ctx.event.note(cache="hit")
    with inside(ctx):
        for _ in range(3):
            process.changes.variant("ranker")
            process.changes.variant("banner")
    assert ctx.event.facts == {"cache": "hit", FACT: "ranker=treatment 1 u\nbanner=control 1 u"}
    process.changes.intake.saw(ctx.event)
    outcome = process.changes.intake.drain()[-1]
    assert outcome.uses == {"ranker": Use("treatment", "u", 1), "banner": Use("control", "u", 1)}
    assert outcome.attributes == {"cache": "hit", "tier": "pro"}


async def test_an_exposure_is_written_once_a_unit_and_day(process):
    await process.put(rolled())
    for user in ("u", "u", "v", "u"):
        with inside(process.request(user=user, tier="pro")):
            process.changes.variant("ranker")
    process.clock.advance(86_400)
    process.changes.variant("ranker", "u")
    assert exposures(process) == ["ranker=treatment 1 u", "ranker=treatment 1 v", "ranker=treatment 1 u"]
    first = process.records[0]
    assert (first.action, first.user_id, first.request_id, first.facts["tier"]) == (
        "exposure",
        "u",
        "r",
        "pro",
    )
    assert process.meter.count("holdfast_experiments_exposures_total", "ranker", "treatment") == 3


async def test_a_unit_that_changes_its_variant_is_seen_to(process):
    await process.put(rolled())
    process.changes.variant("ranker", "u")
    await process.put(rolled(0, generation=1))
    process.changes.variant("ranker", "u")
    assert exposures(process) == ["ranker=treatment 1 u", "ranker=control 1 u"]


async def test_what_is_remembered_is_bounded(process, monkeypatch):
    monkeypatch.setattr(exposing, "MOST_REMEMBERED", 4)
    await process.put(rolled())
    for user in ("a", "b", "c", "a", "d", "e", "a"):
        process.changes.variant("ranker", user)
    assert len(exposures(process)) < 8
    assert len(process.changes.exposing._younger) + len(process.changes.exposing._elder) <= 4


@pytest.mark.parametrize("more", [{"kind": "flag"}, {"enabled": False}])
async def test_what_is_not_counted_leaves_no_trace(process, more):
    await process.put(rolled(**more))
    ctx = process.request(user="u")
    with inside(ctx):
        process.changes.variant("ranker")
    assert (exposures(process), ctx.event.facts) == ([], None)


async def test_attributes_are_the_requests_and_the_callers(process):
    rule = Rule(when=(Condition("tier", "is", "pro"), Condition("basket", "more", 5)), variant="treatment")
    flag = rolled(kind="flag")
    await process.put(type(flag)("ranker", flag.variants, rules=(rule,)))
    with inside(process.request(user="u", tier="pro")):
        assert process.changes.variant("ranker", attributes={"basket": 6}) == "treatment"
        assert process.changes.variant("ranker") == "control"
    assert process.changes.variant("ranker", "u", attributes={"basket": 6, "tier": "pro"}) == "treatment"


@pytest.mark.parametrize("kind", ["user", "tenant", "device"])
async def test_a_rule_finds_whom_code_names_wherever_it_asks(process, kind):
    rule = Rule(when=(Condition(kind, "in", ["42"]),), variant="treatment")
    await process.put(Flag("vip", {"control": 1, "treatment": 2}, rules=(rule,), unit=kind))
    assert [process.changes.variant("vip", unit) for unit in ("42", 42, "7")] == ["treatment"] * 2 + [
        "control"
    ]
    for ctx in (process.request(user="7", tenant="7"), Ctx(Event(), Sources(process.clock, IdSource()))):
        with inside(ctx):
            assert [process.changes.variant("vip", unit) for unit in ("42", "7")] == ["treatment", "control"]
            assert process.changes.variant("vip", "7", attributes={kind: "42"}) == "treatment"
    assert process.editor.explain("vip", "42", {}).because == "rule 1"
    assert process.editor.explain("vip", "7", {}).because == "no rule fits"


async def test_a_rule_finds_the_user_of_a_job(process):
    rule = Rule(when=(Condition("user", "is", "42"),), variant="treatment")
    await process.put(Flag("vip", {"control": 1, "treatment": 2}, rules=(rule,)))
    with inside(Ctx(Event(user_id="42"), Sources(process.clock, IdSource()))):
        assert process.changes.variant("vip") == "treatment"


async def test_who_is_nobody_has_no_id_that_a_rule_could_find(process):
    rule = Rule(when=(Condition("user", "exists"),), variant="treatment")
    await process.put(Flag("vip", {"control": 1, "treatment": 2}, rules=(rule,)))
    with inside(Ctx(Event(), Sources(process.clock, IdSource()))):
        assert process.changes.variant("vip") == "control"
    assert process.changes.variant("vip") == "control"
    assert process.editor.explain("vip", "", {}).because == "no rule fits"


# -- values and errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "otherwise", "fits"),
    [
        (1, 5, True),
        (1, 0.5, True),
        (0.5, 1, False),
        (True, 5, False),
        (1, False, False),
        (True, False, True),
        ("a", "b", True),
        ("a", 1, False),
        ({"a": 1}, {}, True),
        ([1], [], True),
        ([1], (), True),
        ("a", None, True),
    ],
)
async def test_a_value_of_another_type_is_an_error_and_no_exposure(process, value, otherwise, fits):
    await process.put(rolled(variants={"control": value, "treatment": value}))
    assert process.changes.value("ranker", otherwise, "u") == (value if fits else otherwise)
    assert process.errors("ranker") == (not fits)
    assert len(exposures(process)) == fits


async def test_an_unknown_flag_is_an_error_unless_code_offers_it(process):
    assert process.changes.variant("rankr", "u", otherwise="mine") == "mine"
    assert process.errors("rankr") == 1
    found = await process.changes.asking.finding()
    assert (found.status, found.facts["unknown"]) == ("ok", ["rankr"])
    process.changes.offer("ranker", ("control", "treatment"), "which ranker serves")
    assert process.changes.value("ranker", 5, "u") == 5
    assert process.errors("ranker") == 0
    assert process.changes.offered == {"ranker": ("control", "treatment")}


async def test_an_error_is_no_exposure_and_shows_in_health_for_a_while(process):
    await process.put(rolled())
    assert process.changes.variant("ranker", True) == "control"
    assert (exposures(process), process.errors("ranker")) == ([], 1)
    found = await process.changes.asking.finding()
    assert (found.status, found.facts["erring"]) == ("degraded", {"ranker": "INVALID_CONTEXT"})
    process.clock.advance(61)
    assert (await process.changes.asking.finding()).status == "ok"


@pytest.mark.parametrize("attributes", [[("plan", "gold")], "gold", 5, object()])
async def test_attributes_that_are_none_are_an_error_of_the_flag_and_of_no_request(process, attributes):
    await process.put(rolled(variants={"control": 1, "treatment": 2}))
    with inside(process.request(user="u")):
        assert process.changes.variant("ranker", attributes=attributes) == "control"
        assert process.changes.value("ranker", 5, attributes=attributes) == 1
    assert (exposures(process), process.errors("ranker")) == ([], 2)


async def test_a_name_that_is_none_gives_what_the_code_does_by_itself(process):
    assert process.changes.variant(["ranker"], "u", otherwise="mine") == "mine"
    assert process.changes.value(["ranker"], 5, "u") == 5
    found = await process.changes.asking.finding()
    assert (found.status, found.facts["erring"]) == ("degraded", {"(no name)": "GENERAL"})


async def test_one_unit_in_two_spellings_is_one(process):
    await process.put(rolled(5000, salt="any"))
    assert len({process.changes.variant("ranker", unit) for unit in (7, "7", " 7")}) == 1
    assert len(exposures(process)) == 1


async def test_what_is_called_may_take_a_name_of_its_own(process):
    given = process.changes.run("ranker", control=lambda **given: given, treatment=dict, name="김민수")
    assert given == {"name": "김민수"}


async def test_nought_is_an_id_and_not_the_requests_user(process):
    await process.put(rolled(routes=("/shop",)))
    ctx = process.request(user="u", path="/shop")
    with inside(ctx):
        for unit in (0, "0"):
            assert process.changes.use("ranker", unit).unit == "0"
        assert process.changes.use("ranker", False).reason == "ERROR", "False is no more an id than True"
        assert process.changes.use("ranker", None).unit == "u"


# -- what a request depends on ---------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"kind": "flag"}, {"enabled": False}])
async def test_a_request_depends_on_what_it_asked_for_bound_or_not_counted_or_not(process, more):
    await process.put(rolled(**more))
    ctx = process.request(user="u")
    assert ctx.variants is None
    with inside(ctx):
        assert ctx.variants is None
        got = process.changes.variant("ranker")
    assert ctx.variants == {"ranker": got}


@pytest.mark.parametrize("who", [{"agent": b"Googlebot/2.1"}, {"user": "probe"}])
async def test_what_those_get_who_take_no_part_is_no_answer_for_others(process, who):
    await process.put(rolled())
    ctx = process.request(**{"user": "u", **who})
    with inside(ctx):
        process.changes.value("ranker", "old")
    assert ctx.variants == {"ranker": "control"}


async def test_a_request_depends_on_the_variants_of_all_units_that_it_asked_for(process):
    await process.put(rolled(routes=("/api",)))
    ctx = process.request()
    assert ctx.variants == {"ranker": "control"}, "nobody is known at the door"
    with inside(ctx):
        assert [process.changes.variant("ranker", unit) for unit in "aba"] == ["treatment"] * 3
        assert ctx.variants == {"ranker": "control+treatment"}
        assert process.changes.variant("ranker") == "control"
    assert ctx.variants == {"ranker": "control+treatment"}
    assert ctx.event.variant == "ranker=control"


async def test_what_another_assignment_gave_stays(process):
    await process.put(rolled())
    ctx = process.request(user="u")
    ctx.variants = {"theirs": "b"}
    with inside(ctx):
        process.changes.variant("ranker")
    assert ctx.variants == {"theirs": "b", "ranker": "treatment"}


async def test_a_look_for_what_is_not_there_changes_nothing(process):
    ctx = process.request(user="u")
    with inside(ctx):
        process.changes.variant("ranker")
    assert ctx.variants is None


async def test_any_flag_may_give_a_request_a_variant(process):
    assert not process.changes.door.binds()
    await process.put(rolled())
    assert process.changes.door.binds()


# -- jobs, and what is handed on -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "unit"),
    [
        ("기기-1".encode(), "기기-1"),
        (unicodedata.normalize("NFD", "기기-1").encode(), "기기-1"),
        ("기기-1".encode("euc-kr"), ""),
    ],
)
async def test_a_device_is_read_as_a_user_is(process, sent, unit):
    await process.put(rolled(unit="device"))
    with inside(process.request(**{"x-device-id": sent})):
        assert process.changes.use("ranker").unit == unit


@pytest.mark.parametrize(
    ("kind", "variant"), [("user", "treatment"), ("tenant", "treatment"), ("device", "control")]
)
async def test_a_job_has_a_user_and_a_tenant_and_no_device(process, kind, variant):
    await process.put(rolled(unit=kind))
    job = Ctx(Event(user_id="u"), Sources(process.clock, IdSource()), tenant="t")
    with inside(job):
        assert process.changes.variant("ranker") == variant
    assert bool(exposures(process)) is (variant == "treatment")


async def test_what_the_releases_cannot_take_still_reaches_the_experiments(process, monkeypatch):
    async def refuse(outcomes):
        raise RuntimeError("odd")

    await process.put(rolled())
    monkeypatch.setattr(process.changes.releases, "take", refuse)
    seen = []
    monkeypatch.setattr(process.changes.experiments.taker, "add", seen.extend)
    process.changes.intake.saw(ProductEvent(action="bought", user_id="u"))
    with pytest.raises(RuntimeError, match="odd"):
        await process.changes.flush()
    assert [outcome.name for outcome in seen] == ["bought"]
