"""Terms: one function for question and sentence, in Korean and English."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.text.words import bare, folded, stem, terms, weight_of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("서울의 수도는?", ["서울", "=서울", "수도", "=수도"]),
        ("딸기농장", ["딸기", "기농", "농장", "=딸기농장"]),
        ("그 것", []),
        ("Enabling the LIBRARY", ["enab", "nabl", "=enabl", "libr", "ibra", "brar", "=librar"]),
        ("1,000원 3.5%", ["#1000", "원", "#3.5"]),
        ("東京都", ["東京", "京都"]),
        ("ＡＢＣ １２", ["=abc", "#12"]),
        ("Привет", ["Пр".lower(), "ри", "ив", "ве", "ет"]),
        ("", []),
    ],
)
def test_the_terms_of_a_text(text, wanted):
    assert terms(text) == wanted


@pytest.mark.parametrize(
    "pair",
    [("서울은", "서울에서는"), ("학교를", "학교까지"), ("민수가", "민수에게"), ("대통령이다", "대통령의")],
)
def test_particles_do_not_count(pair):
    assert bare(pair[0]) == bare(pair[1])


@pytest.mark.parametrize(
    "pair", [("enabled", "enabling"), ("cities", "city"), ("closes", "close"), ("dog's", "dogs")]
)
def test_endings_do_not_count(pair):
    assert stem(pair[0]) == stem(pair[1])


@pytest.mark.parametrize("word", ["나라", "가", "도로", "the", "bus", "is"])
def test_short_words_keep_what_looks_like_an_ending(word):
    assert (bare(word), stem(word)) == (word, word)


@given(st.text(alphabet=st.sampled_from("서울은 ＡＢｃ Dé１2,3. 東\u1112\u1161\u11ab"), max_size=60))
def test_forms_of_a_text_have_the_same_terms(text):
    assert terms(folded(text)) == terms(text)
    assert all(0 < weight_of(term) <= 1 for term in terms(text))
