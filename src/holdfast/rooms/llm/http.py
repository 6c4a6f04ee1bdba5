"""The gateway: what OpenAI's clients speak, at /v1; and the page of figures."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import current_ctx
from holdfast.kernel.errors import Problem, Unauthorized
from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.llm.engine.client import CHAT, VECTORS, LlmClient
from holdfast.rooms.llm.engine.figures import LlmFigures
from holdfast.rooms.llm.engine.streaming import Streamed
from holdfast.rooms.llm.engine.virtual_keys import VirtualKeys
from holdfast.rooms.llm.rules.asking import Answered, Body, Request, check_body, check_input, sse
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.rules.problems import NotAPrompt, error_of, in_openai_shape, unknown_model
from holdfast.rooms.llm.rules.virtual_keys import PREFIX, Admitted

_STOPPED = {
    "message": "the server is stopping: ask again",
    "type": "api_error",
    "param": None,
    "code": "stopped",
}


class ModelCard(msgspec.Struct, frozen=True):
    """One model that may be asked."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "holdfast"


class ModelList(msgspec.Struct, frozen=True):
    """All of them."""

    data: list[ModelCard]
    object: str = "list"


class Gateway:
    """The handlers of /v1. Who calls is told by a virtual key, or by the door where none is asked for."""

    def __init__(
        self,
        client: LlmClient,
        keys: VirtualKeys,
        figures: Callable[[], LlmFigures],
        clock: Clock,
        *,
        keys_required: bool,
    ) -> None:
        self._client = client
        self._keys = keys
        self._figures = figures
        self._clock = clock
        self._keys_required = keys_required

    async def chat(self, call: Call) -> Answer:
        began, body = self._clock.monotonic(), call.body
        check_body(body)
        request = await self._request(call, body, "answer")
        if not body.get("stream"):
            answered = await self._client.whole(request, CHAT)
            return Answer(answered.body, headers=self._headers(answered, began))
        streamed = await self._client.stream(request)
        options = body.get("stream_options")
        wants_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return Answer(
            stream=Events(streamed, wants_usage),
            media_type="text/event-stream",
            headers=(*self._headers(streamed.answered, began), ("cache-control", "no-cache")),
            farewell=sse({"error": _STOPPED}),
        )

    async def embeddings(self, call: Call) -> Answer:
        began, body = self._clock.monotonic(), call.body
        check_input(body)
        answered = await self._client.whole(await self._request(call, body, "embedding"), VECTORS)
        return Answer(answered.body, headers=self._headers(answered, began))

    async def models(self, call: Call) -> ModelList:
        return ModelList([ModelCard(name) for name in self._shown_to(await self._key(call))])

    async def model(self, call: Call) -> ModelCard:
        shown, name = self._shown_to(await self._key(call)), call.params["model"]
        if name not in shown:
            raise unknown_model(name, shown)
        return ModelCard(name)

    def _shown_to(self, key: Admitted | None) -> list[str]:
        """The models that whoever asks may use; others do not exist for them."""
        return [name for name in self._client.paths.public if key is None or key.allows(name)]

    async def figures(self, call: Call) -> LlmFigures:
        return self._figures()

    async def _request(self, call: Call, body: Body, purpose: str) -> Request:
        asked = body.get("model", "")
        if not isinstance(asked, str):
            raise NotAPrompt("`model` is not a name", hint="send a string", param="model")
        key = await self._key(call)  # first: what there is, is told to nobody who may not ask
        model = self._client.model_of(asked)
        payer = self._payer(call, key, model)
        event, control = call.event, call.header("cache-control")
        event.note(model=model)
        return Request(
            body=body,
            model=model,
            payer=payer,
            purpose=call.header("x-holdfast-purpose")[:40] or purpose,
            template=call.header("x-holdfast-template")[:200],
            reads_cache="no-cache" not in control and "no-store" not in control,
            writes_cache="no-store" not in control,
            trace_id=event.trace_id,
            request_id=event.request_id,
        )

    def _payer(self, call: Call, key: Admitted | None, model: str) -> Payer:
        """Whose account it goes on."""
        if key is not None:
            key.check_model(model)
            call.event.user_id = call.event.user_id or key.key.user
            # A key that is nobody's in particular is used by whom the door has identified.
            return key.payer(model, tenant=_tenant())
        return Payer(tenant=_tenant(), user=call.user_id, model=model)

    async def _key(self, call: Call) -> Admitted | None:
        """The virtual key that came along, found good; None where none is asked for and none came."""
        given = call.header("authorization").removeprefix("Bearer ").strip() or call.header("api-key")
        if given.startswith(PREFIX):
            return await self._keys.authenticate(given)
        if self._keys_required:
            raise Unauthorized(
                "the gateway asks for a virtual key",
                hint="send Authorization: Bearer hf-…; `holdfast llm keys create` makes one",
            )
        return None

    def _headers(self, answered: Answered, began: float) -> tuple[tuple[str, str], ...]:
        spent_s = self._clock.monotonic() - began
        found = [
            ("x-holdfast-cache", _CACHE.get(answered.source, "miss")),
            ("x-holdfast-attempts", str(answered.attempts)),
            ("x-holdfast-provider", _in_header(answered.deployment or answered.provider or "none")),
            ("x-holdfast-overhead-ms", f"{max(0.0, spent_s - answered.upstream_s) * 1e3:.3f}"),
        ]
        if answered.body:
            found.append(("x-holdfast-cost", f"{answered.cost / 1e9:.9f}"))
        if answered.source == "degraded":
            found.append(("x-holdfast-degraded", "true"))
        if answered.age_s:
            found.append(("age", str(int(answered.age_s))))
        return tuple(found)


