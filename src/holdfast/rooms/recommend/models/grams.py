"""Text as hashed character n-grams: the same numbers on every machine, in every process, in any language.

Characters, not words: Korean particles and compounds share most of their n-grams with their stems, and a
typing error costs a few n-grams instead of the word. The hash is a fixed integer mix (the finaliser of
MurmurHash3), never Python's salted `hash`.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

SIZES = (2, 3, 4)
BUCKETS = 1 << 20
MAX_CHARS = 4_000
"""Characters of one text that are read; an item's description says what it is before that."""

_SPACE = np.uint32(0x20)
_BREAK = np.uint32(0)
_TAG_SEED = 0x7461672E


def normalised(text: str) -> str:
    """NFKC, case folded, every run of white space and control characters one space."""
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARS]).casefold()
    return " ".join("".join(" " if ord(sign) < 32 else sign for sign in folded).split())


def gram_counts(texts: Sequence[str], tags: Sequence[Sequence[str]], tag_count: float) -> csr_matrix:
    """Shape (texts, BUCKETS): how often each n-gram occurs, and `tag_count` for each tag."""
    rows, buckets = _text_grams(texts)
    tag_rows, tag_buckets = _tag_grams(tags)
    counts = np.concatenate(
        [np.ones(rows.size, dtype=np.float32), np.full(tag_rows.size, tag_count, dtype=np.float32)]
    )
    places = (np.concatenate([rows, tag_rows]), np.concatenate([buckets, tag_buckets]))
    found = csr_matrix((counts, places), shape=(len(texts), BUCKETS))
    found.sum_duplicates()
    return found


def tag_key(tag: str) -> str:
    """A tag as it is compared: ` Sci-Fi` and `sci-fi` are one."""
    return normalised(tag)


def _text_grams(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    joined = "\0".join(f" {text} " if (text := normalised(raw)) else "" for raw in texts)
    signs = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32)
    document = np.cumsum(signs == _BREAK, dtype=np.int64)
    rows, buckets = [], []
    for size in SIZES:
        span = signs.size - size + 1
        if span <= 0:
            continue
        mixed = np.full(span, size, dtype=np.uint32)
        inside = np.ones(span, dtype=bool)
        for offset in range(size):
            sign = signs[offset : offset + span]
            mixed = _mix(mixed * np.uint32(31) + sign)
            inside &= sign != _BREAK
            if 0 < offset < size - 1:
                inside &= sign != _SPACE  # an n-gram may touch a word's edge, never straddle two words
        kept = np.flatnonzero(inside)
        rows.append(document[kept])
        buckets.append((mixed[kept] % np.uint32(BUCKETS)).astype(np.int64))
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *rows]), np.concatenate([nothing, *buckets])


def _tag_grams(tags: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    known: dict[str, int] = {}
    rows, buckets = [], []
    for row, names in enumerate(tags):
        for key in {tag_key(name) for name in names} - {""}:
            if key not in known:
                known[key] = _tag_bucket(key)
            rows.append(row)
            buckets.append(known[key])
    return np.asarray(rows, dtype=np.int64), np.asarray(buckets, dtype=np.int64)


def _tag_bucket(key: str) -> int:
    mixed = np.asarray([_TAG_SEED], dtype=np.uint32)
    for sign in key:
        mixed = _mix(mixed * np.uint32(31) + np.uint32(ord(sign)))
    return int(mixed[0] % BUCKETS)


def _mix(value: NDArray[np.uint32]) -> NDArray[np.uint32]:
    value = (value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    value = (value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return value ^ (value >> np.uint32(16))
