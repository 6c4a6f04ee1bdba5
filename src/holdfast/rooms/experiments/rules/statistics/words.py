"""The verdict as a product manager reads it, in English and Korean."""

from collections.abc import Mapping

from holdfast.rooms.experiments.rules.statistics.results import Analysis, Reason
from holdfast.rooms.experiments.rules.statistics.sentences import COUNTED, HEADS, ONE, PEOPLE, SENTENCES

LANGUAGES = ("en", "ko")


def words(found: Analysis) -> dict[str, str]:
    """Language -> the decision and its reasons, a sentence each."""
    verdict = found.verdict
    head = "harm at the end" if verdict.decision == "harm" and verdict.final else verdict.decision
    return {
        language: " ".join(
            (
                HEADS[language][head].format(arm=verdict.arm, people=PEOPLE[language][found.unit]),
                *(sentence(one, language, found.unit) for one in verdict.reasons),
            )
        )
        for language in LANGUAGES
    }


def sentence(reason: Reason, language: str, unit: str = "user") -> str:
    """One reason in one language."""
    names = {"metric": reason.metric, "arm": reason.arm, "people": PEOPLE[language][unit]}
    for name, value in reason.figures.items():
        names[name] = number(value)
        names[f"{name}_percent"] = percent(value)
        several = COUNTED[language][unit].format(number(value))
        names[f"{name}_named"] = ONE[unit] if language == "en" and value == 1 else several
    if "low" in reason.figures:
        names["effect"], names["from_"], names["to"] = _effect(reason.figures)
    return SENTENCES[language][reason.code].format_map(names)


def number(value: float) -> str:
    """A figure as both languages write it: thousands apart, three digits that matter."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size >= 1e-4 or size == 0 else f"{value:.1e}"


def percent(value: float) -> str:
    """A share with two digits that matter: 120%, 12%, 3.2%, 0.043%."""
    shown = value * 100
    return f"{shown:,.0f}%" if abs(shown) >= 9.95 else f"{shown:.2g}%"


def _effect(figures: Mapping[str, float]) -> tuple[str, str, str]:
    """(effect, from, to), with signs: relative where there is one, else in the metric's own unit."""
    names, write = ("absolute", "low", "high"), number
    if "relative" in figures:
        names, write = ("relative", "relative_low", "relative_high"), percent
    effect, low, high = (_signed(write(figures[name])) for name in names)
    return effect, low, high


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"
