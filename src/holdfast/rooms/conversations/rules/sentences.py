"""Text in sentences, and how much each of them tells: what a summary without a model is made of."""

import re
from functools import lru_cache

_ENDS = re.compile(r"(?<=[.!?。！？…])[\"'”’)\]]*\s+|[\r\n]+|(?<=[。！？])")
_HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]")
_LETTER = re.compile(r"[^\W\d_]")

_FIGURES = re.compile(r"\d")
_ADDRESS = re.compile(r"\S@\S+\.\S|https?://")
_QUOTED = re.compile(r"[\"“「『‘'][^\"”」』’']{2,40}[\"”」』’']")
_NAMED = re.compile(r"(?<=[^.!?\s] )[A-Z][a-z]{2,}")
_MINE = re.compile(
    r"\b(i|i'm|i've|my|mine|we|our|us)\b"
    r"|(^|\s)(나|내|저|제|우리|저희|난|전)(는|가|의|도|를|희|에게|한테)?(?=\s|$)",
    re.IGNORECASE,
)
_TELLS = re.compile(
    r"\b(like|love|hate|prefer|need|want|must|decid\w+|plan\w*|will|never|always|allerg\w+|called|named|live\w*"
    r"|work\w*|born|moved?|bought|deadline|budget|because|important|remember|name is)\b"
    r"|좋아|싫어|선호|필요|원해|원합|싶|해야|예정|결정|계획|알레르기|이름|살고|살아|일하"
    r"|태어|이사|샀|마감|예산|때문|중요|기억|절대|항상",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"^\W*(hi|hello|hey|good (morning|evening|afternoon)|thanks?|thank you|ok(ay)?|yes|no|sure|great|bye"
    r"|안녕\S*|네+|예|응|그래\S*|고마워\S*|감사\S*|알겠\S*|좋아요?|반가\S*)\W*$",
    re.IGNORECASE,
)
_ASKS = re.compile(r"[?？]\s*$|(까|니|나요|가요|은가|는지)[.!]?\s*$")

_SHORTEST, _LONGEST = 12, 240


def squeezed(text: str) -> str:
    """`text` on one line, with single spaces."""
    return " ".join(text.split())


def sentences(text: str) -> list[str]:
    """The sentences of `text`, each on one line; a decimal point or an address ends none."""
    return [found for part in _ENDS.split(text) if part and (found := squeezed(part))]


def is_korean(text: str) -> bool:
    """Whether a good part of the letters is Hangul: Korean often has Latin words in it."""
    letters = len(_LETTER.findall(text))
    return letters > 0 and len(_HANGUL.findall(text)) * 4 >= letters


def is_chatter(sentence: str) -> bool:
    """Whether it is a greeting, thanks or a nod: nothing that a summary should keep."""
    return _CHATTER.match(sentence) is not None


@lru_cache(maxsize=2048)
def weight(sentence: str) -> float:
    """How much the sentence tells; above 1 it states a fact about somebody or something, below 0 nothing."""
    if is_chatter(sentence):
        return -2.0
    found = 0.3
    found += 1.0 if _FIGURES.search(sentence) else 0.0
    found += 1.5 if _ADDRESS.search(sentence) else 0.0
    found += 0.8 if _QUOTED.search(sentence) or _NAMED.search(sentence) else 0.0
    found += 1.0 if _MINE.search(sentence) else 0.0
    found += 1.2 if _TELLS.search(sentence) else 0.0
    found -= 1.2 if _ASKS.search(sentence) else 0.0
    length = len(sentence.encode("utf-8", "replace"))
    if length < _SHORTEST:
        found -= 0.8
    elif length > _LONGEST:
        found -= 0.5
    return round(found, 3)
