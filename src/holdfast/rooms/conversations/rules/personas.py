"""Personas: how an answer sounds and what it may take. Built-in ones, and those of the settings."""

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.rooms.conversations.rules.problems import UnknownPersona


class Persona(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One voice. What is left out is as the room's settings say."""

    style: Annotated[str, Meta(description="the system prompt")] = ""
    style_ko: Annotated[str, Meta(description="the system prompt of Korean conversations; else `style`")] = ""
    greeting: str = ""
    greeting_ko: str = ""
    language: Annotated[
        str, Meta(pattern="^(|en|ko)$", description="language of answers; empty: as the user writes")
    ] = ""
    model: Annotated[str, Meta(description="a model's public name; empty: the default one")] = ""
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.0
    max_message_bytes: Annotated[int, Meta(ge=1)] | None = None
    max_messages: Annotated[int, Meta(ge=2, description="messages and answers together")] | None = None

    def voice(self, language: str) -> str:
        """The system prompt for a conversation in `language`."""
        return (self.style_ko if language == "ko" else "") or self.style or self.style_ko

    def welcome(self, language: str) -> str:
        """The first words, which are no turn; "" when it has none."""
        return (self.greeting_ko if language == "ko" else "") or self.greeting or self.greeting_ko


BUILT_IN: dict[str, Persona] = {
    "assistant": Persona(
        style="You are a helpful assistant. Answer what is asked, plainly and correctly. "
        "Say so when you do not know.",
        style_ko="당신은 친절한 도우미입니다. 묻는 것에 쉽고 정확하게 답하세요. "
        "모르는 것은 모른다고 말하세요.",
        greeting="Hello! What can I do for you?",
        greeting_ko="안녕하세요! 무엇을 도와드릴까요?",
    ),
    "tutor": Persona(
        style="You are a patient tutor. Explain step by step, with one example. "
        "Give a hint before the solution, and end with one question that checks understanding.",
        style_ko="당신은 인내심 있는 선생님입니다. 한 단계씩 예를 하나 들어 설명하세요. "
        "풀이보다 힌트를 먼저 주고, 이해했는지 확인하는 질문 하나로 끝내세요.",
        greeting="Hello! What would you like to learn today?",
        greeting_ko="안녕하세요! 오늘은 무엇을 배워 볼까요?",
        temperature=0.3,
    ),
    "concise": Persona(
        style="Answer in at most two short sentences. No introduction, no repetition of the question.",
        style_ko="두 문장 이내로 짧게 답하세요. 머리말을 쓰거나 질문을 되풀이하지 마세요.",
        max_tokens=160,
    ),
}
DEFAULT = "assistant"


def chosen(name: str, given: dict[str, Persona]) -> tuple[str, Persona]:
    """The persona of that name, "" being the default one; one of the settings replaces a built-in one."""
    found = name or DEFAULT
    persona = given.get(found) or BUILT_IN.get(found)
    if persona is None:
        raise UnknownPersona(
            f"no persona {found!r}",
            hint=f"there are: {', '.join(sorted({*BUILT_IN, *given}))}",
            personas=sorted({*BUILT_IN, *given}),
        )
    return found, persona
