"""One thought, one file: sizes of files and functions."""

import ast
import statistics

from .source import SRC, Source, below, functions, planted, told

LONGEST_FILE = 500
MEDIAN_FILE = 150
LONGEST_FUNCTION = 60


def long_files(sources: list[Source]) -> list[str]:
    return [
        f"{source.at(source.lines)}: {source.lines} lines, at most {LONGEST_FILE}"
        for source in sources
        if source.lines > LONGEST_FILE
    ]


def long_functions(source: Source) -> list[str]:
    problems = []
    for function in functions(source):
        size = function.end_lineno - function.lineno + 1
        if ast.get_docstring(function) is not None:
            size -= function.body[0].end_lineno - function.body[0].lineno + 1
        if size > LONGEST_FUNCTION:
            problems.append(
                f"{source.at(function.lineno)}: {function.name} has {size} lines, at most {LONGEST_FUNCTION}"
            )
    return problems


def test_no_file_is_too_long():
    problems = long_files(below(SRC))
    assert not problems, told(problems)


def test_half_of_the_files_are_short():
    sizes = sorted((source.lines, source.name) for source in below(SRC))
    assert statistics.median(lines for lines, _ in sizes) <= MEDIAN_FILE, told(
        [f"{name}:1: {lines} lines" for lines, name in sizes[len(sizes) // 2 :]]
    )


def test_no_function_is_too_long():
    problems = [problem for source in below(SRC) for problem in long_functions(source)]
    assert not problems, told(problems)


def test_a_long_file_is_found():
    assert long_files([planted("x = 1\n" * 500)]) == []
    assert long_files([planted("x = 1\n" * 501)]) == ["src/holdfast/planted.py:501: 501 lines, at most 500"]


def test_a_long_function_is_found_and_its_docstring_does_not_count():
    body = "    x = 1\n" * 60
    assert long_functions(planted(f"\n\nasync def go():\n{body}")) == [
        "src/holdfast/planted.py:3: go has 61 lines, at most 60"
    ]
    documented = '    """First.\n' + "    more\n" * 20 + '    """\n' + "    x = 1\n" * 59
    assert long_functions(planted(f"def go():\n{documented}")) == []
