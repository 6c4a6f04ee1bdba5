"""Names that say nothing are not names."""

import ast
import re

from .source import BENCHMARKS, SRC, TESTS, Source, below, planted, told

BANNED = frozenset(
    {"manager", "managers", "helper", "helpers", "util", "utils", "common", "base", "misc", "impl"}
    | {"advanced", "smart", "enhanced"}
)


def parts(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name."""
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_"))


def banned_names(source: Source) -> list[str]:
    problems = [
        f"{source.at(1)}: {part!r} in the path"
        for part in re.split(r"[/.]", source.name)
        if parts(part) & BANNED
    ]
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and parts(node.name) & BANNED
        ):
            problems.append(f"{source.at(node.lineno)}: {node.name}")
    return problems


def test_no_name_says_nothing():
    sources = [source for folder in (SRC, TESTS, BENCHMARKS) for source in below(folder)]
    problems = [problem for source in sources for problem in banned_names(source)]
    assert not problems, told(problems)


def test_a_banned_name_is_found_and_its_likes_are_not():
    assert banned_names(planted("class JobManager: ...\ndef base_url(): ...\n")) == [
        "src/holdfast/planted.py:1: JobManager",
        "src/holdfast/planted.py:2: base_url",
    ]
    assert banned_names(planted("", "src/holdfast/http_utils.py")) == [
        "src/holdfast/http_utils.py:1: 'http_utils' in the path"
    ]
    assert banned_names(planted("def database(): ...\ndef base64url(): ...\nclass Uncommon: ...")) == []
