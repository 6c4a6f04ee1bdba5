"""LiteLLM as a provider, for what speaks neither OpenAI's API nor Anthropic's: Bedrock, Vertex, Cohere.

Never a dependency of ours: 118 MB, milliseconds of processor time a call. Its retries and fallbacks are off.
"""

import importlib
from collections.abc import AsyncGenerator
from typing import Any

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.provider import Body
from holdfast.rooms.llm.providers.sdk import as_body, ours, streamed
from holdfast.rooms.llm.rules.replies import vectors, whole_chat


class LiteLLMProvider:
    """Calls through `litellm.acompletion` and `litellm.aembedding`; `model` is as LiteLLM names it."""

    name = "litellm"

    def __init__(
        self, base_url: str = "", options: Options | None = None, *, clock: Clock | None = None
    ) -> None:
        self.options = options or Options()
        self._clock = clock or SystemClock()
        self._base_url = base_url
        try:
            self._litellm: Any = importlib.import_module("litellm")
        except ImportError:
            raise Misconfigured(
                "the provider litellm needs LiteLLM", hint="pip install 'holdfast[litellm]'"
            ) from None

    async def chat(self, body: Body, key: str) -> Body:
        """A whole `chat.completion`."""
        asked = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
        with ours(body, key, self._clock):
            return whole_chat(as_body(await self._litellm.acompletion(**asked, **self._how(key))))

    async def stream(self, body: Body, key: str) -> AsyncGenerator[Body, None]:
        """`chat.completion.chunk`s as they come."""
        asked: Body = {**body, "stream": True}
        if self.options.include_usage:
            asked["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        with ours(body, key, self._clock):
            opened = await self._litellm.acompletion(**asked, **self._how(key))
        chunks = streamed(opened, body, key, self._clock)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()
            if callable(close := getattr(opened, "aclose", None)):
                await close()

    async def embed(self, body: Body, key: str) -> Body:
        """An embeddings `list`."""
        with ours(body, key, self._clock):
            return vectors(as_body(await self._litellm.aembedding(**body, **self._how(key))), body)

    async def close(self) -> None:
        """Nothing: LiteLLM keeps its clients to itself."""

    def _how(self, key: str) -> Body:
        how: Body = {"num_retries": 0, "max_retries": 0, "timeout": self.options.whole_s}
        if key:
            how["api_key"] = key
        if self._base_url:
            how["api_base"] = self._base_url
        if self.options.extra_headers:
            how["extra_headers"] = dict(self.options.extra_headers)
        return how
