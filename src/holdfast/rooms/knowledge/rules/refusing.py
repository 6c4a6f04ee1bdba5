"""Whether what was found answers a question at all, and what is said when it does not.

Measured on KorQuAD's 5,774 questions: one is answerable when its paragraph is in the index, and not when the
whole article that it is of has been left out. The probability is a logistic regression, fitted on half of the
articles, on what share of the question's weight the passage holds (rare words weigh more; words that stand
nowhere weigh most) and what share of its words the passage's best sentence holds. On the other half:

    refuse_below   answerable refused   unanswerable refused
    0.1                  2 %                  71 %
    0.2                  4 %                  81 %
    0.3                  6 %                  87 %
    0.5                 10 %                  92 %

The extractive model has a second look: at 0.1 both together refuse 4 % and 85 %, at 0.2 5 % and 88 %. A
model that writes has one too, in what it is told. benchmarks/knowledge_answers.py measures the whole room.

Words alone are looked at, also where vectors are good: a paraphrase, or a question in another language, is
refused here. What a cosine says of that has not been measured, so that it counts for nothing.
"""

import math
from collections.abc import Sequence

from holdfast.kernel.text.sentences import sentences
from holdfast.kernel.text.words import TOKEN, folded, terms
from holdfast.rooms.knowledge.rules.prompts import language

SURE_ENOUGH = 0.1
"""The default of `refuse_below`: the answer that is refused wrongly is the dearer mistake."""
LOOKED_AT = 3
"""Passages that may answer by themselves; what the best three do not hold, the next ones do not either."""
_BIAS, _THERE, _HERE = -7.97, 12.13, 5.15
FEW = 0.2
"""Among a few chunks no word is rare and one that stands nowhere outweighs the rest: then words are counted
alike, less this much. In a large index it changes nothing (area under the curve .9635 for .9647)."""

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


def sure(question: str, passages: Sequence[tuple[float, str]]) -> float:
    """The probability, 0 to 1, that one of the first passages answers.

    Each is (the share of the question's weight that it holds, its text).
    """
    words = words_of(question)
    best = -math.inf
    for weight, text in passages[:LOOKED_AT] if words else ():
        there = max(weight, held(words, set(terms(text))) - FEW)
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
