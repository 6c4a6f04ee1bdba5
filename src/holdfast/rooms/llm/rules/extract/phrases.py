"""What the extractive model says in its own words, in the question's language, and what it never quotes."""

import re

_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")

NOT_THERE = {
    "ko": "주어진 글에서 이 질문의 답을 찾지 못했습니다.",
    "en": "I found no answer to this in the given text.",
}
NOTHING_GIVEN = {
    "ko": "연결된 언어 모델이 없고, 인용할 글도 주어지지 않았습니다."
    " 설정에 모델을 추가하거나 글을 함께 보내 주세요.",
    "en": "No language model is configured here, and nothing was given to quote."
    " Configure a model, or send passages.",
}
NOTHING_ASKED = {
    "ko": "질문이 비어 있습니다.",
    "en": "Nothing was asked.",
}
OURS = frozenset(phrase for said in (NOT_THERE, NOTHING_GIVEN, NOTHING_ASKED) for phrase in said.values())

_INSTRUCTION = re.compile(
    r"^(?:you (?:are|must|should|will)|always|never|do not|don't|please|answer|use (?:only|the)|if you|act as"
    r"|reply|respond|당신은|너는|넌|반드시|절대|항상)\b|(?:하세요|하십시오|마세요|주세요|해라|답하라|말라|마라|해줘|줘)[.!]?$",
    re.IGNORECASE,
)
_ASKING = re.compile(r"[?？]|(?:까|니|나요|가요|은지|는지)\s*[.]?$")


def language(text: str) -> str:
    """`ko` for text with Hangul in it, else `en`."""
    return "ko" if _HANGUL.search(text) else "en"


def unquotable(said: str) -> bool:
    """Whether something said is a question, an instruction or a phrase of ours: nothing to rest an answer on.

    >>> unquotable("You are a helpful assistant."), unquotable("이름이 뭐야?"), unquotable("저는 민수예요.")
    (True, True, False)
    """
    if _ASKING.search(said[-8:]) or _INSTRUCTION.search(said):
        return True
    return any(phrase in said or said in phrase for phrase in OURS)
