"""The answer of the extractive model, from what was found: quotes with citations, a summary, or a refusal."""

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.rooms.llm.rules.extract.phrases import (
    NOT_THERE,
    NOTHING_ASKED,
    NOTHING_GIVEN,
    language,
)
from holdfast.rooms.llm.rules.extract.reading import Reading
from holdfast.rooms.llm.rules.extract.scoring import SURE_ENOUGH, Found, Source

QUOTES = 3
"""Sentences of an answer, at most: for 91 % of KorQuAD's questions the best three hold it."""
BESIDE = 0.85
"""A further sentence is quoted when its score is this near the best one's, and it is sure enough itself."""


class Answer(msgspec.Struct, frozen=True):
    """What is said, and the quotes that it rests on."""

    text: str
    citations: tuple[dict[str, Any], ...] = ()
    """`{passage, start, end, quote}`: `text[start:end] == quote` of that passage."""
    refused: bool = False
    confidence: float = 0.0


def refusal(reading: Reading, confidence: float = 0.0) -> Answer:
    """Why there is no answer, in the language of the question."""
    spoken = language(reading.question)
    if not reading.question.strip() and not reading.summary:
        return Answer(NOTHING_ASKED[spoken], refused=True)
    return Answer(
        (NOT_THERE if reading.sources else NOTHING_GIVEN)[spoken], refused=True, confidence=confidence
    )


def quoted(reading: Reading, found: Sequence[Found]) -> Answer:
    """The best sentences, each in quotation marks with the number of its citation; or a refusal."""
    if not found or found[0].sure < SURE_ENOUGH:
        return refusal(reading, round(found[0].sure, 4) if found else 0.0)
    kept = [one for one in found[:QUOTES] if one is found[0] or _beside(one, found[0])]
    citations = tuple(_citation(reading.sources, one) for one in kept)
    text = " ".join(f"“{cited['quote']}” [{number}]" for number, cited in enumerate(citations, 1))
    return Answer(text, citations, confidence=round(found[0].sure, 4))


def summarised(reading: Reading, found: Sequence[Found]) -> Answer:
    """The sentences of a summary as they stand, one after the other."""
    if not found:
        return refusal(reading)
    citations = tuple(_citation(reading.sources, one) for one in found)
    return Answer(" ".join(cited["quote"] for cited in citations), citations, confidence=1.0)


def _beside(one: Found, best: Found) -> bool:
    return one.sure >= SURE_ENOUGH and one.score >= BESIDE * best.score


def _citation(sources: Sequence[Source], one: Found) -> dict[str, Any]:
    source = sources[one.source]
    quote = source.text[one.start : one.end]
    return {"passage": source.id, "start": one.start, "end": one.end, "quote": quote}


FIELDS = frozenset({"answer", "citations", "refused"})
"""What the extractive model can put into a JSON object."""


def unmet(response_format: Any) -> tuple[str, ...]:
    """The fields that a JSON schema requires and the extractive model cannot fill; empty when all is well."""
    schema = _schema(response_format)
    required = schema.get("required")
    return (
        tuple(sorted(name for each in required if (name := str(each)) not in FIELDS))
        if isinstance(required, list)
        else ()
    )


def content(answer: Answer, response_format: Any) -> str:
    """The answer as the message's content: text, or a JSON object where that is asked for."""
    wanted = response_format.get("type") if isinstance(response_format, dict) else None
    if wanted not in ("json_object", "json_schema"):
        return answer.text
    told: dict[str, Any] = {
        "answer": answer.text,
        "citations": list(answer.citations),
        "refused": answer.refused,
    }
    properties = _schema(response_format).get("properties")
    if isinstance(properties, dict) and properties:
        told = {name: value for name, value in told.items() if name in properties}
    return encode_json(told).decode()


def _schema(response_format: Any) -> dict[str, Any]:
    """The JSON schema of a response format, or an empty one."""
    named = response_format.get("json_schema") if isinstance(response_format, dict) else None
    schema = named.get("schema") if isinstance(named, dict) else None
    return schema if isinstance(schema, dict) else {}
