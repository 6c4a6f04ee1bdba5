"""Any endpoint that speaks OpenAI's API: OpenAI, Azure, vLLM, Ollama, Groq, Gemini's compatible face."""

from collections.abc import AsyncGenerator
from urllib.parse import quote

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.rooms.llm.providers.endpoint import Endpoint, Options
from holdfast.rooms.llm.providers.provider import Body
from holdfast.rooms.llm.providers.transport import Fields, Transport
from holdfast.rooms.llm.rules.chunks import OpenAIChunks, choices_of
from holdfast.rooms.llm.rules.replies import vectors, whole_chat

JSON_FIELDS: Fields = (
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
)


class OpenAIProvider:
    """Chat, streams and embeddings of one deployment; the model's name is the body's business.

    `base_url` of the transport ends where `/chat/completions` begins: `https://api.openai.com/v1`, or
    Azure's `https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT` with `auth` and `api_version` set.
    """

    name = "openai"

    def __init__(
        self, transport: Transport, options: Options | None = None, *, clock: Clock | None = None
    ) -> None:
        self.options = options or Options()
        self._endpoint = Endpoint(transport, self.options, clock or SystemClock(), self._fields)
        version = self.options.api_version
        self._query = f"?api-version={quote(version, safe='')}" if version else ""

    @property
    def malformed(self) -> int:
        """Events of streams that were passed over because they were no JSON or no chunks."""
        return self._endpoint.malformed

    async def chat(self, body: Body, key: str) -> Body:
        """A whole `chat.completion`: choices with a finish_reason each. `usage` may be missing."""
        asked = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
        return whole_chat(await self._endpoint.whole(f"/chat/completions{self._query}", asked, key))

    def stream(self, body: Body, key: str) -> AsyncGenerator[Body, None]:
        """`chat.completion.chunk`s as they come; ends when every choice has ended, else raises."""
        asked: Body = {**body, "stream": True}
        if self.options.include_usage:
            asked["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        else:
            asked.pop("stream_options", None)
        path = f"/chat/completions{self._query}"
        return self._endpoint.stream(path, asked, key, OpenAIChunks(choices_of(body)))

    async def embed(self, body: Body, key: str) -> Body:
        """An embeddings `list`: as many vectors as inputs, of one length, finite."""
        return vectors(await self._endpoint.whole(f"/embeddings{self._query}", body, key), body)

    async def close(self) -> None:
        """Close the transport."""
        await self._endpoint.transport.close()

    def _fields(self, key: str) -> Fields:
        options = self.options
        fields = list(JSON_FIELDS)
        if key and options.auth in ("usual", "bearer"):
            fields.append(("authorization", f"Bearer {key}"))
        elif key and options.auth == "api-key":
            fields.append(("api-key", key))
        if options.organization:
            fields.append(("openai-organization", options.organization))
        if options.project:
            fields.append(("openai-project", options.project))
        return tuple(fields)
