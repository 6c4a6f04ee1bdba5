"""Whole lives of releases: promoted, rolled back, held, inconclusive."""

from holdfast.rooms.experiments.engine.canary.state import read_state
from holdfast.rooms.experiments.rules.releases import Stage
from holdfast.rooms.experiments.rules.report import html
from holdfast.rooms.experiments.rules.report.page import Words
from tests.rooms.experiments.engine.canary.lives import NAME, Process, Site, broken, healthy, outage, release


async def test_a_healthy_release_goes_through_its_stages_to_everybody(site):
    process = site.processes[0]
    await site.until("promoted", healthy)
    audit = await process.store.audit(NAME)
    assert [(line.did, line.share) for line in audit] == [
        ("started", 500),
        ("next stage", 2500),
        ("next stage", 5000),
        ("next stage", 10_000),
        ("promoted", 10_000),
    ]
    assert [line.actor for line in audit] == ["mina", "", "", "", ""]
    assert await process.share() == 10_000
    assert {process.arm(f"user-{n}").variant for n in range(200)} == {"treatment"}
    page = await process.releases.report(NAME)
    assert page.status == "promoted"
    assert [stage.state for stage in page.stages] == ["passed"] * 4
    assert all(stage.treatment >= 200 for stage in page.stages)


async def test_a_broken_release_rolls_back_by_itself_and_says_why(site):
    process = site.processes[0]
    assert await site.until("rolled_back", broken) < 20
    standing = await process.standing()
    assert standing.generation == 2
    assert "worse than baseline" in standing.reason
    assert await process.share() == 0
    assert {process.arm(f"user-{n}").variant for n in range(500)} == {"control"}
    assert process.meter.values("holdfast_experiments_release_share_ratio", NAME)[-1] == 0
    page = await process.releases.report(NAME)
    assert (page.status, page.cause, page.gate) == ("rolled_back", "relative", "errors")
    by_hand, by_itself = page.timeline
    assert (by_hand.detail, by_hand.why) == ("5 %", Words())
    assert by_itself.detail == "0 %"
    assert by_itself.why.ko.startswith("기존 버전보다 나쁨 (errors): 새 버전 ")
    assert by_itself.why.ko in html.render(page, "ko")
    assert by_itself.why.en in html.render(page, "en")
    assert page.evidence
    assert "treatment" in {example.arm for example in page.examples}  # control may not have erred yet
    assert all(example.request_id and example.trace_id for example in page.examples)
    assert {(example.gate, example.route) for example in page.examples} == {("errors", "GET /shop")}
    row = page.gates[0]
    assert row.treatment.bad > 0
    assert row.log_e_relative > row.relative_at
    assert process.meter.values("holdfast_experiments_release_rollbacks_total", "worse_than_baseline") == [1]


async def test_when_both_arms_are_bad_it_is_held_and_goes_on_when_they_are_well(site):
    process = site.processes[0]
    await site.until("held", outage)
    assert await process.share() == 500
    assert process.meter.values("holdfast_experiments_release_share_ratio", NAME)[-1] == 0.05
    finding = await process.releases.checks()[0].probe()
    assert (finding.status, finding.facts["held"]) == ("degraded", [NAME])
    await site.until("running", healthy)
    [incident] = await process.store.incidents(NAME)
    assert incident.closed_by == "recovered"
    assert (await process.releases.checks()[0].probe()).status == "ok"


async def test_time_that_is_held_does_not_count_to_the_deadline(sqlite_database):
    """An outage of half an hour, in stages that are rolled back after ten minutes; then it goes on."""
    process = await Process(sqlite_database).start()
    site = Site(process)
    stages = tuple(Stage(share, 60.0, samples=200, deadline_s=600.0) for share in (5000, 10_000))
    await process.releases.operating.define(release(stages=stages))
    await process.releases.start(NAME)
    await site.until("held", outage)
    for _ in range(30):
        site.advance(50)
        await site.step(outage, requests=100)
    standing = await process.standing()
    assert (standing.status, standing.elapsed_s >= 1800) == ("held", True)
    assert read_state(standing).in_stage_s < 120
    await site.until("running", healthy)
    state = read_state(await process.standing())
    assert (state.in_stage_s, state.evidences["errors"].treatment.n) == (0, 0)
    await site.until("promoted", healthy)
    audit = [line.did for line in await process.store.audit(NAME)]
    assert audit == ["started", "held", "recovered", "next stage", "promoted"]


async def test_a_treatment_that_always_fails_is_rolled_back_and_no_incident(sqlite_site):
    """However few ask: it is not held before it can be compared."""
    process, seen = sqlite_site.processes[0], []
    for _ in range(60):
        await sqlite_site.step(lambda arm, at: arm == "treatment", requests=30)
        seen.append((await process.standing()).status)
    assert set(seen) == {"running", "rolled_back"}
    assert await process.store.incidents(NAME) == []


async def test_without_data_it_is_inconclusive_and_rolled_back_after_its_deadline(site):
    process = site.processes[0]
    for _ in range(3):
        site.advance(50)
        await site.step(requests=0)
    shown = await process.releases.shown(NAME)
    assert (shown.verdict.kind, shown.brief.status) == ("INCONCLUSIVE", "running")
    for _ in range(56):
        site.advance(50)
        await site.step(requests=0)
    assert (await process.standing()).status == "running"
    assert await site.until("rolled_back", requests=0) < 20
    page = await process.releases.report(NAME)
    assert page.cause == "stale"
    assert await process.share() == 0
