"""Who gives a command, and definitions from files."""

import argparse

import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.experiments.engine.commands import actor, from_file, write_report
from holdfast.rooms.experiments.rules.experiments import Experiment
from holdfast.rooms.experiments.rules.releases import Release
from tests.rooms.experiments.rules.report.samples import rolled_back


def test_the_actor_is_whoever_has_logged_in(monkeypatch):
    monkeypatch.setenv("LOGNAME", "김서연")
    assert actor() == "cli:김서연"


@pytest.mark.parametrize("kind", [Experiment, Release])
@pytest.mark.parametrize(
    ("ending", "text"), [("toml", 'name = "buttons"\n'), ("json", '{"name": "buttons"}')]
)
def test_a_definition_is_read_by_the_files_ending(tmp_path, kind, ending, text):
    path = tmp_path / f"one.{ending}"
    path.write_text(text, "utf-8")
    assert from_file(path, kind, "").name == "buttons"


@pytest.mark.parametrize("raw", [b"\xff", b"name = ", b'name = "a"\nstrange = 1\n', None])
def test_a_file_that_is_none_is_refused_with_the_hint(tmp_path, raw):
    path = tmp_path / "one.toml"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(BadInput, match=r"one\.toml") as refused:
        from_file(path, Experiment, "read the docs")
    assert refused.value.hint == "read the docs"


def test_a_report_that_cannot_be_written_is_refused_with_a_hint(tmp_path):
    options = argparse.Namespace(json=True, out=tmp_path / "nowhere" / "report.json")
    with pytest.raises(BadInput, match="nowhere") as refused:
        write_report(rolled_back(), options)
    assert refused.value.hint
