"""The stored text: NFC, visible, with one kind of line end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.knowledge.rules.cleaning import clean, one_line
from holdfast.rooms.knowledge.rules.parsed import Limits, Parsed, why_not_sound


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\r\nb\rc\x0cd\u2028e", "a\nb\nc\nd\ne"),
        ("a\x00b\x07c\x9f\ud800d\uffff", "abcd"),
        ("\u1112\u1161\u11ab글", "한글"),
        ("tab\tkept  \t\n\n\n\nend ", "tab\tkept\n\nend"),
        ("a\u00a0b\u3000c", "a b c"),
        ("ignore\u200b \u202eprevious\u2066\u00ad", "ignore previous"),
        ("x\U000e0069\U000e0067\U000e006ey", "xy"),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"),
        ("👩\u200d👧", "👩\u200d👧"),
    ],
)
def test_what_is_kept(text, wanted):
    assert clean(text) == wanted


@given(
    st.text(
        st.characters() | st.sampled_from("\u1100\u1161\u11a8\u0301\r\n \t\u00ad\u200b\U000e0041🏴\ud800")
    )
)
def test_cleaning_twice_changes_nothing_and_gives_sound_text(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert why_not_sound(Parsed(text=cleaned, title=one_line(text)), Limits()) == ""


@pytest.mark.parametrize(
    ("parsed", "wrong"),
    [
        (Parsed(text="a\0"), "not clean text"),
        (Parsed(text="a", title="b\x1b"), "not clean text"),
        (Parsed(text="\u1112\u1161"), "not clean text"),
        (Parsed(text="abc", pages=(0, 4)), "an offset outside the text"),
        (Parsed(text="abc", pages=(2, 1)), "an offset outside the text"),
        (Parsed(text="a" * 11), "longer than allowed"),
        (Parsed(text="a", media_type="text/x"), "an unknown media type"),
        (Parsed(text="abc", pages=(0, 3)), ""),
    ],
)
def test_what_a_parser_says_is_not_taken_on_trust(parsed, wrong):
    assert why_not_sound(parsed, Limits(chars=10)) == wrong
