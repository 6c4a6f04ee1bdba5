"""The built-in model: answers from given text alone, with quotes; no download, no key, no network.

It never invents: an answer is made of sentences of the passages (the body's field `passages`, or the text
that its messages bring along), each with its offsets, or it is a refusal that says so. The same request
gives the same answer. Reading a long text yields to others every few dozen sentences.
"""

import asyncio
import base64
import struct
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.codec import clean_text
from holdfast.kernel.ids import IdSource
from holdfast.rooms.llm.providers.provider import Body
from holdfast.rooms.llm.rules import vectors
from holdfast.rooms.llm.rules.assembly import replay
from holdfast.rooms.llm.rules.extract.answering import (
    QUOTES,
    Answer,
    content,
    quoted,
    refusal,
    summarised,
    unmet,
)
from holdfast.rooms.llm.rules.extract.questions import question
from holdfast.rooms.llm.rules.extract.reading import Reading, read
from holdfast.rooms.llm.rules.extract.scoring import Corpus, Found
from holdfast.rooms.llm.rules.extract.summary import summarise
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.refusals import texts_of
from holdfast.rooms.llm.rules.tokens import answer_tokens, prompt_tokens, text_tokens

MODEL = "extractive"
MOST_CHOICES = 8
MOST_CHARACTERS = 2_000_000
"""Of one request: about 400,000 tokens, which no language model reads either; more would hold up the loop."""
MOST_INPUTS = 2_048
"""Texts in one embeddings request: OpenAI's own limit."""


class Extractive:
    """A Provider that quotes. `usage` is estimated; `tools`, `stop` and sampling fields change nothing."""

    name = MODEL

    def __init__(self, clock: Clock | None = None, ids: IdSource | None = None) -> None:
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource()

    async def chat(self, body: Body, key: str = "") -> Body:
        """A `chat.completion` with `generated_by: extractive`; `refused: true` where nothing answers.

        `choices[].message.citations` = `[{passage, start, end, quote}]`. Raises ProviderFailed(BAD_REQUEST)
        for a JSON schema that requires fields which quotes cannot fill.
        """
        count = self._checked(body)
        answer = await self._answered(read(body))
        text = clean_text(content(answer, body.get("response_format")))
        message = {"role": "assistant", "content": text, "citations": list(answer.citations)}
        completion: Body = {
            "id": f"chatcmpl-{self._ids.sortable(self._clock.wall())}",
            "object": "chat.completion",
            "created": int(self._clock.wall()),
            "model": body.get("model") or MODEL,
            "choices": [
                {"index": index, "message": dict(message), "logprobs": None, "finish_reason": "stop"}
                for index in range(count)
            ],
            "generated_by": MODEL,
            "confidence": answer.confidence,
        }
        if answer.refused:
            completion["refused"] = True
        completion["usage"] = _usage(prompt_tokens(body), answer_tokens(completion))
        return completion

    async def stream(self, body: Body, key: str = "") -> AsyncGenerator[Body, None]:
        """The same answer in chunks: role, words, citations and finish_reason, usage."""
        for chunk in replay(await self.chat(body, key)):
            yield chunk
            await asyncio.sleep(0)

    async def embed(self, body: Body, key: str = "") -> Body:
        """Hashed n-gram vectors; `encoding_format` float or base64, `dimensions` 64 to 2,048."""
        dimensions = body.get("dimensions") or vectors.DIMENSIONS
        if not isinstance(dimensions, int) or not vectors.SMALLEST <= dimensions <= vectors.LARGEST:
            raise _bad(f"dimensions must be {vectors.SMALLEST} to {vectors.LARGEST}")
        data = []
        used = 0
        for index, one in enumerate(_inputs(body.get("input"))):
            if isinstance(one, str):
                found = vectors.vector(one, dimensions)
                used += text_tokens(one)
            else:
                found = vectors.token_vector(one, dimensions)
                used += len(one)
            embedding = _packed(found) if body.get("encoding_format") == "base64" else found
            data.append({"object": "embedding", "index": index, "embedding": embedding})
            await asyncio.sleep(0)
        return {
            "object": "list",
            "data": data,
            "model": vectors.NAME,
            "usage": {"prompt_tokens": used, "total_tokens": used},
            "generated_by": MODEL,
        }

    async def close(self) -> None:
        """Nothing is open."""

    def _checked(self, body: Body) -> int:
        """How many choices are wanted; raises ProviderFailed for what cannot be answered at all."""
        count = body.get("n") or 1
        if not isinstance(count, int) or not 1 <= count <= MOST_CHOICES:
            raise _bad(f"n must be 1 to {MOST_CHOICES}")
        if not isinstance(body.get("messages"), list | tuple) or not body["messages"]:
            raise _bad("messages must be a list with at least one message")
        given = sum(map(len, texts_of(body))) + sum(
            len(each["text"])
            for each in body.get("passages") or ()
            if isinstance(each, dict) and isinstance(each.get("text"), str)
        )
        if given > MOST_CHARACTERS:
            raise ProviderFailed(
                Kind.TOO_LARGE, f"the extractive model reads {MOST_CHARACTERS:,} characters, not {given:,}"
            )
        if missing := unmet(body.get("response_format")):
            raise _bad(
                f"the extractive model only quotes: it cannot fill {', '.join(missing)} of the JSON schema; "
                "configure a language model, or ask for answer, citations and refused alone"
            )
        return count

    async def _answered(self, reading: Reading) -> Answer:
        if not reading.sources or not (reading.question.strip() or reading.summary):
            return refusal(reading)
        if reading.summary:
            kept: list[Found] = []
            for part in summarise(reading.sources):
                kept = part or kept
                await asyncio.sleep(0)
            return summarised(reading, kept)
        corpus = Corpus()
        for source in reading.sources:
            await _through(corpus.read(source))
        return quoted(reading, corpus.best(question(reading.question), QUOTES))


async def _through(steps: Iterator[None]) -> None:
    """Exhaust, letting others run between the steps."""
    for _ in steps:
        await asyncio.sleep(0)
    await asyncio.sleep(0)


def _usage(sent: int, written: int) -> dict[str, Any]:
    return {
        "prompt_tokens": sent,
        "completion_tokens": written,
        "total_tokens": sent + written,
        "estimated": True,
    }


def _inputs(given: Any) -> Sequence[str | Sequence[int]]:
    """The inputs of an embeddings request: a text, texts, tokens, or lists of tokens."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list | tuple) or not given:
        raise _bad("input must be a text or a list of texts")
    if all(isinstance(one, int) for one in given):
        return [given]
    if len(given) > MOST_INPUTS:
        raise _bad(f"input has {len(given)} texts, at most {MOST_INPUTS}")
    for one in given:
        if not isinstance(one, str) and not (
            isinstance(one, list) and all(isinstance(token, int) for token in one)
        ):
            raise _bad("input must be a text or a list of texts")
    return given


def _packed(found: Sequence[float]) -> str:
    """32-bit little-endian floats in base64, which the official client asks for by itself."""
    return base64.b64encode(struct.pack(f"<{len(found)}f", *found)).decode()


def _bad(message: str) -> ProviderFailed:
    return ProviderFailed(Kind.BAD_REQUEST, message, status=400, code="invalid_request")
