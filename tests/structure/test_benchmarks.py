"""The benchmarks are run by hand and need their peers: here it is only seen that they fit together."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from .source import BENCHMARKS, ROOT, SRC, Source, below, read

OURS = {"benchmarks": ROOT, "tests": ROOT, "holdfast": SRC.parent}


@cache
def names_of(path: Path) -> set[str]:
    """What the top level of a module defines or imports, branches of an `if` or a `try` included."""
    return set(_names(read(path).tree.body))


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.If | ast.Try):
            yield from _names([each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)])
        else:
            yield from (each.id for each in ast.walk(node) if isinstance(each, ast.Name))


def file_of(module: str) -> Path | None:
    """Where a module of this repository lies."""
    place = OURS[module.split(".")[0]] / module.replace(".", "/")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists()), None)


def has(module: str, name: str) -> bool:
    path = file_of(module)
    known = set() if path is None else names_of(path)
    # `holdfast` itself gives its names on demand.
    return name in known or "__getattr__" in known or file_of(f"{module}.{name}") is not None


@pytest.mark.parametrize("script", below(BENCHMARKS), ids=lambda script: script.name)
def test_what_a_benchmark_imports_of_ours_is_there(script: Source) -> None:
    asked = [
        (node.module, alias.name)
        for node in ast.walk(script.tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS
        for alias in node.names
    ]
    assert [f"{module}.{name}" for module, name in asked if not has(module, name)] == []
