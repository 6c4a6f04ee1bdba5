"""What a provider is: bodies in OpenAI's shape go in, whole answers and chunks in OpenAI's shape come out."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol

Body = dict[str, Any]
"""A JSON object as msgspec decodes it; never changed by who gets it."""


class Provider(Protocol):
    """One way to reach models. Raises ProviderFailed and nothing else for whatever goes wrong there.

    A provider keeps the limits of connecting and of the first byte itself; its caller those of the first
    token, of idle streams and of the whole. It retries nothing. Cancelled or closed, it stops upstream at
    once.
    """

    name: str
    """`openai`, `anthropic`, `extractive`: the adapter, as it stands in metrics."""

    async def chat(self, body: Body, key: str) -> Body:
        """A whole `chat.completion`: choices with a finish_reason each. `usage` may be missing."""
        ...

    def stream(self, body: Body, key: str) -> AsyncGenerator[Body, None]:
        """`chat.completion.chunk`s, every field of every delta as it came, and the usage where it is given.

        Ends only after each choice has had its finish_reason; else raises ProviderFailed(CUT).
        """
        ...

    async def embed(self, body: Body, key: str) -> Body:
        """An embeddings `list`: as many vectors as inputs, of one length, finite."""
        ...

    async def close(self) -> None:
        """Close what is kept open."""
        ...
