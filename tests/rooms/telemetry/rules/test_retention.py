import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.telemetry.rules.retention import Keep, Stored, Verdict, decide

TODAY = "2025-06-15"
AMPLE = 10**12
FILES = [
    Stored("c", "2025-06-15", 100),
    Stored("a", "2025-06-01", 100),
    Stored("b", "2025-06-14", 100),
]


def keep(days: int = 30, total: int = AMPLE, floor: int = 0) -> Keep:
    return Keep(days, total, floor)


@pytest.mark.parametrize(
    ("rule", "free_bytes", "expected", "shed"),
    [
        (keep(), AMPLE, (), False),
        (keep(days=14), AMPLE, (), False),
        (keep(days=13), AMPLE, (("a", "age"),), False),
        (keep(total=299), AMPLE, (("a", "size"),), False),
        (keep(total=200), AMPLE, (("a", "size"),), False),
        (keep(total=0), AMPLE, (("a", "size"), ("b", "size"), ("c", "size")), False),
        (keep(floor=50), 0, (("a", "free_disk"),), False),
        (keep(floor=200), 0, (("a", "free_disk"), ("b", "free_disk")), False),
        (keep(floor=201), 0, (("a", "free_disk"), ("b", "free_disk")), True),
        (keep(days=5, total=100, floor=200), 0, (("a", "age"), ("b", "size")), False),
    ],
)
def test_what_has_to_go(rule: Keep, free_bytes: int, expected: tuple[tuple[str, str], ...], shed: bool):
    verdict = decide(FILES, today=TODAY, free_bytes=free_bytes, keep=rule)
    assert verdict == Verdict(expected, shed)


def test_a_file_of_unknown_day_goes_first_by_size_and_never_by_age():
    files = [*FILES, Stored("odd", "", 100)]
    assert decide(files, today=TODAY, free_bytes=AMPLE, keep=keep(total=399)).delete == (("odd", "size"),)
    assert ("odd", "age") not in decide(files, today=TODAY, free_bytes=AMPLE, keep=keep(days=1)).delete


STORED = st.builds(
    Stored,
    path=st.text("abcdef", min_size=1, max_size=8),
    day=st.dates().map(lambda day: day.isoformat()),
    size_bytes=st.integers(0, 10_000),
)


@given(
    st.lists(STORED, max_size=30, unique_by=lambda file: file.path),
    st.integers(1, 100),
    st.integers(0, 50_000),
    st.integers(0, 50_000),
    st.integers(0, 50_000),
)
def test_what_stays_fits_and_nothing_newer_goes_before_something_older(
    files: list[Stored], days: int, total: int, free: int, floor: int
):
    verdict = decide(files, today=TODAY, free_bytes=free, keep=Keep(days, total, floor))
    gone = {path for path, _ in verdict.delete}
    stay = [file for file in files if file.path not in gone]
    assert len(gone) == len(verdict.delete)
    assert sum(file.size_bytes for file in stay) <= total
    if stay and gone:
        newest_gone = max(file.day for file in files if file.path in gone)
        assert newest_gone <= min(file.day for file in stay)
    freed = free + sum(file.size_bytes for file in files if file.path in gone)
    assert verdict.shed_debug == (freed < floor)
