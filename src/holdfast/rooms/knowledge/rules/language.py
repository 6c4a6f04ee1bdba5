"""Which language a text is in, as far as reading it differs: Korean, English, or another."""

import re

from holdfast.rooms.knowledge.rules.parsed import Language

_LOOKED_AT = 8_000
_HANGUL = re.compile("[가-힣ᄀ-ᇿㄱ-ㆎ]")
_LATIN = re.compile("[A-Za-zÀ-ɏ]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[A-Za-zÀ-ɏ']+")
_ENGLISH = frozenset(
    [
        "the",
        "of",
        "and",
        "to",
        "in",
        "a",
        "is",
        "that",
        "for",
        "it",
        "with",
        "as",
        "on",
        "are",
        "be",
        "this",
        "was",
        "by",
        "or",
        "at",
        "from",
        "an",
        "not",
        "you",
        "we",
        "have",
        "has",
        "will",
        "can",
        "if",
        "all",
        "which",
        "but",
        "they",
        "their",
        "its",
        "when",
        "there",
        "one",
        "our",
        "your",
    ]
)
_KOREAN_SHARE = 0.15
"""Of all letters: Korean documents are full of English names."""
_ENGLISH_SHARE = 0.08
"""Of all words, those in the list; English prose has about 0.35, a parts list less, French 0.03."""
_FEW = 25
"""Words; fewer say nothing, and Latin letters are taken for English."""


def language_of(text: str) -> Language:
    """`ko`, `en` or `other`, by letters and by common words of the first 8,000 characters.

    >>> language_of("홀드패스트는 Python 서비스의 운영 계층입니다.")
    'ko'
    """
    sample = text[:_LOOKED_AT]
    letters = len(_LETTER.findall(sample))
    if not letters:
        return "other"
    if len(_HANGUL.findall(sample)) >= _KOREAN_SHARE * letters:
        return "ko"
    if 2 * len(_LATIN.findall(sample)) < letters:
        return "other"
    words = [word.lower() for word in _WORD.findall(sample)]
    common = sum(word in _ENGLISH for word in words)
    return "en" if len(words) < _FEW or common >= _ENGLISH_SHARE * len(words) else "other"
