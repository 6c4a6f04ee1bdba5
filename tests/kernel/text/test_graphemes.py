import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.text.graphemes import cut, is_boundary, shorten, size

FAMILY = "👩‍👩‍👧‍👦"
JAMO = "\u1112\u1161\u11ab"  # 한 in conjoining jamo
SIGNS = "a 가각\u1112\u1161\u11abe\u0301👩\u200d🏽🇰🇷\u0915\u094d\r\n\ufe0f漢😀"
ODD = st.text(st.sampled_from(SIGNS))


@pytest.mark.parametrize(
    ("text", "limit", "found"),
    [
        ("hello", 5, "hello"),
        ("hello", 3, "hel"),
        ("가나다", 9, "가나다"),
        ("가나다", 8, "가나"),
        ("가나다", 2, ""),
        ("가나다", 0, ""),
        ("ae\u0301b", 2, "a"),
        ("ae\u0301b", 4, "ae\u0301"),
        (JAMO * 2, 9, JAMO),
        (JAMO * 2, 17, JAMO),
        (JAMO, 8, ""),
        ("가\u11ab나", 5, ""),
        (FAMILY * 2, 30, FAMILY),
        (FAMILY, 20, ""),
        ("👍🏽👍🏽", 8, "👍🏽"),
        ("👍🏽", 4, ""),
        ("🇰🇷🇯🇵", 12, "🇰🇷"),
        ("🇰🇷", 4, ""),
        ("❤️a", 4, ""),
        ("क्षa", 6, ""),
        ("a\r\nb", 2, "a"),
        ("한국 🇰🇷", 7, "한국 "),
    ],
)
def test_what_belongs_together_stays_together(text, limit, found):
    assert cut(text, limit) == found


@given(ODD, st.integers(-1, 200))
def test_a_cut_is_the_longest_start_that_ends_at_a_boundary(text, limit):
    found = cut(text, limit)
    assert text.startswith(found)
    assert size(found) <= max(0, limit)
    assert is_boundary(text, len(found))
    following = next((at for at in range(len(found) + 1, len(text) + 1) if is_boundary(text, at)), None)
    if following is not None:
        assert size(text[:following]) > limit


@given(st.text(), st.integers(0, 100))
def test_a_shortened_text_fits_and_says_that_it_is_one(text, limit):
    found = shorten(text, limit)
    assert size(found) <= limit
    found.encode()
    if size(text) > limit and found:
        assert found.endswith("…") or text.startswith(found)


@given(st.text())
def test_no_cut_begins_with_a_mark(text):
    for limit in range(0, size(text) + 1, 3):
        rest = text[len(cut(text, limit)) :]
        assert (
            not rest or len(cut(text, limit)) == 0 or unicodedata.category(rest[0]) not in ("Mn", "Me", "Mc")
        )


def test_words_are_not_cut_when_one_ends_close_by():
    assert shorten("the quick brown fox jumps", 20) == "the quick brown…"
    assert shorten("감자는 언제 심어야 좋을까요", 24) == "감자는 언제…"
    assert shorten("a" * 50, 10) == "aaaaaaa…"
