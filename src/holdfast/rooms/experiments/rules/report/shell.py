"""The outside of every page: head, style, sections, tables. Nothing is loaded from elsewhere."""

from collections.abc import Sequence

from holdfast.rooms.experiments.rules.report.labels import Lang
from holdfast.rooms.experiments.rules.report.markup import Markup, joined, tag
from holdfast.rooms.experiments.rules.report.page import Words
from holdfast.rooms.experiments.rules.report.style import STYLE

_LOGO = Markup(
    '<svg class="logo" viewBox="0 0 32 32" aria-hidden="true">'
    '<rect width="32" height="32" rx="9" fill="#0f766e"/>'
    '<path d="M16 6v20M16 15c0 6-5 5-7 10M16 15c0 6 5 5 7 10" fill="none" stroke="#fff" stroke-width="2.6" '
    'stroke-linecap="round"/></svg>'
)
Cell = str | None


def document(lang: Lang, title: str, subject: str, pill: str, main: Sequence[str | None], foot: str) -> str:
    """The whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · {subject}"),
        Markup(f"<style>{STYLE}</style>"),
    )
    names = tag("div", tag("p", subject, class_="sub"), tag("h1", title))
    body = tag(
        "body",
        tag("header", _LOGO, names, pill),
        tag("main", *main),
        tag("footer", foot),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang=lang)}\n"


def section(title: str, *parts: str | None, note: str = "", class_: str = "card") -> Markup | None:
    """A part of the page under its heading; None where it would be empty."""
    kept = [part for part in parts if part]
    if not kept:
        return None
    return tag(
        "section", tag("h2", title), *kept, tag("p", note, class_="note") if note else None, class_=class_
    )


def table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], numbers: Sequence[int] = ()
) -> Markup:
    """A table whose first column names its rows; `numbers` are columns of figures. It scrolls."""
    if not rows:
        return Markup()
    right = dict.fromkeys(numbers, "number")
    head = tag("tr", *(tag("th", name, scope="col", class_=right.get(at)) for at, name in enumerate(heads)))
    body = [
        tag(
            "tr",
            *(
                tag("td", cell, class_=right.get(at)) if at else tag("th", cell, scope="row")
                for at, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    inner = tag("table", tag("caption", caption, class_="unseen"), tag("thead", head), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def plot(picture: str) -> Markup:
    """A picture that keeps its letters readable on a phone by scrolling."""
    if not picture:
        return Markup()
    return tag("div", picture, class_="scroll plot", tabindex="0")


def facts(pairs: Sequence[tuple[str, str | None]], class_: str = "figures") -> Markup:
    """Names and what they are; those without a value are left out."""
    kept = [(name, value) for name, value in pairs if value]
    if not kept:
        return Markup()
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in kept), class_=class_)


def told_twice(heading: str, words: Words, style: str, first: Lang) -> Markup | None:
    """A decision in both languages beside each other, the page's own first."""
    both = [tag("p", text, lang=lang) for lang, text in (("ko", words.ko), ("en", words.en)) if text]
    if not both:
        return None
    if first == "en":
        both.reverse()
    return tag(
        "section", tag("h2", heading), tag("div", *both, class_="both"), class_=f"card decision {style}"
    )


def pill(style: str, sign: str, text: str) -> Markup:
    """A status: its sign says what its colour says."""
    return tag("p", tag("span", sign, aria_hidden="true"), tag("span", text), class_=f"pill {style}")


def flag(style: str, sign: str, text: str) -> Markup:
    """A finding within a table."""
    if not text:
        return Markup()
    return tag("span", tag("span", sign, aria_hidden="true"), f" {text}", class_=f"finding {style}")


def folded(summary: str, *parts: str | None) -> Markup:
    """What is there for who wants to know; always open on paper."""
    kept = [part for part in parts if part]
    return tag("details", tag("summary", summary), *kept) if kept else Markup()


def subhead(text: str, *rest: str | None) -> Markup:
    """A heading within a section."""
    return joined(tag("h3", text), *rest)
