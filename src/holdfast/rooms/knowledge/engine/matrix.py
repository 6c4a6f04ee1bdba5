"""A tenant's vectors in memory: rows by version, grown in place, with holes where versions went."""

from collections.abc import Container
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.knowledge.engine.vectors import Floats, best

EXACT = 200_000
"""Rows up to which every one is compared (4 to 7 ms at 384 dimensions, as fast as memory is read); beyond,
the nearest are found in a graph, if a library for it is installed."""
FILTERED = 20_000
"""Rows that a filter leaves up to which they are compared one by one also beyond EXACT."""
_FIRST = 1_024


class Graph(Protocol):
    """An approximate index, as usearch gives it."""

    def add(self, keys: Any, vectors: Any) -> Any: ...
    def remove(self, keys: Any) -> Any: ...
    def search(self, vectors: Any, count: int) -> Any: ...


class Matrix:
    """Unit vectors and the chunks they are of. Not for two threads at once."""

    def __init__(self, exact: int = EXACT) -> None:
        self.revision = -1
        self._exact = exact
        self._rows: Floats = np.zeros((0, 0), np.float32)
        self._chunks: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._alive: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._used = 0
        self._spans: dict[int, tuple[int, int]] = {}
        self._graph: Graph | None = None

    @property
    def versions(self) -> Container[int]:
        return self._spans.keys()

    def known(self) -> list[int]:
        """The versions that have rows here, or are known to have none."""
        return list(self._spans)

    @property
    def dims(self) -> int:
        """0 where there is no row."""
        return int(self._rows.shape[1])

    def __len__(self) -> int:
        return sum(end - begin for begin, end in self._spans.values())

    def add(self, version: int, chunks: npt.NDArray[np.int64], rows: Floats) -> None:
        """Take in a version's rows, of `dims` dimensions where there are some already."""
        end = self._used + len(chunks)
        if len(chunks):
            self._room(end, rows.shape[1])
            self._rows[self._used : end] = rows
            self._chunks[self._used : end] = chunks
            self._alive[self._used : end] = True
            if self._graph is not None:
                self._graph.add(np.arange(self._used, end), rows)
        self._spans[version] = (self._used, end)
        self._used = end
        if self._graph is None and self._used > self._exact:
            self._graph = _graph(self.dims)
            self._graph.add(
                np.flatnonzero(self._alive[: self._used]), self._rows[: self._used][self._alive[: self._used]]
            )

    def drop(self, version: int) -> None:
        """Forget a version; the holes are closed when they are more than the rows."""
        begin, end = self._spans.pop(version)
        self._alive[begin:end] = False
        if self._graph is not None and end > begin:
            self._graph.remove(np.arange(begin, end))
        if self._used > _FIRST and 2 * len(self) < self._used:
            self._close()

    def nearest(
        self, vector: Floats, most: int, versions: list[int] | None = None
    ) -> list[tuple[int, float]]:
        """(chunk, cosine) of the nearest rows, nearest first; only of these versions, if given."""
        if versions is not None:
            spans = [self._spans[each] for each in versions if each in self._spans]
            at = np.concatenate([np.arange(*span) for span in spans]) if spans else np.zeros(0, np.intp)
            if self._graph is None or len(at) <= FILTERED:
                return self._compared(at, vector, most)
            return self._searched(vector, most, np.isin(np.arange(self._used), at))
        if self._graph is not None:
            return self._searched(vector, most, self._alive[: self._used])
        scores = self._rows[: self._used] @ vector if self._used else np.zeros(0, np.float32)
        scores[~self._alive[: self._used]] = -2.0
        order = best(scores, most)
        return [(int(self._chunks[at]), float(scores[at])) for at in order if scores[at] > -2.0]

    def _compared(self, at: npt.NDArray[np.intp], vector: Floats, most: int) -> list[tuple[int, float]]:
        scores: Floats = self._rows[at] @ vector
        return [(int(self._chunks[at[place]]), float(scores[place])) for place in best(scores, most)]

    def _searched(self, vector: Floats, most: int, allowed: npt.NDArray[np.bool_]) -> list[tuple[int, float]]:
        """From the graph, which knows no filter: more and more of it, until enough pass."""
        assert self._graph is not None
        count = 2 * most
        while True:
            found = np.asarray(self._graph.search(vector, min(count, self._used)).keys).astype(np.intp)
            passing = found[allowed[found]]
            if len(passing) >= most or count >= min(self._used, FILTERED):
                return self._compared(passing, vector, most)
            count *= 4

    def _room(self, end: int, dims: int) -> None:
        if end <= len(self._rows):
            return
        size = max(_FIRST, end, len(self._rows) + len(self._rows) // 2)
        rows = np.zeros((size, dims), np.float32)
        if self._used:
            rows[: self._used] = self._rows[: self._used]
        self._rows = rows
        chunks = np.zeros(size, np.int64)
        chunks[: self._used] = self._chunks[: self._used]
        self._chunks = chunks
        alive = np.zeros(size, np.bool_)
        alive[: self._used] = self._alive[: self._used]
        self._alive = alive

    def _close(self) -> None:
        kept = {
            version: (self._chunks[a:b].copy(), self._rows[a:b].copy())
            for version, (a, b) in self._spans.items()
        }
        revision = self.revision
        self.__init__(self._exact)  # type: ignore[misc] # begins again, with what is left
        self.revision = revision
        for version, (chunks, rows) in kept.items():
            self.add(version, chunks, rows)


def _graph(dims: int) -> Graph:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise Misconfigured(
            f"more than {EXACT:,} vectors need an index of their own",
            hint="pip install 'holdfast[ann]', or search by terms alone: `embedder = \"none\"`",
        ) from error
    made: Graph = Index(ndim=dims, metric="ip", dtype="f16")
    return made
