"""What an answer rests on is found by us, whatever a model claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.knowledge.rules.citations import (
    Claimed,
    find_quote,
    quoted,
    resolve,
    without_unknown,
)

SOURCES = (
    "훈민정음은 1443년에 창제되었다. 세종대왕이 만들었다.",
    "The Hangul Day is on 9 October. It was a working day from 1991 to 2012.",
)


@pytest.mark.parametrize(
    ("said", "shown", "quotes"),
    [
        # a statement is tied to the sentence that bears it out
        (
            "훈민정음은 1443년에 창제되었다 [1].",
            "훈민정음은 1443년에 창제되었다 [1].",
            ["훈민정음은 1443년에 창제되었다."],
        ),
        # a quotation is found, its exact span is cited
        (
            "It says “working  day from 1991” [2].",
            "It says “working  day from 1991” [1].",
            ["working day from 1991"],
        ),
        # unknown numbers go, with the space before them
        (
            "Hangul Day is on 9 October [2][7] [0].",
            "Hangul Day is on 9 October [1].",
            ["The Hangul Day is on 9 October."],
        ),
        # the wrong passage is named: the quotation decides
        ('It was "세종대왕이 만들었다" [2].', 'It was "세종대왕이 만들었다" [1].', ["세종대왕이 만들었다"]),
        # a quotation that stands nowhere is no quotation
        ("It says “a holiday since 1949” [2].", "It says a holiday since 1949.", []),
        # a statement that nothing bears out
        ("Bananas are yellow and bent [1].", "Bananas are yellow and bent.", []),
        # several numbers in one mark, and the same one twice
        (
            "훈민정음은 1443년에 창제되었다 [1, 2] 세종대왕이 만들었다 【1】",
            "훈민정음은 1443년에 창제되었다 [1] 세종대왕이 만들었다 [2]",
            ["훈민정음은 1443년에 창제되었다.", "세종대왕이 만들었다."],
        ),
        # brackets that are no marks
        ("Hangul [sic] in [2024] is a[x].", "Hangul [sic] in [2024] is a[x].", []),
        ("세종대왕이 만들었다 [구절 1].", "세종대왕이 만들었다 [1].", ["세종대왕이 만들었다."]),
    ],
)
def test_claims_are_resolved(said, shown, quotes):
    found = resolve(said, SOURCES)
    assert (found.text(), [one.quote for one in found.cited]) == (shown, quotes)
    for one in found.cited:
        assert SOURCES[one.source][one.start : one.end] == one.quote


@given(st.text(alphabet='[]【】0123456789, “”"abc가나다.\n-†', max_size=200))
def test_whatever_a_model_says_every_citation_is_a_span(said):
    found = resolve(said, SOURCES)
    assert all(SOURCES[one.source][one.start : one.end] == one.quote != "" for one in found.cited)
    assert {part for part in found.parts if isinstance(part, int)} == set(range(len(found.cited)))


@given(st.text(max_size=60), st.text(min_size=1, max_size=30), st.text(max_size=60))
def test_what_stands_in_a_text_is_found(before, quote, after):
    text = before + quote + after
    span = find_quote(quote, text)
    assert span is not None
    assert text[slice(*span)] == quote


@pytest.mark.parametrize(
    ("quote", "text", "found"),
    [
        ("두 번째 문장", "첫 문장.\n두\n번째\u200b 문장이다.", "두\n번째\u200b 문장"),
        ("it's “so”", 'Well, it’s "so".', 'it’s "so'),
        ("１２ ㎏", "약 12 kg이다", "12 kg"),
        ("없는 말", "첫 문장.", None),
        ("  ", "a  b", "  "),
        ("\u200b", "ab", None),
    ],
)
def test_looks_may_differ_and_words_may_not(quote, text, found):
    span = find_quote(quote, text)
    assert (None if span is None else text[slice(*span)].strip('"')) == found


def test_a_model_that_quotes_is_taken_at_its_spans_alone():
    true = Claimed("p2", 4, 10, "Hangul")
    wrong = Claimed("p2", 5, 11, "Hangul"), Claimed("p9", 0, 1, "T"), Claimed("p1", 0, 0, "")
    found = quoted([true, *wrong, Claimed("p1", 0, 4, "훈민정음")], ["p1", "p2"], SOURCES)
    assert found.text() == "“Hangul” [1] “훈민정음” [2]"
    assert found.removed == 3


def test_citations_that_have_gone_leave_the_text_and_the_rest_is_numbered_anew():
    found = resolve("훈민정음은 1443년에 창제되었다 [1]. Hangul Day is on 9 October [2].", SOURCES)
    kept = found.kept(lambda one: one.source == 1)
    assert kept.text() == "훈민정음은 1443년에 창제되었다. Hangul Day is on 9 October [1]."
    assert [one.source for one in kept.cited] == [1]


def test_marks_on_their_way_are_seen_when_they_are_known():
    assert without_unknown("a [1] b [9] c [x]", 2) == "a [1] b c [x]"


@pytest.mark.parametrize(
    "hostile", ["[" + "1" * 50_000, "[1" * 20_000, "“" * 20_000, "[" + "1," * 39 + "x] " * 3_000]
)
def test_hostile_text_comes_to_an_end(hostile):
    assert resolve(hostile, SOURCES).cited == ()  # were it exponential, the suite's limit would end it
