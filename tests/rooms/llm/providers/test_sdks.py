"""Other people's clients as providers: the real openai client; of LiteLLM a module that answers as it does.

LiteLLM is 118 MB and never a dependency of ours, so that only the mapping is tested here: what it is asked,
and what becomes of the objects and errors that its documentation describes.
"""

import json
import sys
import types

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.litellm_sdk import LiteLLMProvider
from holdfast.rooms.llm.providers.openai_sdk import OpenAISdkProvider
from holdfast.rooms.llm.providers.transport import Limits
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

from .test_openai import ANSWER, BODY, KEY, WHOLE, sse, vectors, words
from .upstream import Upstream, always, chunked, plain

SLOW_DOWN = plain(
    b'{"error":{"code":"rate_limit_exceeded"}}', "429 Slow", "application/json", "retry-after: 3"
)


def made(upstream, **options):
    return OpenAISdkProvider(upstream.url + "/v1", Options(**options), Limits(), clock=ManualClock())


async def gathered(provider, body=BODY, into=None):
    found = [] if into is None else into
    try:
        async for chunk in provider.stream(body, KEY):
            found.append(chunk)
    finally:
        await provider.close()
    return found


async def test_the_openai_client_chats_with_what_it_does_not_know_passed_on():
    async with Upstream(always(plain(json.dumps({**ANSWER, "own": 1}).encode()))) as upstream:
        provider = made(upstream, organization="o", extra_headers={"x-team": "a"})
        found = await provider.chat({**BODY, "min_p": 0.1, "stream": True}, KEY)
        await provider.close()
    assert found["choices"][0]["message"]["content"] == "파리"
    assert found["own"] == 1
    (seen,) = upstream.requests
    assert json.loads(seen.body) == {**BODY, "min_p": 0.1}
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert (seen.headers["openai-organization"], seen.headers["x-team"]) == ("o", "a")


async def test_the_openai_client_streams_and_embeds():
    async with Upstream(always(chunked(sse(*WHOLE, b"[DONE]")))) as upstream:
        found = await gathered(made(upstream))
    assert words(found) == "파리"
    assert found[-1]["usage"]["total_tokens"] == 3
    async with Upstream(always(vectors([1.0, 2.0]))) as upstream:
        provider = made(upstream)
        answer = await provider.embed({"model": "e", "input": "가"}, KEY)
        await provider.close()
    assert answer["data"][0]["embedding"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (SLOW_DOWN, "RATE_LIMITED"),
        (plain(b'{"error":{"code":"insufficient_quota"}}', "429 Slow"), "QUOTA"),
        (plain(b'{"error":{"code":"context_length_exceeded"}}', "400 Bad"), "CONTEXT_LENGTH"),
        (plain(b'{"error":{"message":"the content filter"}}', "400 Bad"), "CONTENT_FILTER"),
        (plain(b"{}", "500 Oops"), "SERVER"),
        (plain(b"{}", "503 Oops"), "OVERLOADED"),
        (plain(b"{}", "401 No"), "AUTH"),
        (plain(b"<html>", kind="text/html"), "GARBLED"),
        (plain(b'{"choices":[]}'), "GARBLED"),
        (b"", "CONNECTION"),
    ],
)  # fmt: skip
async def test_errors_of_the_openai_client_are_failures_of_their_kind_and_not_retried(answer, kind):
    async with Upstream(always(answer, keep=False)) as upstream:
        provider = made(upstream)
        with pytest.raises(ProviderFailed) as caught:
            await provider.chat(BODY, KEY)
        await provider.close()
    assert caught.value.kind is Kind[kind]
    assert KEY not in str(caught.value)
    assert len(upstream.requests) == 1
    assert caught.value.retry_after_s == (3.0 if kind == "RATE_LIMITED" else None)


