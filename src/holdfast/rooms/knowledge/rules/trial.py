"""Whether an embedder is worth listening to on this index, and how much.

The trial: of a sample of the index's own chunks, the first sentence is taken away and asked for; the embedder
and the lexical leg both rank what is left of each chunk. An embedder that does not know the language (an
English one on Korean) finds little, and fused in regardless it would pull the good leg down with it: measured
on KorQuAD, R@1 .885 with terms alone, .057 with an English MiniLM, .197 with both by equal ranks.
"""

from collections.abc import Sequence

import msgspec

from holdfast.kernel.text.sentences import sentences

SAMPLE = 64
"""Chunks that are tried."""
FEWEST = 8
"""With fewer, chance decides: no verdict, not fused."""
PASS = 0.6
"""Share of the lexical leg's mean reciprocal rank that the embedder must reach."""
HEAVIEST = 1.5
GROWN = 4
"""Times the chunks of the last trial after which there is another."""
_SHORTEST_QUESTION, _SHORTEST_REST = 8, 30
"""Characters; a Korean sentence has few."""


class Trial(msgspec.Struct, frozen=True):
    """What came of a trial."""

    sample: int
    dense: float
    """Mean reciprocal rank of the embedder over the sample."""
    lexical: float
    """The same of the lexical leg."""
    chunks: int
    """How many chunks the index had."""
    at_ms: int


class Case(msgspec.Struct, frozen=True):
    """A chunk's first sentence, and the rest of it."""

    question: str
    rest: str


def case_of(text: str) -> Case | None:
    """The case that a chunk makes; None for one of a single sentence, or too short.

    >>> case_of("Bees live in hives. They make honey all summer long, and more of it.").question
    'Bees live in hives.'
    """
    spans = sentences(text)
    if len(spans) < 2:
        return None
    start, end = spans[0]
    question, rest = text[start:end], text[spans[1][0] :]
    if len(question) < _SHORTEST_QUESTION or len(rest) < _SHORTEST_REST:
        return None
    return Case(question, rest)


def mean_reciprocal(ranks: Sequence[int]) -> float:
    """The mean of 1/rank; 0 for none."""
    return sum(1 / rank for rank in ranks) / len(ranks) if ranks else 0.0


def weight(trial: Trial | None) -> float:
    """What the embedder's ranks count where the lexical leg's count 1; 0: it is not asked.

    >>> weight(Trial(64, 0.1, 0.8, 900, 0)), weight(Trial(64, 0.8, 0.8, 900, 0)), weight(None)
    (0.0, 1.0, 0.0)
    """
    if trial is None or trial.sample < FEWEST:
        return 0.0
    share = trial.dense / max(trial.lexical, 0.05)
    return min(HEAVIEST, share) if share >= PASS else 0.0


def verdict(trial: Trial | None) -> str:
    """The trial's outcome in words."""
    if trial is None:
        return "not tried yet"
    if trial.sample < FEWEST:
        return f"too few chunks to judge by: {trial.sample}, at least {FEWEST}"
    figures = f"mean reciprocal rank {trial.dense:.2f}, terms {trial.lexical:.2f}, on {trial.sample} chunks"
    return f"{'fused' if weight(trial) else 'not fused: too far behind'}; {figures}"


def is_due(trial: Trial | None, chunks: int) -> bool:
    """Whether to try (again): there was no trial, it had too few chunks, or the index has grown since."""
    return (
        trial is None or chunks >= GROWN * trial.chunks or (trial.sample < FEWEST and chunks > trial.chunks)
    )
