"""Whether what was found answers a question at all, and what is said when it does not.

The probability comes from how much of the question the best passage and its best sentence hold.
"""

import math
from collections.abc import Sequence

from holdfast.kernel.text.sentences import sentences
from holdfast.kernel.text.words import TOKEN, folded, terms
from holdfast.rooms.knowledge.rules.prompts import language

SURE_ENOUGH = 0.5
LOOKED_AT = 3
"""Passages that may answer by themselves; what the best three do not hold, the next ones do not either."""
_BIAS, _THERE, _HERE = -7.5, 8.0, 5.0

_NOTHING = {
    "ko": "저장된 문서에서 이 질문과 관련된 내용을 찾지 못했습니다.",
    "en": "I found nothing about this in the documents.",
}
_NOT_SURE = {
    "ko": "저장된 문서에서 이 질문의 답을 찾지 못했습니다. 가장 가까운 내용은 {closest}에 있습니다.",
    "en": "I found no answer to this in the documents. The closest is in {closest}.",
}


def words_of(question: str) -> list[tuple[str, ...]]:
    """The question's words, each as its terms; words that tell nothing are left out."""
    return [found for word in TOKEN.findall(folded(question)) if (found := tuple(terms(word)))]


def held(words: Sequence[tuple[str, ...]], known: set[str]) -> float:
    """The share of the words that are known; one of which parts are known counts in part."""
    if not words:
        return 0.0
    return sum(_part(word, known) for word in words) / len(words)


def sure(question: str, passages: Sequence[str]) -> float:
    """The probability, 0 to 1, that one of the first passages answers."""
    words = words_of(question)
    if not words:
        return 0.0
    best = -math.inf
    for text in passages[:LOOKED_AT]:
        there = held(words, set(terms(text)))
        here = max((held(words, set(terms(text[a:b]))) for a, b in sentences(text)), default=0.0)
        best = max(best, _BIAS + _THERE * there + _HERE * here)
    return 1 / (1 + math.exp(-best)) if best > -math.inf else 0.0


def refusal(question: str, closest: Sequence[str]) -> str:
    """What is said instead of an answer, in the question's language; `closest` are titles."""
    spoken = language(question)
    if not closest:
        return _NOTHING[spoken]
    named = ", ".join(f"“{title}”" for title in dict.fromkeys(closest))
    return _NOT_SURE[spoken].format(closest=named)


def _part(word: tuple[str, ...], known: set[str]) -> float:
    if word[-1] in known:
        return 1.0
    return 0.8 * sum(term in known for term in word) / len(word)
