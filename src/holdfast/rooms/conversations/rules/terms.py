"""The words of a message as the recall compares them: one function for what is said and what is asked.

Korean words lose their particles (josa) and are also taken in pairs of syllables, so that what is said with
one particle or ending is found with another; other CJK text in pairs of signs; Latin words whole and, from
five letters on, in runs of four, so that forms of a word meet.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

MAX_TERMS = 512
"""Terms kept of one message; a longer one is known by its beginning."""

_USUAL = 24
"""Signs of a word up to which what it comes to is remembered."""
_RUNS = re.compile(
    "(?P<hangul>[\uac00-\ud7a3]+)|(?P<cjk>[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+)|(?P<word>[^\\W_]+)"
)


def _words(text: str) -> list[str]:
    return text.split()


JOSA = frozenset(
    _words("""
        은 는 이 가 을 를 의 에 도 만 와 과 로 으로 에서 에게 한테 께 께서 까지 부터 보다
        처럼 마다 조차 밖에 이나 이랑 랑 하고 이라고 라고 이라는 라는 이란 란 에서는 에서도
        에는 에도 에게서 한테서 으로는 로는 으로도 로도 이에요 예요 이야 입니다 이다 이고 이며
        인데 이었어 였어 이었지 였지 이었나 였나 이었어요 였어요 이지 이요 들은 들이 들을 들의 들
        """)
)
_LONGEST_JOSA = max(map(len, JOSA))
_SHORT_JOSA = frozenset("은는이가을를에도만와과로의")
_STOP_LATIN = frozenset(
    _words("""
    the a an and or but if of to in on at for with from by is are was were be been am do does did have has
    had i you he she it we they me my your his her its our their this that these those what which who when
    where how why so not no yes can could will would should may might just than then there here about as
    into up out
    """)
)
_STOP_KOREAN = frozenset(
    _words("""
    그리고 그런데 그래서 하지만 그러면 그럼 이것 그것 저것 여기 거기 저기 무엇 뭐 누구 어디 언제
    어떻게 왜 어떤 무슨 얼마 나 내 저 제 너 네 우리 저희 것 거 수 때 좀 더 안 못 잘 다시 정말
    아주 너무 지금 오늘 있어 있어요 없어 없어요 해줘 해주세요 알려줘 알려주세요 뭐야 뭐였지 뭐지
    했지 했어 했어요 말해줘 말했지 이야기 얘기 내가 제가 네가 누가 뭐가 있다고 했다고 몇 개였지
    언제였지 어디였지 뭐였어 언제라고 어디라고 얼마였지 있었지 있지 가지 해요 하는 있는 주세요
    """)
)


def stem(word: str) -> str:
    """A Korean word without its particle, as long as two syllables or more are left."""
    for length in range(min(_LONGEST_JOSA, len(word) - 2), 0, -1):
        if word[-length:] in JOSA:
            return word[:-length]
    return word


def is_part(term: str) -> bool:
    """Whether it is only a part of a word, as far as its form tells."""
    return term[0] == "#" or len(term) == 1


def is_empty_word(word: str) -> bool:
    """Whether it is among the words that every message has."""
    return word in _STOP_LATIN or word in _STOP_KOREAN


def terms(text: str) -> list[str]:
    """The terms of `text`, each once, whole words before parts of words."""
    whole: dict[str, None] = {}
    parts: dict[str, None] = {}
    for found in _RUNS.finditer(text[: MAX_TERMS * 16].lower()):
        word = found.group()
        words, pieces = (_known if len(word) <= _USUAL else _of_word)(word, found.lastgroup or "")
        if words:
            whole[words] = None
        if pieces:
            parts.update(pieces)
        if len(whole) + len(parts) >= MAX_TERMS:
            break
    return list(dict.fromkeys([*whole, *parts]))[:MAX_TERMS]


def stored(found: Iterable[str]) -> str:
    """The terms as one text, each between spaces, so that a database can look for one with LIKE."""
    joined = " ".join(found)
    return f" {joined} " if joined else ""


Parts = dict[str, None]


def _of_word(word: str, kind: str) -> tuple[str, Parts]:
    """The term that stands for the whole word, "" when there is none, and those for its parts."""
    if kind == "hangul":
        return _korean(word)
    if kind == "cjk":
        return "", dict.fromkeys(_pairs(word)) if len(word) > 1 else {word: None}
    if word in _STOP_LATIN:
        return "", {}
    is_long = len(word) >= 5 and not word.isdigit()
    return word, dict.fromkeys(f"#{word[at : at + 4]}" for at in range(len(word) - 3)) if is_long else {}


_known = lru_cache(maxsize=4_096)(_of_word)
"""Most words of a conversation, and of a language, come again."""


def _korean(word: str) -> tuple[str, Parts]:
    short = word if word in _STOP_KOREAN else stem(word)
    if short in _STOP_KOREAN:
        return "", {}
    if len(short) == 2 and short[1] in _SHORT_JOSA:
        return short, {short[0]: None}  # a noun of one syllable, perhaps
    return short, dict.fromkeys(_pairs(short)) if len(short) > 2 else {}


def _pairs(word: str) -> list[str]:
    return [word[at : at + 2] for at in range(len(word) - 1)]
