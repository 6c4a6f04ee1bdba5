"""The reference page is what the code says, and metric names and units are promises."""

import importlib.util
from pathlib import Path

from .source import ROOT

FROZEN = Path(__file__).with_name("frozen_metrics.txt")


def generator():
    spec = importlib.util.spec_from_file_location("reference_page", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_page_is_current(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert page == generator().render(), "docs/reference.md is stale: run `python docs/generate.py`"


async def test_metrics_keep_their_names_kinds_and_labels(tmp_path, monkeypatch):
    """Dashboards and alerts hang on them: add a line for a new metric, never change one."""
    from holdfast.app import Holdfast

    monkeypatch.chdir(tmp_path)
    # With a broker the jobs room measures what it tells it; nobody is asked while the engine is our own.
    app = Holdfast(data_dir=str(tmp_path / "data"), jobs={"broker_url": "redis://127.0.0.1:1"})
    await app.start()
    described = app.ground.meter.describe()
    await app.stop()
    now = sorted(f"{metric.name} {metric.kind} {','.join(metric.labels)}".rstrip() for metric in described)
    assert now == FROZEN.read_text("utf-8").splitlines()
