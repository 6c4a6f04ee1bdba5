"""What a record says of its uses is read back as it was written."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.assigning import somebody
from holdfast.rooms.experiments.rules.outcomes import Use, line_of, uses_of

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True)
UNITS = st.text(max_size=12).map(somebody)


@given(st.dictionaries(NAMES, st.builds(Use, NAMES, UNITS, st.integers(1, 99)), max_size=4))
def test_what_is_written_is_read_back(uses):
    assert uses_of("\n".join(line_of(flag, use) for flag, use in uses.items())) == uses


def test_the_nested_form_is_read_too():
    assert uses_of({"f": ["treatment", "u", 2]}) == {"f": Use("treatment", "u", 2)}


@given(st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.integers(), min_size=1))
def test_anything_else_says_nothing(found):
    assert all(isinstance(use, Use) for use in uses_of(found).values())
