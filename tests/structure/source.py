"""Reads the source tree for the tests of its structure."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "holdfast"
ROOMS = SRC / "rooms"
TESTS = ROOT / "tests"
BENCHMARKS = ROOT / "benchmarks"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Source:
    """One Python file."""

    name: str
    """Its path from the root of the repository."""
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Parsed when it is asked for: that of all files takes seconds, and half of the tests need none."""
        return ast.parse(self.text)

    def at(self, line: int) -> str:
        return f"{self.name}:{line}"

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


def read(path: Path) -> Source:
    return Source(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))


def planted(text: str, name: str = "src/holdfast/planted.py") -> Source:
    """A file that exists only to be found wrong."""
    return Source(name, text)


def below(folder: Path) -> list[Source]:
    return [read(path) for path in sorted(folder.rglob("*.py"))]


def functions(source: Source) -> Iterator[Function]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def rooms() -> list[str]:
    return sorted(path.name for path in ROOMS.iterdir() if path.is_dir() and not path.name.startswith("_"))


def told(problems: list[str]) -> str:
    """The message of a failed test: one place a line."""
    return "\n" + "\n".join(problems)
