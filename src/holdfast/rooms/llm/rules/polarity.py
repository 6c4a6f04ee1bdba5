"""The small words that questions are read by, in Korean and English: which may differ, which may not."""

import re


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEGATIONS = _listed("not no never none nobody nothing neither nor without cannot except unless")
MARKS = _listed(
    "need needs may might ought would will was were did had been only all every each any some both either"
    " your his her their its our he she they we yours theirs than ever and or but if while because since"
    " until for with as at from by against between versus vs before after above below over under up down in"
    " out off on into onto again still already yet now too more less most least during through within"
)
"""Tense, quantity, possession by others, place and direction: all must agree, in their order."""
DUTIES = {"must": "must", "should": "should", "shall": "should", "can": "can", "could": "can"}
"""They must agree too, save beside a how: `how can I`, `how should I`, 어떻게 해야 are `how do I`."""
FILLER = _listed(
    "a an the i me my mine you it this that these those there here is are am be do does to of please kindly"
    " hi hello hey thanks thank just so let us want like know what tell say explain describe"
)
"""What may differ. A capitalised one inside a sentence is a name (US, IT, vitamin A) and must agree."""
ASKING = {
    word: kind
    for kind, words in (
        ("who", "who whom whose"),
        ("when", "when"),
        ("where", "where"),
        ("why", "why"),
        ("how", "how way ways"),
        ("which", "which"),
    )
    for word in words.split()
}
DIRECTIONS = {
    word: side
    for side, words in (
        ("switch+", "enable enabled enables enabling activate activated activating"),
        ("switch-", "disable disabled disables disabling deactivate deactivated deactivating"),
        ("amount+", "increase increased increasing raise raised"),
        ("amount-", "decrease decreased decreasing reduce reduced reducing lower lowered"),
    )
    for word in words.split()
}
"""Words that are one on each side of an opposite. Other opposites are content words: they differ anyway."""
SWITCHES = frozenset({"turn", "turned", "turning", "turns", "switch", "switched", "switching"})
"""With an `on` or `off` after it, at most NEAR words on: `turn the light off`."""
NEAR = 3
NUMERALS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "once": "1", "twice": "2",
    "half": "0.5", "dozen": "12", "hundred": "100", "thousand": "1000",
}  # fmt: skip

KOREAN_NEGATION = re.compile(
    r"않|없|아니|아닌|아닐|말고|말아|마세요|마라|말라|못|지마|제외|빼고|^안$"
    r"|^안(?:되|돼|된|됨|될|됐|하|해|한|할|했|가|갈|갔|먹|쓰|써|와|올|왔|나|보이|봐|받|들|켜|꺼|열|닫|맞|좋)"
    r"|^비(?:활성|공개|과세|회원|정상)|^불(?:가|필요|완전|법)|^미(?:완|사용|포함|설치|성년)|^무(?:료|제한)"
)
"""`안` alone or before a verb, not in 안녕, 안내, 안전. What is found too often costs a miss."""
KOREAN_ASKING = re.compile(
    r"^(?:(?P<who>누구|누가|누굴)|(?P<when>언제|며칠)|(?P<where>어디|어딨)|(?P<why>왜|이유)|(?P<how>어떻|어떡|방법)"
    r"|(?P<which>어느|어떤|무슨))"
)
KOREAN_DIRECTIONS = (
    ("switch+", re.compile(r"^(?:켜|켠|켤|켭|킬)|^활성화")),
    ("switch-", re.compile(r"^(?:끄|꺼|끈|끌|끕)|^비활성화")),
    ("amount+", re.compile(r"^(?:올리|올려|올릴|올린|늘리|늘려|늘릴|높이|높여|높일)")),
    ("amount-", re.compile(r"^(?:내리|내려|내릴|내린|줄이|줄여|줄일|낮추|낮춰|낮출)")),
)
KOREAN_FILLER = re.compile(
    r"^(?:좀|제|제가|내|내가|저|저는|나|나는|것|거|게|건|걸|수|수가|이|그|혹시|무엇|무엇인가요|무엇인가|무엇입니까|무엇이|뭐|뭐야|뭐예요|뭔가요|뭘"
    r"|(?:알려|말해|설명해|가르쳐|보여)(?:줘|줘요|주세요|줄래|줄래요|주실래요|주시겠어요)?|(?:부탁|궁금)\S*|안녕하세요|주세요|해주세요|해줘"
    r"|해야|해야지|하나요|합니까|하는지|하려면|해요|할까요|하죠|하지요|하면|되나요|됩니까|되죠|있나요|있습니까|있어요|있을까요|인가요|인가|입니까|이에요|예요|이야|야)$"
)
KOREAN_MARKS = re.compile(
    r"(?P<must>[해아어여]야)(?:\s|$|하|할|만|돼|되)|(?P<may>[해아어여]도)$|(?P<will>겠|[할갈올볼될]까)"
)
_ENDING = re.compile(
    r"(?:하려면|하려고|하는|하나요|합니까|할까요|하면|하기|해야|해요|해줘|해주세요|하세요|되나요|됩니까|되는|인가요|인가|입니까|이에요|예요|이야"
    r"|나요|습니까|려면|는지|은지|는)$"
)
_ROLE = re.compile(r"(?:(?P<subject>이|가|은|는|께서)|(?P<object>을|를))$")
_PARTICLE = re.compile(
    r"(?:에서|에게서|에게|한테|부터|까지|보다|으로|로|만|도|와|과|랑|이랑|마다|처럼|밖에|조차|없이|께)(?:는|도|만|의)?$"
)


def root(word: str) -> str:
    """A Korean word without the endings of polite and connecting forms; never shorter than two syllables.

    >>> root("재설정하려면"), root("재설정하는"), root("켜는")
    ('재설정', '재설정', '켜는')
    """
    cut = _ENDING.sub("", word)
    return cut if len(cut) >= 2 else word


def role(word: str) -> str:
    """`subject`, `object`, another particle as it is, or nothing: who does what to whom in Korean.

    >>> role("철수가"), role("영희를"), role("서울에서"), role("날씨")
    ('subject', 'object', '에서', '')
    """
    if len(word) > 1 and (found := _ROLE.search(word)):
        return found.lastgroup or ""
    if len(word) > 1 and (other := _PARTICLE.search(word)) and other.start() > 0:
        return other.group()
    return ""


def past(word: str) -> bool:
    """Whether a Korean word has a past tense: a syllable closed by ㅆ that is neither 있 nor 겠.

    >>> past("끝났나요"), past("있나요")
    (True, False)
    """
    return any(
        "가" <= sign <= "힣" and (ord(sign) - 0xAC00) % 28 == 20 and sign not in "있겠" for sign in word
    )
