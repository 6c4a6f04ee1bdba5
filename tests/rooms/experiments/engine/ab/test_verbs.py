"""The commands, as a terminal sees them."""

import argparse
import json

import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.experiments.engine.ab.verbs import ExperimentVerbs
from holdfast.rooms.experiments.rules.problems import UnknownName
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage
from holdfast.rooms.experiments.store.releases import ReleaseStore
from tests.rooms.experiments.engine.ab.streams import event, exposure

DEFINITION = """
name = "buttons"
hypothesis = "초록 단추가 더 팔린다"
[[metrics]]
metric = "bought"
role = "primary"
[plan]
units_per_arm = 50
"""


async def a_release(name):
    if name != "ranker":
        raise UnknownName(f"there is no release {name!r}")
    return ReleasePage(name=name, status="promoted")


@pytest.fixture
async def experiments(sqlite_database, made):
    await ReleaseStore(sqlite_database).tracked({"buy": 1})
    return made(sqlite_database)


@pytest.fixture
def run(experiments, capsys):
    verbs = {verb.name: verb for verb in ExperimentVerbs(experiments, a_release).all()}

    async def run(word, *rest):
        verb = verbs[f"experiment {word}"]
        parser = argparse.ArgumentParser(exit_on_error=False)
        verb.arguments(parser)
        assert await verb.run(parser.parse_args([str(each) for each in rest])) == 0
        return capsys.readouterr().out

    return run


async def test_an_experiment_from_a_file_to_its_report(experiments, run, tmp_path):
    (tmp_path / "buttons.toml").write_text(DEFINITION, "utf-8")
    started = await run("start", "--file", tmp_path / "buttons.toml")
    assert started.startswith("buttons  running  since 2025-06-15")
    planned = await run("plan", "buttons", "--effect", "0.2", "--baseline", "0.1", "--units-per-day", "1000")
    assert planned.startswith("bought: ")
    assert planned.rstrip().endswith("; 14 days")
    for n in range(40):
        arm = "treatment" if n % 2 else "control"
        await experiments.take([exposure(f"u{n}", arm, n), event(f"u{n}", "buy", n + 1)])
    assert json.loads(await run("look", "buttons", "--json"))["look"] == 1
    assert (await run("look", "buttons")).strip()
    assert "단추" in await run("list")
    stopped = await run("stop", "buttons", "--decision", "treatment", "--reason", "예산")
    assert "stopped" in stopped
    out = tmp_path / "report.html"
    await run("report", "buttons", "--out", out)
    assert "초록 단추가 더 팔린다" in out.read_text("utf-8")
    assert json.loads(await run("report", "buttons", "--json"))["kind"] == "experiment"


async def test_a_plan_is_kept_before_the_start(experiments, run, tmp_path):
    (tmp_path / "buttons.toml").write_text(DEFINITION, "utf-8")
    asked = ("--effect", "0.2", "--baseline", "0.1", "--json", "--keep")
    planned = json.loads(await run("plan", "--file", tmp_path / "buttons.toml", *asked))
    kept = (await experiments.lives.one("buttons")).experiment.plan
    assert kept.units_per_arm == planned["units_per_arm"] > 50


async def test_a_report_is_that_of_a_release_where_that_is_its_name(run):
    assert json.loads(await run("report", "ranker", "--json"))["kind"] == "release"
    with pytest.raises(UnknownName, match="release 'nobody'"):
        await run("report", "nobody")


async def test_covariates_come_from_a_file(run, tmp_path):
    (tmp_path / "buttons.toml").write_text(DEFINITION, "utf-8")
    (tmp_path / "past.csv").write_text("unit,bought\n김,3\n", "utf-8")
    with pytest.raises(BadInput, match=r"missing\.csv"):
        await run("covariates", "buttons", tmp_path / "missing.csv")
    with pytest.raises(UnknownName, match="'buttons'"):
        await run("covariates", "buttons", tmp_path / "past.csv")
    await run("plan", "--file", tmp_path / "buttons.toml", "--effect", "0.2", "--baseline", "0.1")
    assert "the past of 1 units (bought)" in await run("covariates", "buttons", tmp_path / "past.csv")


async def test_a_definition_that_cannot_be_read_names_the_file(run, tmp_path):
    (tmp_path / "wrong.toml").write_text('name = "x"\nmetrcs = []', "utf-8")
    with pytest.raises(BadInput, match=r"wrong\.toml"):
        await run("start", "--file", tmp_path / "wrong.toml")
    with pytest.raises(BadInput, match="nothing is named"):
        await run("start")


async def test_one_that_never_ran_is_removed(experiments, run, tmp_path):
    (tmp_path / "buttons.toml").write_text(DEFINITION, "utf-8")
    await run("plan", "--file", tmp_path / "buttons.toml", "--effect", "0.2", "--baseline", "0.1")
    assert await run("delete", "buttons") == "buttons is gone\n"
    assert await experiments.all() == []
