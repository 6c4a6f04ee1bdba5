"""When two questions are one, for the semantic cache: nearness proposes, what they say decides.

A threshold alone is wrong in any language: with MiniLM "turn on dark mode" and "turn off dark mode" have a
cosine of 0.93, true paraphrases 0.89. So each question is read into Facts, and an answer is shared only
between equal ones. What may differ is what carries no meaning of its own: politeness, articles, Korean
topic and object particles, polite endings, punctuation, capitals, plurals, the choice between words of one
side of an opposite (enable, turn on). Paraphrases with other content words are missed: a miss costs a call,
a false hit is a wrong answer.
"""

import re
from typing import Any

import msgspec

from holdfast.kernel.text.words import TOKEN, bare, folded
from holdfast.rooms.llm.rules.keys import request_key
from holdfast.rooms.llm.rules.polarity import (
    ASKING,
    DIRECTIONS,
    DUTIES,
    FILLER,
    KOREAN_ASKING,
    KOREAN_DIRECTIONS,
    KOREAN_FILLER,
    KOREAN_MARKS,
    KOREAN_NEGATION,
    MARKS,
    NEAR,
    NEGATIONS,
    NUMERALS,
    SWITCHES,
    past,
    role,
    root,
)

THRESHOLD = 0.35
"""Cosine of the hash vectors. Low, since Facts have decided before: true paraphrases have 0.39 to 0.95 by
spelling. With vectors of a model, which know meaning, 0.85 is usual."""
MAX_CHARS = 2_000
"""A longer question is a document: nobody asks it twice in other words."""

_QUOTED = re.compile(
    r"\"([^\"]+)\"|“([^”]+)”|‘([^’]+)’|「([^」]+)」|『([^』]+)』|`([^`]+)`|(?<!\w)'([^']+)'(?!\w)"
)
_CAPITALISED = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][A-Za-z]*\b|\b[A-Z]{2,}\b")
_OF = re.compile(r"\b([a-z]+) of (?:the |an? )?([a-z]+)\b")
_PIECE = re.compile(rf"{TOKEN.pattern}|[^\s.,:;!?'\"’‘“”「」『』`()\[\]…·~]")
"""A token; of any other script each letter by itself, so that nothing is passed over."""
_MINUS = re.compile(r"(?<![\w.])[-−–](?=[0-9])")


class Facts(msgspec.Struct, frozen=True):
    """What a question says that its answer depends on; two questions agree when all of it is equal."""

    numbers: tuple[str, ...]
    """In their order, each with its place among the content words, where its unit stands too."""
    negations: tuple[int, ...]
    """Before which content word each one stands."""
    directions: tuple[str, ...]
    """Sides of opposites in their order: `switch+`, `amount-`."""
    asks: frozenset[str]
    """who, when, where, why, how, which."""
    marks: tuple[str, ...]
    """Duty, tense, quantity, possession, place: in their order."""
    names: tuple[str, ...]
    """Capitalised words that would be passed over in small letters: US, IT, (vitamin) A."""
    quotes: tuple[str, ...]
    roles: tuple[str, ...]
    """Korean: what is done something to, when somebody does it; other particles with their word."""
    content: tuple[str, ...]
    """All other words, in their order."""


def facts(text: str) -> Facts:
    """What `text` says.

    >>> facts("How do I turn on dark mode?") == facts("Please, how can I enable dark mode?")
    True
    >>> disagreement(facts("다크 모드를 켜는 방법 알려줘"), facts("다크 모드를 끄는 방법 알려줘"))
    'directions'
    """
    reader = _Reader()
    plain = _OF.sub(r"\2's \1", folded(text).replace("’", "'"))
    for token in _PIECE.findall(_MINUS.sub(" minus", plain)):
        reader.take(token)
    return reader.facts(text)


def disagreement(one: Facts, other: Facts) -> str:
    """The first field in which two questions differ, for a metric's label; empty when they are one."""
    for name in Facts.__struct_fields__:
        if getattr(one, name) != getattr(other, name):
            return name
    return ""


