"""Vectors as numbers: checked when they come, kept as half floats, compared as one matrix."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from holdfast.rooms.knowledge.rules.embedding import OtherLength, UnfitVector

Floats = npt.NDArray[np.float32]


def units(vectors: Sequence[Sequence[float]], dims: int | None = None) -> Floats:
    """The vectors with length 1, a row each. Raises UnfitVector for what no cosine can be had of.

    `dims`: what they must have; None: what the first has.
    """
    wanted = len(vectors[0]) if dims is None and vectors else dims or 0
    for vector in vectors:
        if len(vector) != wanted or not wanted:
            kind = OtherLength if vector and wanted else UnfitVector
            raise kind(
                f"a vector has {len(vector)} dimensions, not {wanted}",
                hint="one embedder gives one length: see which model the endpoint serves",
            )
    rows = np.asarray(vectors, np.float32).reshape(len(vectors), wanted)
    if not np.isfinite(rows).all():
        raise UnfitVector("a vector has NaN or infinity in it", hint="see what the endpoint serves")
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    if not (lengths > 1e-12).all():
        raise UnfitVector("a vector is zero", hint="see what the endpoint serves; empty texts have none")
    made: Floats = (rows / lengths[:, None]).astype(np.float32)
    return made


def packed(row: Floats) -> bytes:
    """A unit vector as half floats, little end first: half the room, and cosines to three digits."""
    return row.astype("<f2").tobytes()


def unpacked(blobs: Sequence[bytes], dims: int) -> Floats:
    """Packed vectors as a matrix."""
    halves = np.frombuffer(b"".join(blobs), "<f2")
    return halves.reshape(len(blobs), dims).astype(np.float32)


def best(scores: Floats, most: int) -> npt.NDArray[np.intp]:
    """The places of the `most` highest scores, highest first."""
    if len(scores) > most:
        near = np.argpartition(-scores, most - 1)[:most]
        return near[np.argsort(-scores[near], kind="stable")]
    return np.argsort(-scores, kind="stable")
