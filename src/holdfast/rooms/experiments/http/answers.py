"""What the room's addresses share: who asks, answers that nobody stores, a report as JSON or as a page."""

from typing import Any

from holdfast.kernel.route import Answer, Call
from holdfast.rooms.experiments.rules.problems import BadDefinition
from holdfast.rooms.experiments.rules.report import html
from holdfast.rooms.experiments.rules.report.experiment_page import ExperimentPage
from holdfast.rooms.experiments.rules.report.labels import Lang
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage

NO_STORE = (("cache-control", "no-store"),)
GONE = Answer(status=204, headers=NO_STORE)
_LOCKED = (
    *NO_STORE,
    # The page holds what others sent; it needs nothing but its own style.
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
)


def said(content: Any) -> Answer:
    """As JSON; figures and definitions are good for this moment only."""
    return Answer(content, headers=NO_STORE)


def reported(page: ReleasePage | ExperimentPage, call: Call, form: str, lang: Lang) -> Answer:
    """The page as `form` says, `html` or `json`; where it says nothing, HTML for who accepts it."""
    if form == "html" or (not form and "text/html" in call.header("accept")):
        return Answer(
            html.render(page, lang).encode(), media_type="text/html; charset=utf-8", headers=_LOCKED
        )
    return Answer(html.encode(page), headers=NO_STORE)


def actor(call: Call) -> str:
    """Who asks, as it stands in the audit and the diary."""
    return call.user_id or "admin"


def same_name(call: Call, name: str) -> None:
    """Refuse a body that is of another name than its address."""
    if name != call.params["name"]:
        raise BadDefinition(
            f"the address names {call.params['name']!r}, the body {name!r}", hint="give both the same name"
        )
