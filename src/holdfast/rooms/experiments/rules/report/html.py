"""A page as HTML, and as JSON: one file, nothing loaded from elsewhere, every text escaped.

Data flow: page struct -> parts (`release_parts.py`, `experiment_parts.py`: tables, and charts from `charts/`)
-> `shell.document`. Text enters markup only through `markup.tag`, which escapes whatever is not markup.
"""

import msgspec

from holdfast.rooms.experiments.rules.report import experiment_parts, release_parts, words
from holdfast.rooms.experiments.rules.report.experiment_page import ExperimentPage
from holdfast.rooms.experiments.rules.report.figures import stamp
from holdfast.rooms.experiments.rules.report.labels import STATUSES, Lang, said, say
from holdfast.rooms.experiments.rules.report.page import Clock
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage
from holdfast.rooms.experiments.rules.report.shell import document, pill


def render(page: ReleasePage | ExperimentPage, lang: Lang = "ko") -> str:
    """Either page as an HTML document in `lang`; decisions stand there in both languages."""
    return release_page(page, lang) if isinstance(page, ReleasePage) else experiment_page(page, lang)


def release_page(page: ReleasePage, lang: Lang = "ko") -> str:
    """One release as an HTML document."""
    page = words.told(page)
    return document(
        lang,
        page.name,
        say("release report", lang),
        _status(page.status, lang),
        release_parts.parts(page, lang),
        _foot(page.made_s, page.clock, lang),
    )


def experiment_page(page: ExperimentPage, lang: Lang = "ko") -> str:
    """One experiment as an HTML document."""
    return document(
        lang,
        page.name,
        say("experiment report", lang),
        _status(page.status, lang),
        experiment_parts.parts(page, lang),
        _foot(page.made_s, page.clock, lang),
    )


def encode(page: ReleasePage | ExperimentPage) -> bytes:
    """Either page as JSON; a release with its decision in words."""
    return msgspec.json.encode(words.told(page) if isinstance(page, ReleasePage) else page)


def _status(status: str, lang: Lang) -> str:
    if status not in STATUSES:
        return pill("plain", "", status)
    style, sign, text = STATUSES[status]
    return pill(style, sign, said(text, lang))


def _foot(made_s: float | None, clock: Clock, lang: Lang) -> str:
    made = f"{say('made', lang)}: {stamp(made_s, clock)}. " if made_s is not None else ""
    return f"{made}{say('times in', lang)}: {clock.zone}."
