"""Two rankings made one by reciprocal ranks (Cormack and others, SIGIR 2009), weighted by worth."""

from collections.abc import Mapping, Sequence

from holdfast.rooms.knowledge.rules.stored import Hit

FLAT = 20
"""How little the first ranks stand out: 60 in the paper, for runs of a thousand; here each is fifty long."""


def fused(legs: Sequence[tuple[Sequence[Hit], float]], most: int) -> list[Hit]:
    """The best `most` of all legs, each with its weight; what `held` says is kept from the leg that knows.

    One leg alone keeps its scores; of several the score is the sum of weight / (FLAT + rank).
    """
    counted = [(hits, weight) for hits, weight in legs if hits and weight > 0]
    if len(counted) == 1:
        return list(counted[0][0][:most])
    scores: dict[int, float] = {}
    known: dict[int, Hit] = {}
    for hits, weight in counted:
        for rank, hit in enumerate(hits, start=1):
            scores[hit.chunk] = scores.get(hit.chunk, 0.0) + weight / (FLAT + rank)
            if hit.chunk not in known or hit.held > known[hit.chunk].held:
                known[hit.chunk] = hit
    return _best(scores, known, most)


def _best(scores: Mapping[int, float], known: Mapping[int, Hit], most: int) -> list[Hit]:
    order = sorted(scores, key=lambda chunk: (-scores[chunk], chunk))[:most]
    return [Hit(chunk, scores[chunk], known[chunk].document_id, known[chunk].held) for chunk in order]
