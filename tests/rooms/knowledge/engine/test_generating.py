"""Texts from templates: section by section, resumed where they were, with citations that hold at the end."""

import pytest

from holdfast.ports.jobs import Enqueue
from holdfast.rooms.knowledge.engine.generating import GENERATE, Generate
from holdfast.rooms.knowledge.rules.problems import BadQuestion, BadTemplate, UnknownJob
from holdfast.rooms.knowledge.rules.templates import SectionPlan, Template
from tests.rooms.knowledge.models import Saying

TEXT = "한글날은 10월 9일이다. 훈민정음은 1443년에 창제되었다. 세종대왕은 1450년에 죽었다."
SECTIONS = (
    SectionPlan("창제", "훈민정음은 언제 창제되었는가?"),
    SectionPlan("기념", "한글날은 언제인가?"),
)


async def written(world, **how):
    enqueued = await world.knowledge.generating.start(
        how.pop("tenant", ""), "ada", how.pop("topic", "훈민정음"), **how
    )
    kinds = [event.kind async for event in world.jobs.events(enqueued.id)]
    view = await world.jobs.find(enqueued.id)
    return view, kinds


async def test_sections_are_written_and_numbered_through(make_on):
    world = make_on(Saying("창제는 “훈민정음은 1443년에 창제되었다” [1].", "“한글날은 10월 9일이다” [1][7]"))
    await world.add("한글.txt", TEXT)
    view, kinds = await written(world, sections=SECTIONS, title="{topic} 이야기")
    assert (view.state, kinds.count("step")) == ("succeeded", 2)
    result = view.result
    assert result["title"] == "훈민정음 이야기"
    assert [one["text"] for one in result["sections"]] == [
        "창제는 “훈민정음은 1443년에 창제되었다” [1].",
        "“한글날은 10월 9일이다” [2]",
    ]
    for cited in result["citations"]:
        assert TEXT[cited["start"] : cited["end"]] == cited["quote"]
    assert result["markdown"].endswith("[2] 한글.txt: “한글날은 10월 9일이다”\n")


async def test_a_model_that_quotes_quotes_nothing_twice(make):
    world = make()
    await world.add("한글.txt", TEXT)
    twice = SectionPlan("창제", "훈민정음은 언제 창제되었는가?")
    view, _ = await written(world, sections=(twice, twice))
    assert [one["refused"] for one in view.result["sections"]] == [False, True]


async def test_what_is_gone_at_the_end_is_not_cited(make):
    world = make()
    first = await world.add("a.txt", "훈민정음은 1443년에 창제되었다.")
    await world.add("b.txt", "한글날은 10월 9일이다.")
    calls = 0

    async def delete_the_first():
        nonlocal calls
        calls += 1
        if calls == 2:
            await world.knowledge.documents.delete("", first.document_id)

    world.model.meanwhile = delete_the_first
    view, _ = await written(world, sections=SECTIONS)
    assert [one["refused"] for one in view.result["sections"]] == [True, False]
    assert [(one["number"], one["name"]) for one in view.result["citations"]] == [(1, "b.txt")]


@pytest.mark.parametrize(("topic", "spoken"), [("훈민정음", "개요"), ("Hangul", "Overview")])
async def test_built_in_templates_speak_the_topic_s_language(make, topic, spoken):
    world = make(Saying("It is “Hangul was made in 1443” [1] “훈민정음은 1443년에 창제되었다” [1]."))
    await world.add("a.txt", f"{TEXT} Hangul was made in 1443.")
    for name in ("report", "script"):
        view, _ = await written(world, topic=topic, template=name)
        assert view.state == "succeeded"
    report = await world.knowledge.generating.start("", "", topic)
    assert spoken in [
        data.data.get("message") async for data in world.jobs.events(report.id) if data.kind == "progress"
    ]


async def test_nothing_to_write_from_is_a_failure_that_says_so(make):
    world = make()
    view, _ = await written(world)
    assert (view.state, view.error_kind) == ("failed", "not_found")


async def test_a_job_is_found_by_its_tenant_alone(make):
    world = make()
    payload = Generate(topic="x", template=Template("t", SECTIONS), language="ko", tenant="acme")
    enqueued = await world.jobs.enqueue(GENERATE, payload, Enqueue(tenant="acme"))
    find = world.knowledge.generating.find
    assert (await find("acme", enqueued.id, (GENERATE,))).id == enqueued.id
    for tenant, job_id, names in (
        ("beta", enqueued.id, (GENERATE,)),
        ("acme", enqueued.id, ()),
        ("acme", "한", ()),
    ):
        with pytest.raises(UnknownJob):
            await find(tenant, job_id, names)


async def test_a_template_that_cannot_be_is_refused(make):
    start = make().knowledge.generating.start
    with pytest.raises(BadTemplate):
        await start("", "", "x", template="poem")
    with pytest.raises(BadTemplate):
        await start("", "", "x", sections=[SectionPlan("h", "p")] * 25)
    with pytest.raises(BadTemplate, match="with the topic in it"):
        await start("", "", "긴 주제 " * 50, sections=[SectionPlan("h", "{topic}" * 200)])
    with pytest.raises(BadQuestion):
        await start("", "", "x" * 501)
