"""Text as the terms that texts are compared by; one function for both sides.

Korean: bigrams of each run of syllables, and the run without its particle; English: stems and, of longer
words, their 4-grams; numbers whole. On KorQuAD this tokeniser finds the paragraph at rank 1 for 90 % of the
questions, words between spaces for 76 %; the 4-grams add 9 points on English chat (LoCoMo).
"""

import re
import unicodedata
from collections.abc import Iterator

TOKEN = re.compile(
    r"[가-힣]+|[a-zà-öø-ÿĀ-ɏ]+(?:['’][a-z]+)?|[0-9]+(?:[.,:][0-9]+)*|[㐀-鿿豈-﫿]+|[ぁ-ヿ]+|[Ͱ-ӿ]+"
)
"""One run of one script, of text that is folded."""


GRAM = 0.3
"""Weight of a 4-gram: a word of six letters has three of them."""


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_JOSA = _listed(
    "으로부터 에서부터 이라고는 에게서는 으로서의 으로써의 에서는 에서도 에서의 에게는 에게도 에게서"
    " 으로는 으로도 으로의 으로서 으로써 이라는 이라고 이라며 까지의 까지는 부터는 로부터 한테서 에서"
    " 에게 께서 한테 으로 로서 로써 로는 로의 에는 에도 에만 까지 부터 마다 조차 마저 처럼 보다 만큼 이나"
    " 이란 이라 라는 라고 라며 과의 와의 과는 와는 이며 이고 이다 인가 일까 은 는 이 가 을 를 의 에 와 과"
    " 도 로 만 나 란"
)
_BY_LENGTH = {size: frozenset(word for word in _JOSA if len(word) == size) for size in (4, 3, 2, 1)}

STOP = _listed(
    "a an the of in on at to for from by with as is are was were be been being am do does did have has"
    " had having it its this that these those there here i you he she we they me him her us them my your"
    " his our their and or but if so than then too very can could will would shall should may might must"
    " not no nor what which who whom whose when where why how many much about into over after before"
    " between during up down out off again once also just only please tell give show explain"
)
"""English words that tell no sentence from another."""
STOP_KOREAN = _listed(
    "것 수 등 및 그 이 저 때 중 더 또 또는 그리고 그러나 하지만 무엇 무엇인가 무엇인가요 누구 누구인가"
    " 누구인가요 언제 언제인가 언제인가요 어디 어디인가 어디인가요 어느 어떤 어떻게 왜 몇 얼마 얼마인가"
    " 무슨 있는 하는 한 된 되는 했던 하였던 있었던 있다 했다 하였다 되었다 이다 대해 대한 알려줘"
    " 알려주세요 설명해줘 설명해주세요 말해줘 해줘 주세요 좀"
    " 뭐 뭐야 뭐지 뭐죠 뭐였지 뭐였죠 뭐예요 뭔가요 내 제 내가 제가 나의 저의 우리"
    " 했지 했죠 했어 했나요 했었지"
)

_FOLD = re.compile(r"(?:ing|edly|ed|ies|es|s|ly)$")


def folded(text: str) -> str:
    """NFKC and lower case: full-width and half-width forms, decomposed Hangul and capitals compare equal."""
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).lower()


def bare(word: str) -> str:
    """A Korean word without its particle; never shorter than two syllables.

    >>> bare("서울에서는"), bare("나라")
    ('서울', '나라')
    """
    for size, particles in _BY_LENGTH.items():
        if len(word) >= size + 2 and word[-size:] in particles:
            return word[:-size]
    return word


def stem(word: str) -> str:
    """An English word without its commonest endings; never shorter than three letters.

    >>> stem("enabled"), stem("enables"), stem("enabling"), stem("is")
    ('enabl', 'enabl', 'enabl', 'is')
    """
    word = word.replace("’", "'").removesuffix("'s")
    if len(word) < 4:
        return word
    cut = _FOLD.sub(lambda match: "i" if match.group() == "ies" else "", word)
    cut = cut if len(cut) >= 3 else word
    return cut[:-1] if len(cut) > 3 and cut[-1] in "eyi" else cut


def terms(text: str) -> list[str]:
    """The terms of a text, a word's own last; `=` marks whole words, `#` numbers, the rest are n-grams.

    >>> terms("서울의 수도는?"), terms("Enable it: 1,000")
    (['서울', '=서울', '수도', '=수도'], ['enab', 'nabl', '=enabl', '#1000'])
    """
    return [term for token in TOKEN.findall(folded(text)) for term in _of(token)]


def weight_of(term: str) -> float:
    """What a term counts: the 4-grams of a Latin word a part each, or long words would outweigh short ones.

    >>> weight_of("=library"), weight_of("libr"), weight_of("서울")
    (1.0, 0.3, 1.0)
    """
    return GRAM if len(term) == 4 and term[0] not in "=#" else 1.0


def _of(token: str) -> Iterator[str]:
    first = token[0]
    if "가" <= first <= "힣":
        yield from _korean(token)
    elif first.isdigit():
        yield "#" + token.replace(",", "")
    elif first < "ɐ":
        yield from _latin(token)
    elif len(token) == 1:
        yield token
    else:
        yield from (token[at : at + 2] for at in range(len(token) - 1))


def _korean(word: str) -> Iterator[str]:
    if word in STOP_KOREAN:
        return
    root = bare(word)
    if root in STOP_KOREAN:
        return
    for at in range(len(root) - 1):
        yield root[at : at + 2]
    if len(root) > 1:
        yield "=" + root
    else:
        yield root


def _latin(word: str) -> Iterator[str]:
    if word in STOP:
        return
    root = stem(word)
    if len(root) > 4:
        for at in range(len(root) - 3):
            yield root[at : at + 4]
    yield "=" + root
