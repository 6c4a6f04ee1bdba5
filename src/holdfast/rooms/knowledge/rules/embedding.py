"""What to embed at once, and what a batch that failed allows: the same again, its halves, nothing more."""

from collections.abc import Iterator, Sequence
from enum import Enum

import msgspec

from holdfast.kernel.errors import Misconfigured, Problem
from holdfast.kernel.text.graphemes import cut


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast an embedder may be asked, by all processes together."""

    requests_per_minute: float = 1_000.0
    tokens_per_minute: float = 1_000_000.0
    burst_s: float = 3.0
    """How many seconds' worth may be asked at once after a pause."""


class Batching(msgspec.Struct, frozen=True, kw_only=True):
    """How chunks are put together."""

    size: int = 64
    """Chunks in one request."""
    concurrency: int = 3
    """Requests under way at once, of one document."""
    tokens: int = 32_000
    """Most in one request, as estimated; a chunk larger than that goes alone."""
    attempts: int = 5
    """Tries of one request, the first included."""
    longest_tokens: int = 8_000
    """A text is cut there: what embedders read at most."""


class Input(msgspec.Struct, frozen=True):
    """A text to be embedded, with what its vector is kept under."""

    text_hash: str
    text: str


class Way(Enum):
    """What happens to a batch that failed."""

    AGAIN = "again"
    HALVES = "halves"
    POISON = "poison"
    GIVE_UP = "give up"


class UnfitVector(Problem):
    """What the embedder gave is no vector that could be compared."""

    code = "knowledge-unfit-vector"
    status = 502


class OtherLength(UnfitVector):
    """A vector has another length than the others: the embedder's doing, never a text's."""


class MixedIndex(Misconfigured):
    """Vectors of different embedders cannot be searched together."""

    code = "knowledge-mixed-index"


class EmbedderRefuses(Problem):
    """The embedder takes none of the texts."""

    code = "knowledge-embedder-refuses"
    status = 502


REFUSED = frozenset({400, 413, 422})
"""What a text may be at fault for. An endpoint that is down (502) says nothing about any text."""
ALL_REFUSED = 8
"""Texts refused one by one, and none taken, after which it is the embedder and not the texts."""
HALVES_ATTEMPTS = 2
"""Tries of a part of a batch that has failed already."""
BYTES_PER_TOKEN = 3.0
"""To begin with: Korean has about three bytes a token, English four; what is used corrects it."""


def tokens_of(text: str, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    """About how many tokens a text has, by its bytes: words tell little of Korean.

    >>> tokens_of("한국어"), tokens_of("")
    (4, 1)
    """
    return int(len(text.encode("utf-8", "surrogatepass")) / bytes_per_token) + 1


def shortened(text: str, most_tokens: int) -> str:
    """The text, cut between characters where it is longer than an embedder reads."""
    return cut(text, int(most_tokens * BYTES_PER_TOKEN))


def batches(inputs: Sequence[Input], how: Batching) -> Iterator[list[Input]]:
    """The inputs in order, as many at once as size and tokens allow; one that is too large goes alone."""
    batch: list[Input] = []
    held = 0
    for each in inputs:
        tokens = tokens_of(each.text)
        if batch and (len(batch) >= how.size or held + tokens > how.tokens):
            yield batch
            batch, held = [], 0
        batch.append(each)
        held += tokens
    if batch:
        yield batch


def halves(batch: list[Input]) -> tuple[list[Input], list[Input]]:
    """Both halves of a batch of two or more."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def way_on(problem: Problem, size: int, tries: int, attempts: int) -> Way:
    """What a failure of a batch of `size` texts, after so many tries, allows."""
    if problem.retryable and tries < attempts:
        return Way.AGAIN
    if problem.status in REFUSED or isinstance(problem, UnfitVector):
        return Way.HALVES if size > 1 else Way.POISON
    return Way.GIVE_UP


def pause_s(problem: Problem, tries: int) -> float:
    """Seconds before the next try: as told, else 1, 2, 4, 8."""
    if problem.retry_after_s is not None:
        return problem.retry_after_s
    return float(1 << min(tries - 1, 6))
