"""No loose ends, no silenced checker without a reason, no test that waits or looks away."""

import ast
import io
import re
import tokenize

import pytest

from .source import BENCHMARKS, SRC, TESTS, Source, below, planted, told

LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|pragma: no cover")
SILENCED = re.compile(r"(?m)#\s*(?:type:\s*ignore|noqa|mypy:|ruff:)(?:\[[^\]]*\]|:\s*[A-Z0-9, ]+)?\s*(.*)$")
AVERTED = frozenset({"skip", "skipif", "xfail", "importorskip"})


def comments(source: Source) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def loose_ends(source: Source) -> list[str]:
    problems = []
    # Telling comments from text takes its time, and few files hold any of these words.
    if not (LATER.search(source.text) or SILENCED.search(source.text)):
        return problems
    for line, text in comments(source):
        silenced = SILENCED.search(text)
        if LATER.search(text):
            problems.append(f"{source.at(line)}: left for later: {text}")
        if silenced and not re.search(r"\w{3}", silenced.group(1)):
            problems.append(f"{source.at(line)}: silenced without a reason: {text}")
    return problems


def averted_eyes(source: Source) -> list[str]:
    """Calls in a test that sleep, and marks or calls that keep it from failing."""
    problems = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr in AVERTED and "pytest" in ast.unparse(node.value):
            problems.append(f"{source.at(node.lineno)}: {ast.unparse(node)}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep"):
            waits = not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
            if waits or ast.unparse(node.func) == "time.sleep":
                problems.append(f"{source.at(node.lineno)}: {ast.unparse(node)}")
    return problems


def test_nothing_is_left_for_later_and_nothing_silenced_without_a_reason():
    sources = [source for folder in (SRC, TESTS, BENCHMARKS) for source in below(folder)]
    problems = [problem for source in sources for problem in loose_ends(source)]
    assert not problems, told(problems)


def test_no_test_sleeps_or_looks_away():
    problems = [problem for source in below(TESTS) for problem in averted_eyes(source)]
    assert not problems, told(problems)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x = 1  # " + "TODO later", True),
        ("x = 1  # " + "type: ignore", True),
        ("x = 1  # " + "type: ignore[attr-defined]", True),
        ("x = 1  # " + "noqa: S608", True),
        ("x = 1  # " + "noqa: S608 - the names are our own constants", False),
        ("x = 1  # " + "type: ignore[misc] # alembic has no types", False),
        ("x = '# " + "TODO'", False),
    ],
)
def test_a_loose_end_is_found(text, wrong):
    assert bool(loose_ends(planted(text))) is wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("time.sleep(0)", True),
        ("await asyncio.sleep(0.1)", True),
        ("await asyncio.sleep(delay)", True),
        ("await asyncio.sleep(0)", False),
        ("pytest.skip('no')", True),
        ("mark = pytest.mark.xfail", True),
        ("rows.skip(3)", False),
    ],
)
def test_an_averted_eye_is_found(text, wrong):
    text = f"async def test_it():\n    {text}\n"
    assert bool(averted_eyes(planted(text))) is wrong
