"""The dense leg: the chunks whose vectors are nearest to the question's."""

import asyncio
from collections import OrderedDict

import msgspec
import numpy as np

from holdfast.kernel.errors import Unavailable
from holdfast.rooms.knowledge.engine.embedding import Embedding, Report
from holdfast.rooms.knowledge.engine.matrix import Matrix
from holdfast.rooms.knowledge.engine.vectors import Floats, units, unpacked
from holdfast.rooms.knowledge.rules.embedding import MixedIndex
from holdfast.rooms.knowledge.rules.stored import Filter, Hit
from holdfast.rooms.knowledge.store.store import Store
from holdfast.rooms.knowledge.store.vectors import VectorStore

_INLINE = 4_000_000
"""Multiplications up to which the loop does them itself: a millisecond; handing over costs as much."""


WAIT_S = 0.5
"""Longest a question waits for its turn at the embedder; behind a bulk of documents, terms answer alone."""
EMBED_S = 3.0
"""Longest the embedder may take for a question, its turn included."""


class _Held(msgspec.Struct):
    matrix: Matrix
    turn: asyncio.Lock


class Dense:
    """Search by vectors of one embedder. Raises MixedIndex, Misconfigured, and what embedding raises.

    What is in memory is brought up to the tenant's revision before each search, so that what another process
    took in counts in this one.
    """

    def __init__(
        self,
        embedding: Embedding,
        store: Store,
        vectors: VectorStore,
        *,
        tenants: int = 64,
        embed_s: float = EMBED_S,
    ) -> None:
        self._embedding = embedding
        self._store = store
        self._vectors = vectors
        self._most_tenants = tenants
        self._embed_s = embed_s
        self._held: OrderedDict[str, _Held] = OrderedDict()

    async def search(self, where: Filter, text: str, most: int) -> list[Hit]:
        """The `most` chunks that pass the filter and are nearest, nearest first; scores are cosines.

        Raises Unavailable where the embedder is too busy or too slow for somebody who waits.
        """
        try:
            async with asyncio.timeout(self._embed_s):
                given = await self._embedding.ask([text], where.tenant, Report(), WAIT_S)
        except TimeoutError:
            raise Unavailable(
                f"the embedder took longer than {self._embed_s:g} s", hint="see how busy it is"
            ) from None
        return await self.nearest(where, units(given.vectors)[0], most)

    async def nearest(self, where: Filter, vector: Floats, most: int) -> list[Hit]:
        """The same for a unit vector that is there already."""
        passing = await self._vectors.passing(where)
        held = self._of(where.tenant)
        async with held.turn:
            await self._refresh(where.tenant, held.matrix)
            matrix = held.matrix
            if not len(matrix):
                return []
            if matrix.dims != len(vector):
                raise _lengths(self._embedding.embedder.id, len(vector), matrix.dims)
            if len(matrix) * matrix.dims <= _INLINE:
                found = matrix.nearest(vector, most, passing)
            else:
                found = await asyncio.to_thread(matrix.nearest, vector, most, passing)
        return [Hit(chunk, score) for chunk, score in found]

    def _of(self, tenant: str) -> _Held:
        held = self._held.get(tenant)
        if held is None:
            held = self._held[tenant] = _Held(Matrix(), asyncio.Lock())
            if len(self._held) > self._most_tenants:
                self._held.popitem(last=False)
        self._held.move_to_end(tenant)
        return held

    async def _refresh(self, tenant: str, matrix: Matrix) -> None:
        revision = await self._store.revision(tenant)
        if revision == matrix.revision:
            return
        serving = await self._vectors.serving(tenant)
        mine = self._embedding.embedder.id
        if strangers := [no for no, chunks, embedder in serving if embedder != mine and chunks]:
            raise MixedIndex(
                f"{len(strangers)} of {len(serving)} documents were not embedded by {mine}",
                hint="upload them again; until then terms alone are searched",
            )
        there = {no for no, _, _ in serving}
        for no in matrix.known():
            if no not in there:
                matrix.drop(no)
        for no in sorted(there.difference(matrix.known())):
            rows = await self._vectors.of_version(no, mine)
            lengths = {dims for _, dims, _ in rows} | ({matrix.dims} if matrix.dims else set())
            if len(lengths) > 1:
                raise _lengths(mine, *sorted(lengths)[:2])
            dims = lengths.pop() if lengths else 0
            chunks = np.array([chunk for chunk, _, _ in rows], np.int64)
            matrix.add(no, chunks, unpacked([blob for _, _, blob in rows], dims))
        matrix.revision = revision


def _lengths(embedder: str, one: int, other: int) -> MixedIndex:
    return MixedIndex(
        f"vectors of {embedder} have {one} and {other} dimensions",
        hint="give the embedder another name in the settings, and upload the documents again",
    )