async def test_the_openai_client_gives_up_in_time():
    async def play(peer, request):
        await peer.until_gone()

    async with Upstream(play) as upstream:
        provider = made(upstream, whole_s=0.05)
        with pytest.raises(ProviderFailed) as caught:
            await provider.chat(BODY, KEY)
        await provider.close()
    assert caught.value.kind is Kind.SILENT


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (chunked(sse(*WHOLE[:2])), "CUT"),
        (chunked(sse(*WHOLE[:2]), end=b""), "CONNECTION CUT GARBLED"),
        (chunked(sse(WHOLE[0], {"error": {"code": "server_error", "message": "x"}})), "SERVER"),
        (chunked(sse(WHOLE[0], b"{broken")), "GARBLED"),
    ],
)
async def test_a_stream_of_the_openai_client_that_does_not_end(answer, kind):
    found = []
    async with Upstream(always(answer, keep=False)) as upstream:
        with pytest.raises(ProviderFailed) as caught:
            await gathered(made(upstream), into=found)
    assert caught.value.kind.name in kind.split()
    assert words(found) in ("파", "파리")


async def test_a_client_that_leaves_stops_the_openai_client_s_upstream():
    async def play(peer, request):
        await peer.send(chunked(sse(WHOLE[0]), end=b""))
        await peer.until_gone()

    async with Upstream(play) as upstream:
        provider = made(upstream)
        chunks = provider.stream(BODY, KEY)
        await anext(chunks)
        await chunks.aclose()
        await upstream.peers[0].gone.wait()
        await provider.close()


class Answer:
    """As LiteLLM's ModelResponse: pydantic's face."""

    def __init__(self, document):
        self.document = document

    def model_dump(self):
        return self.document


class Chunks:
    def __init__(self, chunks):
        self._chunks = list(chunks)
        self.closed = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self._chunks:
            raise StopAsyncIteration
        item = self._chunks.pop(0)
        if isinstance(item, Exception):
            raise item
        return Answer(item)

    async def aclose(self):
        self.closed = True


class APIError(Exception):
    status_code = 500


class ContextWindowExceededError(APIError):
    status_code = 400


class Timeout(APIError):
    status_code = 408


class RateLimitError(APIError):
    status_code = 429
    message = f"slow down, {KEY}"


@pytest.fixture
def litellm(monkeypatch):
    module = types.ModuleType("litellm")
    module.asked, module.gives = [], None

    async def acompletion(**asked):
        module.asked.append(asked)
        if isinstance(module.gives, Exception):
            raise module.gives
        return module.gives

    module.acompletion = module.aembedding = acompletion
    monkeypatch.setitem(sys.modules, "litellm", module)
    return module


async def test_litellm_is_asked_once_and_its_objects_become_bodies(litellm):
    provider = LiteLLMProvider("http://x", Options(whole_s=9.0), clock=ManualClock())
    litellm.gives = Answer(ANSWER)
    assert await provider.chat({**BODY, "stream": True}, KEY) == ANSWER
    asked = {
        **BODY,
        "api_key": KEY,
        "api_base": "http://x",
        "timeout": 9.0,
        "num_retries": 0,
        "max_retries": 0,
    }
    assert litellm.asked == [asked]
    litellm.gives = opened = Chunks(WHOLE)
    assert await gathered(provider) == list(WHOLE)
    assert litellm.asked[1]["stream_options"] == {"include_usage": True}
    assert opened.closed
    litellm.gives = Answer({"data": [{"index": 0, "embedding": [1.0]}]})
    assert (await provider.embed({"model": "e", "input": "x"}, ""))["data"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ContextWindowExceededError(), Kind.CONTEXT_LENGTH),
        (Timeout(), Kind.SILENT),
        (RateLimitError(), Kind.RATE_LIMITED),
        (APIError(), Kind.SERVER),
        (ValueError("models"), Kind.GARBLED),
        (TypeError("argument"), Kind.BAD_REQUEST),
    ],
)
async def test_errors_of_litellm_are_failures_of_their_kind(litellm, error, kind):
    provider = LiteLLMProvider(clock=ManualClock())
    litellm.gives = error
    with pytest.raises(ProviderFailed) as caught:
        await provider.chat(BODY, KEY)
    assert caught.value.kind is kind
    assert KEY not in str(caught.value)
    litellm.gives = Chunks([WHOLE[0], error])
    with pytest.raises(ProviderFailed) as caught:
        await gathered(provider)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("make", "module", "extra"),
    [(OpenAISdkProvider, "openai", "holdfast[openai]"), (LiteLLMProvider, "litellm", "holdfast[litellm]")],
)
def test_a_client_that_is_not_installed_is_named_with_its_extra(make, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Misconfigured) as caught:
        make()
    assert extra in caught.value.hint
