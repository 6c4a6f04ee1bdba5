"""A summary made of a text's own sentences: those that speak of what the text speaks of most.

Each sentence is worth the weight of its terms (how many sentences use them, damped), over the root of its
length, with a bonus for the first ones of a text: where newspapers, reports and encyclopaedias say what they
are about. Sentences are taken greedily, each weighed by what is not yet said.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heapreplace

from holdfast.kernel.text.sentences import spans
from holdfast.kernel.text.words import terms
from holdfast.rooms.llm.rules.extract.phrases import OURS
from holdfast.rooms.llm.rules.extract.scoring import STEP, Found, Source

MOST = 5
"""Sentences of a summary, at most; a shorter text gets about the root of its number."""
LEAD = 0.5
"""What the first sentence of a text is worth more, falling to nothing by the fourth."""

_Weighed = tuple[Found, frozenset[str], float]
"""A sentence, its terms, and what its place is worth."""


def summarise(sources: Sequence[Source], most: int | None = None) -> Iterator[list[Found] | None]:
    """The sentences to keep, in the order of the text, yielded last; None at each pause before."""
    found: list[_Weighed] = []
    shared: Counter[str] = Counter()
    seen = set(OURS)  # what is said twice is kept once; a refusal of ours is no content
    for number, source in enumerate(sources):
        for at, (start, stop) in enumerate(spans(source.text[source.start : source.end])):
            said = source.text[start + source.start : stop + source.start]
            if said in seen:
                continue
            seen.add(said)
            words = frozenset(term for term in terms(said) if term[0] in "=#" or len(term) == 2)
            shared.update(words)
            one = Found(number, start + source.start, stop + source.start, 0.0, 1.0)
            found.append((one, words, 1 + LEAD * max(0.0, 1 - at / 3)))
            if len(found) % STEP == 0:
                yield None
    few = len(found) < 4
    weights = {term: math.log(1 + count) for term, count in shared.items() if count > 1 or few}
    heap: list[tuple[float, int]] = []
    for at, one_of in enumerate(found):
        heap.append((-_worth(one_of, weights, frozenset()), at))
        if at % (8 * STEP) == 0:
            yield None
    kept = _greedy(found, weights, heap, most or max(1, min(MOST, round(math.sqrt(len(found))))))
    yield sorted(kept, key=lambda one: (one.source, one.start))


def _greedy(
    found: list[_Weighed], weights: dict[str, float], heap: list[tuple[float, int]], most: int
) -> list[Found]:
    """Whatever is worth most beside what is kept: worth only falls, so that an old figure is a bound."""
    heapify(heap)
    kept: list[Found] = []
    said: set[str] = set()
    while heap and len(kept) < most:
        at = heap[0][1]
        now = -_worth(found[at], weights, said)
        if now > heap[0][0]:
            heapreplace(heap, (now, at))
            continue
        heappop(heap)
        kept.append(found[at][0])
        said |= found[at][1]
    return kept


def _worth(one: _Weighed, weights: dict[str, float], said: AbstractSet[str]) -> float:
    _, words, lead = one
    new = sum(weights.get(term, 0.0) for term in words if term not in said)
    return lead * new / math.sqrt(len(words) + 4)
