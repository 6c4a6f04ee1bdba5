"""Who makes vectors: a model of the service, a model in a folder, or nobody."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from holdfast.kernel.errors import Misconfigured
from holdfast.ports.model import Embedded, Model, Usage


class Embedder(Protocol):
    """Makes vectors of texts. `id` tells whose vectors compare: another id, another index."""

    id: str

    async def embed(self, texts: Sequence[str], tenant: str) -> Embedded:
        """One vector a text, in their order. Raises Problem."""
        ...


class ModelEmbedder:
    """A model behind the port Model: any endpoint that the llm room can ask."""

    def __init__(self, model: Model, name: str) -> None:
        self._model = model
        self._name = name
        self.id = f"llm:{name}"

    async def embed(self, texts: Sequence[str], tenant: str) -> Embedded:
        return await self._model.embed(texts, model=self._name, tenant=tenant)


class LocalEmbedder:
    """A model directory on this machine, run in numpy in a thread: BLAS lets the loop go on meanwhile."""

    def __init__(self, folder: str) -> None:
        try:
            from holdfast.rooms.knowledge.engine.bert import Bert
        except ImportError as error:
            raise Misconfigured(
                "a local embedder needs tokenizers and safetensors",
                hint="pip install 'holdfast[embeddings]'",
            ) from error
        self._bert = Bert.read(folder)
        self.id = f"local:{self._bert.name}"
        self._turn = asyncio.Lock()

    async def embed(self, texts: Sequence[str], tenant: str) -> Embedded:
        async with self._turn:  # two at once would fight for the same cores
            vectors, tokens = await asyncio.to_thread(self._bert.embed, list(texts))
        return Embedded(vectors.tolist(), self._bert.name, Usage(input_tokens=tokens))
