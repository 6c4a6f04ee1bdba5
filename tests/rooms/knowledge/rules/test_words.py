"""The terms that are indexed: the same on both sides, and nothing that a database could take for syntax."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.knowledge.rules.words import asked, counted, mark, packed, rarity, terms, worth


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("서울의 수도는", "서울에 수도가"),
        ("\u1109\u1165\u110b\u116e\u11af", "서울"),
        ("ＡＢＣ", "abc"),
        ("enabling", "Enabled"),
        ("1,000", "1000"),
    ],
)
def test_forms_of_one_thing_are_the_same_terms(one, other):
    assert terms(one) == terms(other)


@given(st.text(max_size=80), st.sampled_from(["", "acme", "갑", "a b"]))
def test_a_term_is_one_token_whatever_the_text(text, tenant):
    for term in terms(text):
        assert re.fullmatch(r"[0-9a-zà-öø-ÿ가-힣一-龥ぁ-んァ-ヶー=#.:'\-]+", term)
    assert re.fullmatch("[a-z2-7]*~", mark(tenant))
    assert set(asked(text)) <= set(counted(text))


def test_what_is_packed_is_in_order_and_says_how_often():
    words, counts = packed(Counter({"=a": 2, "나라": 300}))
    assert (len(counts), sorted(words.split()), sorted(counts[8:])) == (10, ["=a", "나라"], [2, 255])
    assert int.from_bytes(counts[:4], "little") < int.from_bytes(counts[4:8], "little")
    assert packed(Counter()) == ("", b"")


def test_rare_terms_are_worth_more_and_parts_of_words_less():
    assert rarity(1, 1000) > rarity(10, 1000) > rarity(1000, 1000) > 0
    assert worth("나라", 5, 100) > worth("=나라", 5, 100) > worth("abcd", 5, 100) > 0
    assert rarity(5, 0) > 0
