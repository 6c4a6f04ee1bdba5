"""Narrow waists: a port that nobody can replace is not a port."""

import ast

from .source import SRC, Source, below, planted, told

MOST_METHODS = 6


def wide_ports(source: Source) -> list[str]:
    problems = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef) or "Protocol" not in {ast.unparse(base) for base in node.bases}:
            continue
        methods = [
            inner.name for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        if len(methods) > MOST_METHODS:
            problems.append(
                f"{source.at(node.lineno)}: {node.name} has {len(methods)} methods: {', '.join(methods)}"
            )
    return problems


def test_a_port_has_at_most_six_methods():
    problems = [problem for source in below(SRC / "ports") for problem in wide_ports(source)]
    assert not problems, told(problems)


def test_a_wide_port_is_found():
    methods = "".join(f"    def m{n}(self): ...\n" for n in range(7))
    assert wide_ports(planted(f"class Wide(Protocol):\n{methods}")) == [
        "src/holdfast/planted.py:1: Wide has 7 methods: m0, m1, m2, m3, m4, m5, m6"
    ]
    assert wide_ports(planted(f"class Free:\n{methods}")) == []
