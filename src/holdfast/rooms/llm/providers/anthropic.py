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
        asked, in_tool = self._asked(body)
        found = await self._endpoint.whole("/messages", asked, key)
        return completion(found, int(self._clock.wall()), in_tool)

    async def stream(self, body: Body, key: str) -> AsyncGenerator[Body, None]:
        """`chat.completion.chunk`s, translated; the usage in a last one."""
        asked, in_tool = self._asked(body)
        chunks = AnthropicChunks(int(self._clock.wall()), in_tool)
        streamed = self._endpoint.stream("/messages", {**asked, "stream": True}, key, chunks)
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

    def _asked(self, body: Body) -> tuple[Body, bool]:
        """The request, translated, and whether the answer comes through a tool. Raises ProviderFailed.

        The shape of what a caller sends is ours to judge only in part. What the translation stumbles over is
        the caller's fault, and must not be held against the deployment.
        """
        try:
            return request(body, self.options.max_tokens), in_format_tool(body)
        except (TypeError, AttributeError, ValueError, KeyError) as error:
            said = f"the request cannot be put in Anthropic's words: {error}"
            raise ProviderFailed(Kind.BAD_REQUEST, said[:200]) from error

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