class _Reader:
    """Facts in the making, token by token."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.negations: list[int] = []
        self.directions: list[str] = []
        self.asks: set[str] = set()
        self.marks: list[str] = []
        self.content: list[str] = []
        self.objects: list[str] = []
        self.particles: list[str] = []
        self.subjects = 0
        self.switch: int | None = None

    def facts(self, text: str) -> Facts:
        free = DUTIES if "how" in self.asks else {}
        return Facts(
            numbers=tuple(self.numbers),
            negations=tuple(self.negations),
            directions=tuple(self.directions),
            asks=frozenset(self.asks),
            marks=tuple(mark for mark in self.marks if mark not in free),
            names=tuple(
                name for name in _CAPITALISED.findall(text) if name != "I" and name.lower() in FILLER | MARKS
            ),
            quotes=tuple(folded(next(filter(None, one))) for one in _QUOTED.findall(text)),
            roles=(*(self.objects if self.subjects else ()), *self.particles),
            # A question all of small words says nothing that could agree with another: it is its own words.
            content=tuple(self.content) or (" ".join(folded(text).split()),),
        )

    def take(self, token: str) -> None:
        if token[0].isdigit():
            self.numbers.append(self._here(_number(token)))
        elif "가" <= token[0] <= "힣":
            self._korean(token)
        elif "a" <= token[0] <= "z":
            self._english(token)
        else:
            self.content.append(token)

    def _here(self, word: str) -> str:
        """A word with its place among the content words: `eat before sleep` is not `before eat, sleep`."""
        return f"{word}@{len(self.content)}"

    def _english(self, token: str) -> None:
        word, _, after = token.partition("'")
        if after == "t":  # don't, won't, can't
            self.negations.append(len(self.content))
            word = {"won": "will", "can": "can", "shan": "shall"}.get(word, word.removesuffix("n"))
        if word == "minus":
            self.numbers.append("-")
        elif word in NUMERALS:
            self.numbers.append(self._here(NUMERALS[word]))
        elif word in NEGATIONS:
            self.negations.append(len(self.content))
            self.marks.extend(() if word in ("not", "no", "cannot") else (self._here(word),))
        elif word in SWITCHES:
            self.switch = len(self.content)
            self.content.append(word)
        elif word in ("on", "off") and self._switched():
            self.directions.append("switch+" if word == "on" else "switch-")
        elif word in DIRECTIONS:
            self.directions.append(DIRECTIONS[word])
        elif word in ASKING:
            self.asks.add(ASKING[word])
        elif word in DUTIES:
            self.marks.append(DUTIES[word])
        elif word in MARKS:
            self.marks.append(self._here(word))
        elif word not in FILLER:
            self.content.append(_singular(word) + ("'s" if after == "s" else ""))

    def _switched(self) -> bool:
        """Whether a `turn` or `switch` stands shortly before; it is then no content word of its own."""
        at, self.switch = self.switch, None
        if at is None or len(self.content) - at > NEAR + 1:
            return False
        del self.content[at]
        return True

    def _korean(self, token: str) -> None:
        if KOREAN_NEGATION.search(token):
            self.negations.append(len(self.content))
        if past(token):
            self.marks.append(self._here("past"))
        if found := KOREAN_MARKS.search(token):
            kind = found.lastgroup or ""
            self.marks.append(kind if kind == "must" else self._here(kind))
        if KOREAN_FILLER.match(token):
            return
        if asked := KOREAN_ASKING.match(token):
            self.asks.add(asked.lastgroup or "")
            return
        for side, pattern in KOREAN_DIRECTIONS:
            if pattern.match(token):
                self.directions.append(side)
                return
        word = bare(root(token))
        self.content.append(word)
        told = role(token)
        if told == "subject":
            self.subjects += 1
        elif told == "object":
            self.objects.append(word)
        elif told:
            self.particles.append(f"{word}/{told}")


def _number(token: str) -> str:
    """One form for each number: 1,000 is 1000, 2.50 is 2.5, 007 stays itself.

    >>> _number("1,000"), _number("2.50"), _number("007"), _number("10:30")
    ('1000', '2.5', '007', '10:30')
    """
    plain = token.replace(",", "")
    return plain.rstrip("0").rstrip(".") if plain.count(".") == 1 and ":" not in plain else plain


def _singular(word: str) -> str:
    """Without the plural's s; shorter words and -ss, -us, -is keep it (news, glass, bonus, analysis)."""
    return word[:-1] if len(word) > 4 and word[-1] == "s" and word[-2] not in "sui" else word


def scope_and_question(body: dict[str, Any], tenant: str, template: str) -> tuple[str, str] | None:
    """(scope, text of the last turn), or None where no near request may answer this one.

    The scope is the request's key without the text of its last message: tenant, template, model, system
    prompt, history, passages, tools and every sampling field are in it and must be identical.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        return None
    text = last.get("content")
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_CHARS:
        return None
    without = {**body, "messages": [*messages[:-1], {**last, "content": None}]}
    return request_key(without, tenant, template), text
