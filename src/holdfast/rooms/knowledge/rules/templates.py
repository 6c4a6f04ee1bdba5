"""What a report or a script is made of: sections, each with what it is to say and what it is found by."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.rooms.knowledge.rules.problems import BadTemplate

MAX_SECTIONS = 24
MAX_PROMPT = 4_000
"""Characters of a section's prompt with the topic in it, however often that stands there."""
_SLOT = "{topic}"


class SectionPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One section: `{topic}` in heading, prompt and query stands for what the text is about."""

    heading: Annotated[str, Meta(min_length=1, max_length=200)]
    prompt: Annotated[str, Meta(min_length=1, max_length=2000)]
    """What the section is to say."""
    query: Annotated[str, Meta(max_length=2000)] = ""
    """What its passages are found by; empty: the topic and the prompt."""


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text's sections in order."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    sections: Annotated[tuple[SectionPlan, ...], Meta(min_length=1, max_length=MAX_SECTIONS)]


_REPORT = {
    "en": Template(
        "Report: {topic}",
        (
            SectionPlan("Overview", "Say what {topic} is.", "{topic} overview definition"),
            SectionPlan("Background", "Tell how {topic} came about.", "{topic} background history origin"),
            SectionPlan(
                "Facts and figures", "Give the facts and figures on {topic}.", "{topic} figures numbers"
            ),
            SectionPlan(
                "Causes and effects", "Tell causes and effects of {topic}.", "{topic} cause effect result"
            ),
            SectionPlan(
                "Conclusion", "Say what is essential about {topic}.", "{topic} conclusion importance"
            ),
        ),
    ),
    "ko": Template(
        "보고서: {topic}",
        (
            SectionPlan("개요", "{topic}이(가) 무엇인지 설명하십시오.", "{topic} 개요 정의"),
            SectionPlan("배경", "{topic}의 배경과 역사를 설명하십시오.", "{topic} 배경 역사 유래"),
            SectionPlan("사실과 수치", "{topic}에 관한 사실과 수치를 적으십시오.", "{topic} 수치 통계"),
            SectionPlan("원인과 영향", "{topic}의 원인과 영향을 설명하십시오.", "{topic} 원인 영향 결과"),
            SectionPlan("결론", "{topic}에서 가장 중요한 점을 적으십시오.", "{topic} 결론 의의"),
        ),
    ),
}
_SCRIPT = {
    "en": Template(
        "{topic}",
        (
            SectionPlan("Opening", "Open with what makes {topic} worth hearing about.", "{topic}"),
            SectionPlan(
                "Story", "Tell the story of {topic} in the order it happened.", "{topic} history story"
            ),
            SectionPlan(
                "Heart of it", "Explain what matters most about {topic}.", "{topic} important reason"
            ),
            SectionPlan("Closing", "Close with what to remember of {topic}.", "{topic} result meaning"),
        ),
    ),
    "ko": Template(
        "{topic}",
        (
            SectionPlan("도입", "{topic}이(가) 왜 흥미로운지로 시작하십시오.", "{topic}"),
            SectionPlan("이야기", "{topic}의 이야기를 일어난 순서대로 들려주십시오.", "{topic} 역사 과정"),
            SectionPlan("핵심", "{topic}에서 가장 중요한 것을 설명하십시오.", "{topic} 중요 이유 특징"),
            SectionPlan("마무리", "{topic}에 대해 기억할 것으로 마무리하십시오.", "{topic} 결과 의미"),
        ),
    ),
}
BUILT_IN: Mapping[str, Mapping[str, Template]] = {"report": _REPORT, "script": _SCRIPT}


def chosen(name: str, own: Template | None, spoken: str) -> Template:
    """The caller's own template, or the built-in one of this name in the language `spoken`."""
    if own is not None:
        return own
    found = BUILT_IN.get(name)
    if found is None:
        raise BadTemplate(
            f"there is no template {name[:40]!r}", hint=f"take {' or '.join(BUILT_IN)}, or send `sections`"
        )
    return found[spoken]


def filled(text: str, topic: str) -> str:
    """`text` with the topic in its place; no other braces mean anything."""
    return text.replace(_SLOT, topic)


def check_filled(template: Template, topic: str) -> Template:
    """The template; raises BadTemplate where the topic makes a prompt of it too long."""
    for plan in template.sections:
        length = len(plan.prompt) + plan.prompt.count(_SLOT) * (len(topic) - len(_SLOT))
        if length > MAX_PROMPT:
            raise BadTemplate(
                f"the prompt of {plan.heading[:40]!r} has {length} characters with the topic in it",
                hint=f"at most {MAX_PROMPT}: name the topic less often, or in fewer words",
            )
    return template


def query_of(plan: SectionPlan, topic: str) -> str:
    """What a section's passages are found by: always the topic too."""
    wanted = filled(plan.query or f"{_SLOT} {plan.prompt}", topic)
    return wanted if topic in wanted else f"{topic} {wanted}"


def as_markdown(title: str, sections: Sequence[tuple[str, str]], sources: Sequence[str]) -> str:
    """The whole text to read; sources are numbered through, as the marks in it are."""
    parts = [f"# {title}", *(f"## {heading}\n\n{text}" for heading, text in sections)]
    if sources:
        parts.append("\n".join(f"[{number}] {source}" for number, source in enumerate(sources, 1)))
    return "\n\n".join(parts) + "\n"
