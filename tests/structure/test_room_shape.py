"""Every room has the same files, and each file keeps to its own business."""

import ast
from pathlib import Path

import pytest

from .source import ROOMS, ROOT, Source, below, planted, read, rooms, told

AGREED = frozenset(
    {
        "__init__.py",
        "room.py",
        "rules.py",
        "rules",
        "engine.py",
        "engine",
        "store.py",
        "store",
        "http.py",
        "http",
        "static",
    }
)
LONGEST_ROOM = 150
IMPURE_NAMES = frozenset({"open", "print", "input", "exec", "eval"})
IMPURE_ATTRIBUTES = frozenset({"now", "utcnow", "today", "default_rng", "urandom"})


def is_rules(source: Source) -> bool:
    return source.name.split("/")[4] in ("rules", "rules.py")


def strange_names(room: Path, documented: str) -> list[str]:
    """What is in the room beyond the agreed names; one special is fine when ARCHITECTURE.md names it."""
    names = sorted(path.name for path in room.iterdir() if path.name != "__pycache__")
    extra = [name for name in names if name not in AGREED]
    problems = [
        f"{room}/{name}:1: is not among the agreed names; one special per room may stand in ARCHITECTURE.md "
        f"as `rooms/{room.name}/{name}`"
        for name in extra
        if f"rooms/{room.name}/{name}" not in documented
    ]
    if len(extra) > 1:
        problems.append(f"{room}:1: more than one special: {', '.join(extra)}")
    problems += [f"{room}/{name}:1: is missing" for name in ("__init__.py", "room.py") if name not in names]
    for stem in ("rules", "engine", "store", "http"):
        if stem in names and f"{stem}.py" in names:
            problems.append(f"{room}/{stem}.py:1: both a file and a folder")
    return problems


def logic_in_init(source: Source) -> list[str]:
    """Statements of an `__init__.py` other than docstring, imports and `__all__`."""
    problems = []
    for at, node in enumerate(source.tree.body):
        docstring = at == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        listed = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if not (docstring or listed or isinstance(node, ast.Import | ast.ImportFrom)):
            problems.append(f"{source.at(node.lineno)}: logic in a room's __init__: {ast.unparse(node)[:60]}")
    return problems


def impurities(source: Source) -> list[str]:
    """Awaits, I/O and clocks in a file of rules; what an import would show is a contract's business."""
    problems = []
    for node in ast.walk(source.tree):
        impure = isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                impure = node.func.id in IMPURE_NAMES
            elif isinstance(node.func, ast.Attribute):
                impure = node.func.attr in IMPURE_ATTRIBUTES
        if impure:
            problems.append(f"{source.at(node.lineno)}: not pure: {ast.unparse(node).splitlines()[0][:60]}")
    return problems


@pytest.mark.parametrize("room", rooms())
def test_a_room_has_only_the_agreed_names(room):
    problems = strange_names(ROOMS / room, (ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    assert not problems, told([problem.replace(f"{ROOT}/", "") for problem in problems])


@pytest.mark.parametrize("room", rooms())
def test_the_init_files_of_a_room_hold_no_logic(room):
    sources = [source for source in below(ROOMS / room) if source.name.endswith("/__init__.py")]
    problems = [problem for source in sources for problem in logic_in_init(source)]
    assert not problems, told(problems)


@pytest.mark.parametrize("room", rooms())
def test_the_wiring_of_a_room_is_short(room):
    source = read(ROOMS / room / "room.py")
    assert source.lines <= LONGEST_ROOM, f"{source.at(source.lines)}: wiring has at most {LONGEST_ROOM} lines"


def test_rules_are_pure():
    sources = [source for room in rooms() for source in below(ROOMS / room) if is_rules(source)]
    assert sources
    problems = [problem for source in sources for problem in impurities(source)]
    assert not problems, told(problems)


def test_a_strange_name_is_found(tmp_path):
    for name in ("__init__.py", "room.py", "rules.py", "rules", "codec.py", "models"):
        (tmp_path / name).touch()
    problems = strange_names(tmp_path, f"... `rooms/{tmp_path.name}/models/` ...")
    assert [problem.removeprefix(str(tmp_path)).split(":1: ")[0] for problem in problems] == [
        "/codec.py",
        "",
        "/rules.py",
    ]
    (tmp_path / "room.py").unlink()
    assert f"{tmp_path}/room.py:1: is missing" in strange_names(tmp_path, "")


def test_logic_in_an_init_is_found():
    text = '"""Doc."""\nfrom a import b\n__all__ = ["b"]\nb = b + 1\n'
    assert [problem.split(":")[1] for problem in logic_in_init(planted(text))] == ["4"]


@pytest.mark.parametrize(
    "text",
    [
        "async def go(): ...",
        "x = open('f')",
        "datetime.now()",
        "rng = np.random.default_rng()",
        "date.today()",
    ],
)
def test_an_impurity_is_found(text):
    assert len(impurities(planted(text))) == 1
