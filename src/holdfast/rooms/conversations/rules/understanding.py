"""What a message wants and what it names, by rules: modest, in Korean and English, the same every time."""

import re
from collections.abc import Iterable

from holdfast.kernel.text.graphemes import shorten
from holdfast.rooms.conversations.rules.terms import is_empty_word, stem

MAX_ENTITIES = 12
_VALUE_BYTES = 48
_LOOKED_AT = 4_000
"""Characters of a message that are looked at."""

_INTENTS: tuple[tuple[str, "re.Pattern[str]"], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        (
            "complaint",
            r"\b(doesn'?t work|not working|broken|refund|complain\w*|terrible|awful|worst"
            r"|disappoint\w*|unacceptable|angry|still (no|not|waiting)|wrong (order|item))\b"
            r"|안 ?(돼|되네|됩니다|되는데|와요|왔)|고장|환불|불만|실망|최악|짜증|화가|엉망"
            r"|잘못 (왔|됐|배송)|불편",
        ),
        (
            "request",
            r"^\s*(please|could you|can you|would you|help me|show|tell|give|make|write|list|explain"
            r"|find|translate|summari[sz]e)\b|\bplease\b"
            r"|(해|하여|알려|보여|찾아|써|만들어|도와|추천해|설명해|번역해|요약해|정리해|바꿔|고쳐)"
            r" ?(줘|주세요|주시|주실|달라|줄래)"
            r"|부탁|해 ?주(세요|시)|하고 싶|싶어요|싶습니다",
        ),
        (
            "question",
            r"[?？]|^\s*(what|who|when|where|why|how|which|is|are|do|does|did|can|could|should|will)\b"
            r"|(까요?|나요|가요|는지|은지|니|냐|였지|었지|인가요?)\s*[.!~]*\s*$|(무엇|뭐|누구|언제|어디|어떻게|왜|얼마|몇)",
        ),
        ("thanks", r"\b(thanks|thank you|appreciate)\b|고마(워|웠|운)|고맙|감사"),
        ("greeting", r"^\s*(hi|hello|hey|good (morning|afternoon|evening))\b|^\s*(안녕|반가|처음 뵙)"),
        ("goodbye", r"\b(bye|goodbye|see you|good night)\b|잘 ?가|안녕히|다음에 (봐|뵐|또)|수고하세요"),
        (
            "confirmation",
            r"^\W*(yes|yep|yeah|ok(ay)?|sure|right|correct|agreed)\b|^\W*(네+|예|응|그래|맞아|맞습|좋아|알겠)",
        ),
        ("refusal", r"^\W*(no|nope|never mind|cancel|stop)\b|^\W*(아니|싫|됐어|취소|그만)"),
    )
)

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DATE = re.compile(
    r"\b\d{4}[-./]\d{1,2}[-./]\d{1,2}\b"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{1,2}(?:, \d{4})?\b"
    r"|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b|\b(?:tomorrow|yesterday|tonight)\b"
    r"|(?:\d{4}년 ?)?\d{1,2}월(?: ?\d{1,2}일)?|(?:다음|이번|지난) ?주(?: ?[월화수목금토일]요일)?"
    r"|[월화수목금토일]요일|내일|모레|어제"
    r"|\b\d{1,2}:\d{2}\b|(?:오전|오후) ?\d{1,2}시(?: ?\d{1,2}분)?"
)
_NUMBER = re.compile(
    r"(?<![\w.])[₩$€]?\d[\d,]*(?:\.\d+)?"
    r"(?: ?(?:원|만원|달러|개|명|권|살|세|kg|km|cm|시간|분|번|%|years?|days?|hours?|minutes?"
    r"|dollars?|people))?(?!\w)"
)
_QUOTED = re.compile(r"[\"“「『‘]([^\"”」』’]{1,60})[\"”」』’]")
_NAME = re.compile(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)+\b|(?<=[a-z,;:] )[A-Z][a-zA-Z]+\b|\b[A-Z]{2,6}\b")
_NOUN = re.compile(r"[가-힣]{3,12}(?![가-힣])")
_ENDING = re.compile(
    r"(습니다|습니까|어요|아요|해요|세요|네요|데요|까요|나요|었어|았어|했어|했지|지요|는데|면서|려고|게요|래요|하고|해서|하지|하면|하는|되는|있는|없는|같은|하|되|는|었|았|했|됐|났)$"
)

Entity = tuple[str, str]
"""Kind and value: `email`, `date`, `number`, `quote`, `name` or `noun`."""


def intent(message: str) -> str:
    """What the message is for.

    `complaint`, `request`, `question`, `thanks`, `greeting`, `goodbye`, `confirmation`, `refusal`, else
    `statement`.
    """
    looked = message[:_LOOKED_AT]
    return next((name for name, pattern in _INTENTS if pattern.search(looked)), "statement")


def entities(message: str) -> list[Entity]:
    """What the message names, in the order of the kinds; each value once."""
    rest = message[:_LOOKED_AT]
    found: dict[str, str] = {}
    for kind, pattern in (("email", _EMAIL), ("date", _DATE), ("number", _NUMBER)):
        values = pattern.findall(rest)
        if values:
            for value in values:
                found.setdefault(shorten(value.strip(), _VALUE_BYTES), kind)
            rest = pattern.sub(" ", rest)
    for match in _QUOTED.finditer(rest):
        found.setdefault(shorten(match.group(1).strip(), _VALUE_BYTES), "quote")
    for match in _NAME.finditer(rest):
        if not is_empty_word(match.group().lower()):
            found.setdefault(shorten(match.group(), _VALUE_BYTES), "name")
    for match in _NOUN.finditer(rest):
        word = match.group()
        short = stem(word)
        if short != word and not is_empty_word(short) and not (_ENDING.search(word) or _ENDING.search(short)):
            found.setdefault(short, "noun")
    return [(kind, value) for value, kind in found.items() if value]


def merged(new: Iterable[Entity], old: Iterable[Entity], most: int = MAX_ENTITIES) -> tuple[Entity, ...]:
    """The newest first; the same value again moves to the front, and the oldest leave."""
    found: dict[str, str] = {}
    for kind, value in (*new, *old):
        found.setdefault(value, kind)
    return tuple((kind, value) for value, kind in found.items())[:most]
