"""How an answer is said: quotes with numbers, a refusal in the question's language, a JSON object."""

import json

import pytest

from holdfast.rooms.llm.rules.extract.answering import Answer, content, quoted, refusal, summarised, unmet
from holdfast.rooms.llm.rules.extract.phrases import NOT_THERE, NOTHING_ASKED, NOTHING_GIVEN, OURS, unquotable
from holdfast.rooms.llm.rules.extract.reading import Reading
from holdfast.rooms.llm.rules.extract.scoring import Found, Source

SOURCE = Source("a", "딸기는 봄에 심는다. 값은 올랐다.")
READING = Reading("딸기는 언제 심나?", (SOURCE,))


def found(start=0, end=11, score=9.0, sure=0.95):
    return Found(0, start, end, score, sure)


def test_a_quote_has_a_number_and_a_citation():
    answer = quoted(READING, [found()])
    assert answer.text == "“딸기는 봄에 심는다.” [1]"
    assert answer.citations == ({"passage": "a", "start": 0, "end": 11, "quote": "딸기는 봄에 심는다."},)
    assert not answer.refused


def test_a_further_sentence_must_be_nearly_as_good():
    near, far, unsure = found(12, 18, 8.8), found(12, 18, 3.0), found(12, 18, 8.8, 0.2)
    assert len(quoted(READING, [found(), near]).citations) == 2
    assert len(quoted(READING, [found(), far]).citations) == 1
    assert len(quoted(READING, [found(), unsure]).citations) == 1


@pytest.mark.parametrize("sentences", [[], [found(sure=0.5)]])
def test_what_is_not_sure_is_refused(sentences):
    answer = quoted(READING, sentences)
    assert (answer.text, answer.citations, answer.refused) == (NOT_THERE["ko"], (), True)


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (Reading("딸기?", (SOURCE,)), NOT_THERE["ko"]),
        (Reading("Strawberries?", (SOURCE,)), NOT_THERE["en"]),
        (Reading("딸기?", ()), NOTHING_GIVEN["ko"]),
        (Reading("Strawberries?", ()), NOTHING_GIVEN["en"]),
        (Reading("", (SOURCE,)), NOTHING_ASKED["en"]),
    ],
)
def test_a_refusal_says_why_in_the_language_of_the_question(reading, said):
    assert refusal(reading) == Answer(said, refused=True)


def test_a_summary_is_its_sentences():
    assert summarised(READING, [found(), found(12, 19)]).text == "딸기는 봄에 심는다. 값은 올랐다."
    assert summarised(READING, []).refused


ANSWER = Answer("“값” [1]", ({"passage": "a", "start": 0, "end": 1, "quote": "값"},))


def schema(required, properties):
    return {
        "type": "json_schema",
        "json_schema": {"schema": {"required": required, "properties": properties}},
    }


def test_content_is_text_or_a_json_object():
    assert content(ANSWER, None) == content(ANSWER, {"type": "text"}) == ANSWER.text
    told = json.loads(content(ANSWER, {"type": "json_object"}))
    assert told == {"answer": "“값” [1]", "citations": list(ANSWER.citations), "refused": False}
    assert json.loads(content(ANSWER, schema(["answer"], {"answer": {}}))) == {"answer": "“값” [1]"}


@pytest.mark.parametrize(
    ("response_format", "missing"),
    [
        (None, ()),
        ({"type": "json_object"}, ()),
        (schema(["answer"], {"answer": {}}), ()),
        (schema(["answer", "price", "age"], {}), ("age", "price")),
        ({"type": "json_schema", "json_schema": None}, ()),
        ({"type": "json_schema", "json_schema": {"schema": {"required": "x"}}}, ()),
    ],
)
def test_a_schema_that_quotes_cannot_fill(response_format, missing):
    assert unmet(response_format) == missing


def test_our_own_phrases_are_never_quoted():
    assert all(unquotable(phrase) for phrase in OURS)
    assert all(unquotable(part) for phrase in OURS for part in phrase.split(". "))


@pytest.mark.parametrize("odd", [{}, ["answer"], None, 5, {"answer": 1}])
def test_an_odd_field_of_a_schema_is_one_that_cannot_be_filled(odd):
    asked = {"type": "json_schema", "json_schema": {"schema": {"required": ["answer", odd]}}}
    assert unmet(asked) == (str(odd),)
