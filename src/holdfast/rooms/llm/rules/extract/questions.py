"""What a question asks for, and what a sentence that answers it would show.

When, how many, who, where: told by question words in Korean and English, recognised in a sentence by dates,
numbers with their unit, titles and names, places. A sentence that shows what is asked for gains by weights
that scoring.py holds.
"""

import re

import msgspec

from holdfast.kernel.text.words import STOP, STOP_KOREAN, TOKEN, bare, folded, terms

MAX_TOKENS = 200
MAX_CHARS = 2_000
"""What is read of a question; a longer one is text that nobody separated from its question."""

_WHEN = re.compile(
    r"언제|연도|년도|날짜|며칠|시기|몇\s*(?:년|월|일|시)|(?:날|해|때|년)(?:은|는|인가|인지)?\s*\??$"
    r"|\bwhen\b|\bwhat (?:year|date|day|month|time)\b|\bwhich (?:year|day|month)\b",
    re.IGNORECASE,
)
_MANY = re.compile(
    r"몇|얼마|횟수|점수|나이|금액|비율|순위|인원|기간|높이|길이|크기|가격|(?:개|명|회)?수는"
    r"|\bhow (?:many|much|long|old|far|tall|high|often|big|large)\b"
    r"|\bwhat (?:number|percentage|amount|price)\b",
    re.IGNORECASE,
)
_WHO = re.compile(
    r"누구|누가|인물|이름|사람은|선수는|감독은|배우는|가수는|작가는|\bwho(?:m|se)?\b", re.IGNORECASE
)
_WHERE = re.compile(
    r"어디|장소|위치|지역|도시|나라|국가는|곳은|\bwhere\b|\bwhat (?:place|city|country)\b", re.IGNORECASE
)
_UNIT = re.compile(r"몇\s*([가-힣]{1,2}?)(?:이|인|일|을|를|으|로|에|의|까|나|부|\s|\?|$)")
_UNIT_ENGLISH = re.compile(r"\bhow many ([a-z]{3,})", re.IGNORECASE)

_NAME = re.compile(r"(?<=[^.!?:\s]\s)[A-Z][\w-]*|\b[A-Z]{2,}\b")
_DATE = re.compile(
    r"[0-9]\s*(?:년|월|일|세기|시\b)|\b(?:1[0-9]|20)[0-9]{2}\b|\b[0-9]{1,2}:[0-9]{2}\b|[0-9] ?[ap]\.?m\b"
    r"|\b(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)(?:day)?\b|[월화수목금토일]요일|어제|오늘|내일|yesterday|today|tomorrow"
)
_NUMBER = re.compile(
    r"[0-9]|[한두세네]\s?(?:명|번|개|가지|시간)|\b(?:one|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|twenty|thirty|fifty|hundred|thousand|million|dozen)\b",
    re.IGNORECASE,
)
_PERSON = re.compile(
    r"(?:감독|선수|대통령|박사|교수|작가|배우|가수|의원|장관|사장|왕|씨|장군)"
    r"|\b[A-Z][a-z]+ (?:[A-Z][.] ?)?[A-Z][a-z]+|\b(?:Mr|Mrs|Ms|Dr|Prof)[.]? [A-Z]"
)
_PLACE = re.compile(
    r"[가-힣]+(?:시|도|군|구|읍|면|동|역|국|주|성|섬|강|산|대학교|병원|공항)(?:에서|에|의|로|으로|,|\s)|에서"
    r"|\b(?:in|at|near|from|to) (?:the )?[A-Z]"
)


class Question(msgspec.Struct, frozen=True):
    """A question as it is compared with sentences."""

    terms: tuple[str, ...]
    """Its distinct terms, in their order."""
    words: tuple[tuple[str, ...], ...]
    """The terms of each of its words: what share of it is found is counted in words."""
    named: tuple[tuple[str, ...], ...] = ()
    """Those of its words that are numbers, or capitalised inside a sentence: an answer must know them."""
    when: bool = False
    many: bool = False
    who: bool = False
    where: bool = False
    unit: re.Pattern[str] | None = None
    """A number with the unit that is asked for: `몇 명` wants `12명`."""

    def shows(self, sentence: str) -> tuple[float, float, float, float, float]:
        """1.0 for each thing that is asked for and shown: date, number, the unit, person, place."""
        return (
            float(self.when and _DATE.search(sentence) is not None),
            float(self.many and _NUMBER.search(sentence) is not None),
            float(self.unit is not None and self.unit.search(sentence) is not None),
            float(self.who and _PERSON.search(sentence) is not None),
            float(self.where and _PLACE.search(sentence) is not None),
        )


def question(text: str) -> Question:
    """What `text` asks.

    >>> asked = question("회원은 몇 명인가?")
    >>> asked.many, asked.shows("지난해 회원은 12명이었다.")
    (True, (0.0, 1.0, 1.0, 0.0, 0.0))
    """
    text = text[:MAX_CHARS]
    tokens = [token for token in TOKEN.findall(folded(text))[:MAX_TOKENS] if not _stopped(token)]
    words = {found: token for token in tokens if (found := tuple(terms(token)))}
    names = set(map(str.lower, _NAME.findall(text)))
    when = _WHEN.search(text) is not None
    return Question(
        terms=tuple(dict.fromkeys(term for word in words for term in word)),
        words=tuple(words),
        named=tuple(found for found, token in words.items() if token[0].isdigit() or token in names),
        when=when,
        many=not when and _MANY.search(text) is not None,
        who=_WHO.search(text) is not None,
        where=_WHERE.search(text) is not None,
        unit=_unit(text),
    )


def _stopped(token: str) -> bool:
    return token in STOP or token in STOP_KOREAN or bare(token) in STOP_KOREAN


def _unit(text: str) -> re.Pattern[str] | None:
    if found := _UNIT.search(text):
        return re.compile(rf"[0-9][0-9.,만억천백]*\s*{re.escape(found.group(1))}")
    if found := _UNIT_ENGLISH.search(text):
        return re.compile(rf"\b(?:[0-9][0-9.,]*|[a-z]+)\s+{re.escape(found.group(1))}", re.IGNORECASE)
    return None
