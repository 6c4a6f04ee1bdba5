"""The healthy answer to an ask, changed where the fault is in the answer itself."""

import hashlib
import re

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.rooms.faults.rules.asks import Ask, Tool
from holdfast.rooms.faults.rules.masking import masked
from holdfast.rooms.faults.rules.names import Fault
from holdfast.rooms.faults.rules.requests import Head
from holdfast.rooms.faults.rules.sample import sample

ANOTHER_MODEL = "another-model"
FILLING = "@@holdfast-filling@@"
"""Stands in the answer where the fault `huge` puts its bytes."""

_ECHOED = 1_000
"""Characters of the prompt that come back."""
_HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]")
_PIECE = re.compile(r"\s*\S{1,8}|\s+$")
_FRAGMENT = 7
_WEATHER = Tool("get_weather", {"type": "object", "properties": {"city": {"const": "서울"}}})
_THOUGHT = "First I read the question again. Then I answer it."
_THOUGHT_KOREAN = "먼저 질문을 다시 읽습니다. 그다음 답합니다."


class Answer(msgspec.Struct, frozen=True):
    """What is said, before it is written in a dialect."""

    number: str
    """24 hexadecimal digits that follow from the request."""
    model: str
    choices: tuple[tuple[str, ...], ...]
    """The pieces of each choice; a piece is a chunk of the stream, and counts as one token."""
    finish: str
    """stop, length, content_filter or tool_calls."""
    prompt_tokens: int
    completion_tokens: int
    has_usage: bool = True
    reasoning: tuple[str, ...] = ()
    tool: str = ""
    """The name of the called tool; then the pieces are fragments of its arguments."""

    @property
    def text(self) -> str:
        """The first choice."""
        return "".join(self.choices[0])


def sentence(prompt: str) -> str:
    """What the provider says to this prompt: Korean to Korean."""
    echoed = " ".join(prompt[:_ECHOED].split())
    if _HANGUL.search(echoed):
        return f"“{echoed}”라고 물으셨습니다. 이것은 가짜 제공자가 언제나 똑같이 드리는 답입니다."
    return f"You asked: “{echoed}”. This is the answer that the fake provider always gives to it."


def pieces_of(text: str) -> tuple[str, ...]:
    """`text` cut into the pieces of a stream: words, long ones in parts; joined they are `text`."""
    return tuple(_PIECE.findall(text))


def answer(ask: Ask, fault: Fault, head: Head, body: bytes) -> Answer:
    """The answer to `ask`, which came as `body` behind `head`; the same for the same request."""
    tool = ask.tool or (_WEATHER if fault.name == "tool-call" else None)
    if tool is not None:
        arguments = encode_json(sample(tool.schema, ask.prompt or "text")).decode()
        pieces = tuple(arguments[at : at + _FRAGMENT] for at in range(0, len(arguments), _FRAGMENT))
        choices: tuple[tuple[str, ...], ...] = (pieces,) * ask.n
        finish = "tool_calls"
    else:
        pieces = pieces_of(_text(ask, fault, head))
        choices = tuple(
            (*pieces, f" ({n})") if n > 1 and not ask.in_json else pieces for n in range(1, ask.n + 1)
        )
        finish = "stop"
    choices, finish = _shortened(choices, finish, ask, fault)
    reasoning: tuple[str, ...] = ()
    if fault.name == "reasoning":
        reasoning = pieces_of(_THOUGHT_KOREAN if _HANGUL.search(ask.prompt) else _THOUGHT)
    spoken = max(1, fault.count // 4) if fault.name == "huge" else sum(map(len, choices))
    return Answer(
        number=hashlib.blake2b(body, digest_size=12).hexdigest(),
        model=ANOTHER_MODEL if fault.name == "wrong-model" else ask.model,
        choices=choices,
        finish=finish,
        prompt_tokens=ask.prompt_tokens,
        completion_tokens=spoken + len(reasoning) * ask.n,
        has_usage=fault.name != "no-usage",
        reasoning=reasoning,
        tool=tool.name if tool is not None else "",
    )


def _text(ask: Ask, fault: Fault, head: Head) -> str:
    if fault.name == "echo-headers":
        return encode_json(masked(head.headers)).decode()
    if fault.name == "huge":
        return FILLING
    said = sentence(ask.prompt)
    if ask.in_json:
        return encode_json(sample(ask.schema, said) if ask.schema else {"answer": said}).decode()
    return said


def _shortened(
    choices: tuple[tuple[str, ...], ...], finish: str, ask: Ask, fault: Fault
) -> tuple[tuple[tuple[str, ...], ...], str]:
    """The choices cut where the fault, or the ask's own limit, cuts them."""
    length = min(map(len, choices))
    if fault.name == "huge":
        return ((FILLING,),) * ask.n, finish
    if fault.name == "content-filter":
        return tuple(one[: max(1, length // 2)] for one in choices), "content_filter"
    if fault.name == "truncated-length":
        return tuple(one[: max(1, length // 2)] for one in choices), "length"
    if ask.most_tokens is not None and ask.most_tokens < max(map(len, choices)):
        return tuple(one[: max(1, ask.most_tokens)] for one in choices), "length"
    return choices, finish
