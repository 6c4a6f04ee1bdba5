"""Arrows point down: no cycle, and no import that the contracts of import-linter cannot see."""

import ast
import graphlib
import itertools

import grimp

from .source import SRC, Source, below, planted, told

ROOTS = frozenset(
    {
        "src/holdfast/__init__.py",
        "src/holdfast/app.py",
        "src/holdfast/cli.py",
        "src/holdfast/compose.py",
        "src/holdfast/serve.py",
        # In the process of an isolated job: the module of its function, which is the app's.
        "src/holdfast/rooms/jobs/engine/calling.py",
    }
)
"""Where a module may be loaded by a name in a variable: the lazy package, our composition, the user's app."""


def cycle_in(imports: dict[str, set[str]]) -> list[str]:
    """One cycle as a path whose first and last module are the same; empty when there is none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        # graphlib walks from imported to importer.
        return list(reversed(error.args[1]))
    return []


def dynamic_imports(source: Source) -> list[str]:
    """Places that load a module by a name that is, or may be, one of ours."""
    problems = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called not in ("import_module", "__import__") or source.name in ROOTS:
            continue
        named = node.args[0] if node.args else None
        foreign = (
            isinstance(named, ast.Constant)
            and isinstance(named.value, str)
            and not named.value.startswith(("holdfast", "."))
        )
        if not foreign:
            problems.append(f"{source.at(node.lineno)}: {called} of {ast.unparse(named) if named else '?'}")
    return problems


def test_no_import_cycle():
    graph = grimp.build_graph("holdfast", cache_dir=None, exclude_type_checking_imports=True)
    found = cycle_in({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    steps = [
        f"{importer} imports {imported}, line "
        + ", ".join(
            str(detail["line_number"])
            for detail in graph.get_import_details(importer=importer, imported=imported)
        )
        for importer, imported in itertools.pairwise(found)
    ]
    assert not found, told(steps)


def test_no_module_of_ours_is_loaded_by_name_outside_the_composition_root():
    problems = [problem for source in below(SRC) for problem in dynamic_imports(source)]
    assert not problems, told(problems)


def test_a_cycle_is_found():
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    found = cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}})
    assert found[0] == found[-1]
    assert set(found) == {"b", "c"}


def test_a_dynamic_import_is_found():
    text = (
        "import importlib\nimport_module(name)\nimportlib.import_module('holdfast.app')\n__import__('.x')\n"
    )
    assert [problem.split(": ")[0][-2:] for problem in dynamic_imports(planted(text))] == [":2", ":3", ":4"]
    assert dynamic_imports(planted("importlib.import_module('duckdb')")) == []
