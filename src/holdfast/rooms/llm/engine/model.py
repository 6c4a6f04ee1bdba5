"""The port `Model` over the client: what other rooms of the service ask, in their own words."""

from collections.abc import AsyncGenerator, Sequence
from math import isfinite
from typing import Any

from holdfast.kernel.context import current_event
from holdfast.kernel.errors import Problem
from holdfast.ports.model import Ask, Citation, Embedded, ModelFailed, Piece, Reply, Usage
from holdfast.rooms.llm.engine.client import CHAT, VECTORS, LlmClient
from holdfast.rooms.llm.rules.asking import Answered, Body, Request, text_of
from holdfast.rooms.llm.rules.assembly import Assembly
from holdfast.rooms.llm.rules.payer import Payer


class ClientModel:
    """A Model. Passages travel with the request; only the extractive provider is shown them as they are."""

    def __init__(self, client: LlmClient) -> None:
        self._client = client

    async def complete(self, ask: Ask) -> Reply:
        return _reply(await self._client.whole(self._request(ask), CHAT))

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        streamed = await self._client.stream(self._request(ask))
        whole = Assembly()
        try:
            async for chunk in streamed:
                whole.add(chunk)
                text = _text_in(chunk)
                if text:
                    yield Piece(text)
        finally:
            await streamed.aclose()
        answered = streamed.answered
        answered.body = whole.answer()
        yield Piece(reply=_reply(answered))

    async def embed(self, texts: Sequence[str], *, model: str = "", tenant: str = "") -> Embedded:
        body: Body = {"input": list(texts)}
        public = self._client.model_of(model)
        payer = Payer(tenant=tenant, model=public)
        request = Request(body=body, model=public, payer=payer, purpose="embedding")
        answered = await self._client.whole(request, VECTORS)
        rows = sorted(answered.body["data"], key=lambda row: int(row.get("index", 0)))
        if len(rows) != len(texts):
            raise ModelFailed(f"{len(rows)} vectors for {len(texts)} texts", hint="ask again")
        vectors = [_numbers(row.get("embedding")) for row in rows]
        if len({len(vector) for vector in vectors}) > 1:
            raise ModelFailed("the vectors are not all of one length", hint="ask again, or another model")
        return Embedded(vectors, str(answered.body.get("model") or answered.model), _usage(answered))

    def _request(self, ask: Ask) -> Request:
        body: Body = {
            "messages": [{"role": turn.role, "content": turn.content} for turn in ask.messages],
            "temperature": ask.temperature,
        }
        if ask.max_tokens is not None:
            body["max_tokens"] = ask.max_tokens
        if ask.passages:
            body["passages"] = [
                {"id": each.id, "title": each.title, "text": each.text} for each in ask.passages
            ]
        event = current_event()
        model = self._client.model_of(ask.model)
        return Request(
            body=body,
            model=model,
            payer=Payer(tenant=ask.tenant, user=ask.user, model=model),
            purpose=ask.purpose,
            template=ask.template,
            first_token_s=ask.first_token_s,
            total_s=ask.total_s,
            trace_id=event.trace_id if event is not None else "",
            request_id=event.request_id if event is not None else "",
        )


def _text_in(chunk: Body) -> str:
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str):
            return text
    return ""


def _numbers(vector: Any) -> list[float]:
    """The vector, if it is one: a NaN or an infinity spoils every comparison that it is ever part of."""
    if not isinstance(vector, list) or not vector:
        raise ModelFailed("the model gave no vector", hint="ask again, or another model")
    if not all(isinstance(number, int | float) and isfinite(number) for number in vector):
        raise ModelFailed(
            "the model gave a vector with something else than numbers", hint="ask another model"
        )
    return vector


def _usage(answered: Answered) -> Usage:
    return Usage(
        input_tokens=answered.input_tokens,
        output_tokens=answered.output_tokens,
        cost=answered.cost / 1e9,
        estimated=answered.estimated,
    )


def _reply(answered: Answered) -> Reply:
    body = answered.body
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    if not body.get("choices"):
        problem: Problem = ModelFailed("the model gave no answer", hint="ask again")
        raise problem
    return Reply(
        text=text_of(body),
        model=str(body.get("model") or answered.model),
        provider=answered.provider,
        generated_by=str(body.get("generated_by") or body.get("model") or answered.model),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        usage=_usage(answered),
        citations=tuple(
            Citation(str(each["passage"]), int(each["start"]), int(each["end"]), str(each["quote"]))
            for each in message.get("citations") or ()
        ),
        cached=answered.source in ("cached", "stale", "semantic"),
        degraded=answered.source == "degraded",
    )
