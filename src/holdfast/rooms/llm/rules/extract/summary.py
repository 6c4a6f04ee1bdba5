"""A summary made of a text's own sentences: those that speak of what the text speaks of most.

Each sentence is worth the weight of its terms (how many sentences use them, damped), over the root of its
length, with a bonus for the first ones of a text: where newspapers, reports and encyclopaedias say what they
are about. Sentences are taken greedily, each weighed by what is not yet said.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from holdfast.rooms.llm.rules.extract.phrases import OURS
from holdfast.rooms.llm.rules.extract.scoring import STEP, Found, Source
from holdfast.rooms.llm.rules.extract.sentences import sentences
from holdfast.rooms.llm.rules.extract.words import terms

MOST = 5
"""Sentences of a summary, at most; a shorter text gets about the root of its number."""
LEAD = 0.5
"""What the first sentence of a text is worth more, falling to nothing by the fourth."""


def summarise(sources: Sequence[Source], most: int | None = None) -> Iterator[list[Found] | None]:
    """The sentences to keep, in the order of the text, yielded last; None at each pause before."""
    found: list[tuple[Found, frozenset[str], float]] = []
    count = 0
    for number, source in enumerate(sources):
        end = len(source.text) if source.end is None else source.end
        for at, (start, stop) in enumerate(sentences(source.text[source.start : end])):
            count += 1
            if count % STEP == 0:
                yield None
            said = source.text[start + source.start : stop + source.start]
            if said in OURS:
                continue
            words = frozenset(term for term in terms(said) if term[0] in "=#" or len(term) == 2)
            one = Found(number, start + source.start, stop + source.start, 0.0, 1.0)
            found.append((one, words, 1 + LEAD * max(0.0, 1 - at / 3)))
    kept = _greedy(found, most or max(1, min(MOST, round(math.sqrt(len(found))))))
    yield sorted(kept, key=lambda one: (one.source, one.start))


def _greedy(found: list[tuple[Found, frozenset[str], float]], most: int) -> list[Found]:
    shared = Counter(term for _, words, _ in found for term in words)
    weights = {term: math.log(1 + count) for term, count in shared.items() if count > 1 or len(found) < 4}
    left = list(range(len(found)))
    kept: list[Found] = []
    said: set[str] = set()
    while left and len(kept) < most:
        best = max(left, key=lambda at: (_worth(found[at], weights, said), -at))
        left.remove(best)
        kept.append(found[best][0])
        said |= found[best][1]
    return kept


def _worth(one: tuple[Found, frozenset[str], float], weights: dict[str, float], said: set[str]) -> float:
    _, words, lead = one
    new = sum(weights.get(term, 0.0) for term in words if term not in said)
    return lead * new / math.sqrt(len(words) + 4)