def _tenant() -> str:
    """Whom the door has identified; empty for nobody."""
    ctx = current_ctx()
    return ctx.tenant if ctx is not None else ""


@lru_cache(maxsize=1_024)
def _in_header(name: str) -> str:
    """A deployment's name as a header takes it: what is not plain, such as Korean, is percent-encoded."""
    return quote(name, safe=_PLAIN, errors="replace")


_PLAIN = "!#$&'()*+,/:;=?@[] "
"""What stands in a header as it is."""
_CACHE = {"cached": "hit", "stale": "stale", "semantic": "semantic", "coalesced": "coalesced"}


class Events:
    """A stream as server-sent events: a problem in the middle is told in band, and no [DONE] follows it."""

    def __init__(self, streamed: Streamed, wants_usage: bool) -> None:
        self._streamed = streamed
        self._wants_usage = wants_usage
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._is_over:
            try:
                chunk = await self._streamed.__anext__()
            except StopAsyncIteration:
                self._is_over = True
                return b"data: [DONE]\n\n"
            except Problem as problem:
                self._is_over = True
                return sse({"error": error_of(problem)})
            if chunk.get("usage") is not None and not self._wants_usage:
                if not chunk.get("choices"):
                    continue
                chunk = {name: value for name, value in chunk.items() if name != "usage"}
            return sse(chunk)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._streamed.aclose()


def routes(gateway: Gateway) -> Sequence[Route]:
    """The addresses. Their problems are written as OpenAI writes them."""

    def v1(method: str, path: str, handler: Any, summary: str, **more: Any) -> Route:
        return Route(method, path, handler, summary, problem=in_openai_shape, heeds=True, **more)

    return (
        v1("POST", "/v1/chat/completions", gateway.chat, "Ask a model, as OpenAI's clients do", body=Body),
        v1("POST", "/v1/embeddings", gateway.embeddings, "Vectors of texts", body=Body),
        v1("GET", "/v1/models", gateway.models, "The models that may be asked", answer=ModelList),
        v1("GET", "/v1/models/{model:path}", gateway.model, "One model", answer=ModelCard),
        Route(
            "GET",
            "/api/v1/monitoring/metrics/llm",
            gateway.figures,
            "Calls of models: hits, tokens, cost, latencies and breakers by deployment",
            answer=LlmFigures,
        ),
    )
