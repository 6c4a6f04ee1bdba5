"""What is promised is written down: every setting, verb, address and metric has its place in the docs."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from holdfast.app import Holdfast
from holdfast.compose import all_sections
from holdfast.kernel.config import ROOT as TOP
from holdfast.kernel.config import env_name

from .source import ROOT, SRC, Source, below, planted, read, told

METRIC = re.compile(r"holdfast_[a-z0-9]+(_[a-z0-9]+)+")
UNITS = ("_seconds", "_bytes", "_total", "_ratio", "_info")


def written() -> str:
    """The text of the README and every page below docs/."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text("utf-8") for page in pages)


def has_word(text: str, word: str) -> bool:
    """Whether `word` stands in `text` and is no part of a longer name or path."""
    return re.search(rf"(?<![\w/.-]){re.escape(word)}(?![\w/{{])", text) is not None


def metrics_of(source: Source) -> list[tuple[str, str, str]]:
    """Each metric a file makes: place, kind, name. Names that are constants of the file are followed."""
    constants = {
        node.targets[0].id: node.value.value
        for node in source.tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    found = []
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if node.func.attr not in ("counter", "gauge", "histogram", "watch"):
            continue
        named = node.args[0]
        name = named.value if isinstance(named, ast.Constant) else constants.get(getattr(named, "id", ""))
        if isinstance(name, str):
            found.append((source.at(node.lineno), node.func.attr, name))
    return found


def ill_named(kind: str, name: str) -> str:
    """Why a metric's name breaks `holdfast_<room>_<noun>_<unit>`; empty when it does not."""
    if not METRIC.fullmatch(name):
        return "is not holdfast_<room>_<noun>_<unit>"
    if kind == "counter" and not name.endswith("_total"):
        return "is a counter and does not end in _total"
    if kind == "histogram" and not name.endswith(UNITS):
        return f"is a histogram and ends in none of {', '.join(UNITS)}"
    return "ends in _total and is no counter" if kind == "gauge" and name.endswith("_total") else ""


def line_of(kind: type, key: str) -> str:
    """Where a setting is declared."""
    path = Path(inspect.getfile(kind))
    lines = path.read_text("utf-8").splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"class {kind.__name__}("))
    at = next(at for at, line in enumerate(lines[start:], start + 1) if line.strip().startswith(f"{key}:"))
    return f"{path.relative_to(ROOT)}:{at}"


def place_of(function) -> str:
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    if code is None:
        return repr(function)
    return f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_firstlineno}"


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Holdfast(data_dir=str(tmp_path / "data"))


def test_every_setting_is_written_down():
    text = written()
    problems = [
        f"{line_of(kind, key)}: {env_name(section, key)} is in no page"
        for section, kind in all_sections().items()
        for key in kind.__struct_fields__
        if not has_word(text, env_name(section, key))
        and (section == TOP or not has_word(text, f"{section}.{key}"))
    ]
    assert not problems, told(problems)


async def test_every_address_is_written_down(app):
    await app.start()
    routes = app.edge.router.routes
    await app.stop()
    text = written()
    assert len(routes) > len(app.routes()), "the reference pages are served beside the rooms' routes"
    problems = [
        f"{place_of(route.handler)}: {route.method} {route.path} is in no page"
        for route in routes
        if not has_word(text, f"{route.method} {route.path}")
    ]
    assert not problems, told(problems)


def test_every_verb_is_written_down(app):
    text = written()
    own = [
        (f"src/holdfast/cli.py:{node.lineno}", node.args[0].value)
        for node in ast.walk(read(SRC / "cli.py").tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "verbs.add_parser"
        and isinstance(node.args[0], ast.Constant)
    ]
    assert len(own) >= 4
    verbs = own + [(place_of(verb.run), verb.name) for verb in app.verbs()]
    problems = [
        f"{place}: holdfast {name} is in no page" for place, name in verbs if f"holdfast {name}" not in text
    ]
    assert not problems, told(problems)


def test_every_metric_is_written_down_and_named_by_the_rule():
    text = written()
    metrics = [metric for source in below(SRC) for metric in metrics_of(source)]
    assert metrics
    problems = [f"{place}: {name} is in no page" for place, _, name in metrics if not has_word(text, name)]
    problems += [
        f"{place}: {name} {ill_named(kind, name)}" for place, kind, name in metrics if ill_named(kind, name)
    ]
    assert not problems, told(problems)


def test_a_word_is_found_only_whole():
    assert has_word("set `HOLDFAST_PORT` to", "HOLDFAST_PORT")
    assert not has_word("set HOLDFAST_PORTS", "HOLDFAST_PORT")
    assert not has_word("GET /health/ready", "/health")


def test_a_metric_is_found_by_constant_and_by_name():
    text = 'NAME = "holdfast_a_b_total"\nmeter.counter(NAME, "x")\nmeter.gauge("holdfast_c_d", "y")\n'
    assert metrics_of(planted(text)) == [
        ("src/holdfast/planted.py:2", "counter", "holdfast_a_b_total"),
        ("src/holdfast/planted.py:3", "gauge", "holdfast_c_d"),
    ]


@pytest.mark.parametrize(
    ("kind", "name", "wrong"),
    [
        ("counter", "holdfast_edge_requests_total", False),
        ("counter", "holdfast_edge_requests", True),
        ("gauge", "holdfast_edge_streams_open", False),
        ("gauge", "holdfast_edge_streams_total", True),
        ("histogram", "holdfast_edge_request_seconds", False),
        ("histogram", "holdfast_edge_request_ms", True),
        ("gauge", "edge_requests", True),
        ("gauge", "holdfast_requests", True),
    ],
)
def test_the_rule_of_names(kind, name, wrong):
    assert bool(ill_named(kind, name)) is wrong
