"""Anthropic's Messages API behind OpenAI's shape."""

from collections.abc import AsyncGenerator

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.rooms.llm.providers.endpoint import Endpoint, Options
from holdfast.rooms.llm.providers.provider import Body
from holdfast.rooms.llm.providers.transport import Fields, Transport
from holdfast.rooms.llm.rules.anthropic_answers import AnthropicChunks, completion
from holdfast.rooms.llm.rules.anthropic_requests import in_format_tool, request
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

VERSION = "2023-06-01"


class AnthropicProvider:
    """Chat and streams of one deployment; `base_url` of the transport is `https://api.anthropic.com/v1`."""

    name = "anthropic"

    def __init__(
        self, transport: Transport, options: Options | None = None, *, clock: Clock | None = None
    ) -> None:
        self.options = options or Options()
        self._clock = clock or SystemClock()
        self._endpoint = Endpoint(transport, self.options, self._clock, self._fields)

    @property
    def malformed(self) -> int:
        """Events of streams that were passed over because they were no JSON."""
        return self._endpoint.malformed

    async def chat(self, body: Body, key: str) -> Body:
        """A whole `chat.completion`, translated."""
        asked = request(body, self.options.max_tokens)
        found = await self._endpoint.whole("/messages", asked, key)
        return completion(found, int(self._clock.wall()), in_format_tool(body))

    async def stream(self, body: Body, key: str) -> AsyncGenerator[Body, None]:
        """`chat.completion.chunk`s, translated; the usage in a last one."""
        asked = {**request(body, self.options.max_tokens), "stream": True}
        chunks = AnthropicChunks(int(self._clock.wall()), in_format_tool(body))
        streamed = self._endpoint.stream("/messages", asked, key, chunks)
        try:
            async for chunk in streamed:
                yield chunk
        finally:
            await streamed.aclose()

    async def embed(self, body: Body, key: str) -> Body:
        """Anthropic has no embeddings: always ProviderFailed(NOT_FOUND)."""
        raise ProviderFailed(Kind.NOT_FOUND, "Anthropic has no embeddings: name another provider's model")

    async def close(self) -> None:
        """Close the transport."""
        await self._endpoint.transport.close()

    def _fields(self, key: str) -> Fields:
        fields = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("anthropic-version", self.options.api_version or VERSION),
        ]
        if key and self.options.auth != "none":
            bearer = self.options.auth == "bearer"
            fields.append(("authorization", f"Bearer {key}") if bearer else ("x-api-key", key))
        return tuple(fields)
