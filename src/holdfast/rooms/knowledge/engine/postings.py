"""A tenant's terms in memory: for each, the chunks that hold it and how often; ranked without the database.

Nothing of it changes once it is made: what has come and gone since makes another one.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.rooms.knowledge.engine.ranking import Matches, best, bm25, damping
from holdfast.rooms.knowledge.rules.stored import CHUNK_BITS, Hit, version_of
from holdfast.rooms.knowledge.rules.unpacking import unpacked
from holdfast.rooms.knowledge.rules.words import signature, worth
from holdfast.rooms.knowledge.store.index import Packed

MOST_ROWS = 1 << 16
"""Chunks that can be told apart: a chunk's place is two bytes, of which there are hundreds a chunk."""


class Postings:
    """All chunks of some versions by their terms."""

    def __init__(
        self,
        documents: Mapping[int, str],
        chunks: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        signs: npt.NDArray[np.uint32],
        rows: npt.NDArray[np.uint16],
        times: npt.NDArray[np.uint8],
    ) -> None:
        """`documents`: the document of each version.

        Of each pair of term and chunk, in the terms' order: `signs` the term, `rows` the chunk by its place,
        `times` how often.
        """
        self._documents = documents
        self._chunks = chunks
        self._lengths = lengths
        self._rows = rows
        self._times = times
        begins = np.flatnonzero(np.diff(signs, prepend=~signs[:1]))
        self._signs = signs[begins]
        self._bounds = np.append(begins, len(signs))
        self._damping = damping(lengths, max(1.0, float(lengths.mean())) if len(lengths) else 1.0)

    def __len__(self) -> int:
        """How many pairs of term and chunk: three bytes each."""
        return len(self._rows)

    @property
    def versions(self) -> Collection[int]:
        return self._documents.keys()

    def best(self, terms: Sequence[str], most: int) -> list[Hit]:
        """The best `most` chunks for these terms, each once; best first."""
        if not len(self._signs):
            return []
        signs = np.array([signature(term) for term in terms], np.uint32)
        place = np.minimum(np.searchsorted(self._signs, signs), len(self._signs) - 1)
        begins = self._bounds[place]
        held = np.where(self._signs[place] == signs, self._bounds[place + 1] - begins, 0)
        # Each term's run of pairs, one behind the other: where it begins, less what stands before it.
        before = np.cumsum(held) - held
        pairs = np.arange(held.sum()) + np.repeat(begins - before, held)
        found = Matches(self._rows[pairs], np.repeat(np.arange(len(terms)), held), self._times[pairs])
        chunks = len(self._chunks)
        weights = np.array([worth(term, n, chunks) for term, n in zip(terms, held.tolist(), strict=True)])
        return best(self._chunks, bm25(self._damping, found, weights), most, self._documents)

    def changed(self, documents: Mapping[int, str], come: Iterable[Packed]) -> "Postings":
        """The postings of these versions: what is here of them, and of the rest what has come."""
        fresh = [row for row in come if version_of(row.chunk) in documents]
        sizes, signs, times = unpacked([row.counts for row in fresh])
        stays = np.isin(self._chunks >> CHUNK_BITS, list(documents))
        kept = int(stays.sum())
        if kept + len(fresh) > MOST_ROWS:
            raise ValueError(f"{kept + len(fresh)} chunks, at most {MOST_ROWS}")
        pairs = stays[self._rows]
        place = (np.cumsum(stays) - 1).astype(np.uint16)
        rows = np.arange(kept, kept + len(fresh)).astype(np.uint16)
        signs = np.append(np.repeat(self._signs, np.diff(self._bounds))[pairs], signs)
        order = np.argsort(signs, kind="stable")
        return Postings(
            documents,
            np.append(self._chunks[stays], np.array([row.chunk for row in fresh], np.int64)),
            np.append(self._lengths[stays], np.array([row.length for row in fresh], np.int64)),
            signs[order],
            np.append(place[self._rows[pairs]], np.repeat(rows, sizes))[order],
            np.append(self._times[pairs], times)[order],
        )


def nothing() -> Postings:
    """The postings of no chunk at all."""
    none = np.zeros(0, np.int64)
    return Postings({}, none, none, none.astype(np.uint32), none.astype(np.uint16), none.astype(np.uint8))
