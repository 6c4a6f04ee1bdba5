"""Public names say on their first line what they promise."""

import ast
import re

from .source import SRC, Source, below, planted, told

SENTENCE = re.compile(r"^\S.*[.:?!]$")


def wordless(source: Source) -> list[str]:
    """Public modules, classes and functions (not methods) without a first line that is a sentence."""
    problems = _judge(source, source.tree, 1, "the module")
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            problems += _judge(source, node, node.lineno, node.name)
    return problems


def _judge(source: Source, node, line: int, name: str) -> list[str]:
    said = ast.get_docstring(node)
    if said is None:
        return [f"{source.at(line)}: {name} has no docstring"]
    first = said.splitlines()[0]
    return [] if SENTENCE.match(first) else [f"{source.at(line)}: {name}: not a sentence: {first!r}"]


def test_every_public_name_has_a_docstring_that_begins_with_a_sentence():
    problems = [problem for source in below(SRC) for problem in wordless(source)]
    assert not problems, told(problems)


def test_a_missing_or_broken_docstring_is_found():
    text = '"""Ground."""\n\ndef go(): ...\n\nclass It:\n    """no end"""\n\ndef _own(): ...\n'
    assert wordless(planted(text)) == [
        "src/holdfast/planted.py:3: go has no docstring",
        "src/holdfast/planted.py:5: It: not a sentence: 'no end'",
    ]
    assert wordless(planted("x = 1")) == ["src/holdfast/planted.py:1: the module has no docstring"]
