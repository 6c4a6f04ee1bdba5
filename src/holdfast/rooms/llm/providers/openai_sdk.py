"""The official openai client as a provider, for deployments that only it can sign requests for.

It costs many times the processor time of our own adapter (benchmarks/llm_client.py), and its pool is what
the lane is there to avoid: prefer OpenAIProvider where a key and a URL are enough.
"""

import importlib
from collections.abc import AsyncGenerator
from typing import Any

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.providers.endpoint import Options
from holdfast.rooms.llm.providers.provider import Body
from holdfast.rooms.llm.providers.sdk import as_body, ours, streamed
from holdfast.rooms.llm.providers.transport import Limits
from holdfast.rooms.llm.rules.replies import vectors, whole_chat

_NAMED = ("model", "messages", "input", "stream", "stream_options")
_KEYS = 64


class OpenAISdkProvider:
    """Calls through `openai.AsyncOpenAI` with its own retries off, or through a client of yours."""

    name = "openai_sdk"

    def __init__(
        self,
        base_url: str = "",
        options: Options | None = None,
        limits: Limits | None = None,
        *,
        client: Any = None,
        clock: Clock | None = None,
    ) -> None:
        self.options = options or Options()
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        self._client = client.with_options(max_retries=0) if client is not None else self._made(base_url)
        self._given = client is not None
        self._keyed: dict[str, Any] = {}

    async def chat(self, body: Body, key: str) -> Body:
        """A whole `chat.completion`."""
        named, more = _split(body)
        named.pop("stream", None)
        named.pop("stream_options", None)
        with ours(body, key, self._clock):
            found = await self._with(key).chat.completions.create(**named, extra_body=more)
            return whole_chat(as_body(found))

    async def stream(self, body: Body, key: str) -> AsyncGenerator[Body, None]:
        """`chat.completion.chunk`s as they come."""
        named, more = _split(body)
        named["stream"] = True
        if self.options.include_usage:
            named["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        with ours(body, key, self._clock):
            opened = await self._with(key).chat.completions.create(**named, extra_body=more)
        chunks = streamed(opened, body, key, self._clock)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()
            await opened.close()

    async def embed(self, body: Body, key: str) -> Body:
        """An embeddings `list`."""
        named, more = _split(body)
        # The client asks for base64 and unpacks it unless it is told a format.
        more = {"encoding_format": "float", **more}
        with ours(body, key, self._clock):
            found = await self._with(key).embeddings.create(
                **named, encoding_format=more.pop("encoding_format"), extra_body=more
            )
            return vectors(as_body(found), body)

    async def close(self) -> None:
        """Close the client, unless it is yours."""
        if not self._given:
            await self._client.close()

    def _made(self, base_url: str) -> Any:
        try:
            openai = importlib.import_module("openai")
        except ImportError:
            raise Misconfigured(
                "the provider openai_sdk needs the openai client", hint="pip install 'holdfast[openai]'"
            ) from None
        return openai.AsyncOpenAI(
            api_key="unset",
            base_url=base_url or None,
            organization=self.options.organization or None,
            project=self.options.project or None,
            default_headers=dict(self.options.extra_headers),
            timeout=openai.Timeout(self.options.whole_s, connect=self._limits.connect_s),
            max_retries=0,
        )

    def _with(self, key: str) -> Any:
        """The client with this key, over the same pool; without one, with the key it has."""
        if not key:
            return self._client
        known = self._keyed.get(key)
        if known is None:
            if len(self._keyed) >= _KEYS:
                self._keyed.clear()
            known = self._keyed[key] = self._client.with_options(api_key=key)
        return known


def _split(body: Body) -> tuple[Body, Body]:
    """What the client names itself, and the rest, which it passes on as it is."""
    named = {name: body[name] for name in _NAMED if name in body}
    return named, {name: value for name, value in body.items() if name not in _NAMED}
