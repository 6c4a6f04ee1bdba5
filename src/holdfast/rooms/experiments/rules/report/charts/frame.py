"""What every picture shares: its outline, its axes, its signs.

Coordinates are those of a picture WIDTH wide; the page scales it. Colours are classes of the page's style, so
light, dark and print are its matter; what differs in colour differs in dash or sign as well.
"""

import msgspec

from holdfast.rooms.experiments.rules.report.figures import tick_stamp
from holdfast.rooms.experiments.rules.report.markup import Markup, joined, tag
from holdfast.rooms.experiments.rules.report.page import Clock
from holdfast.rooms.experiments.rules.report.scales import Span, time_ticks, width_of

WIDTH = 680.0
SIZE = 12.0
"""Of letters."""
Point = tuple[float, float]


class Box(msgspec.Struct, frozen=True):
    """Where within a picture the figures are drawn."""

    left: float
    top: float
    right: float
    bottom: float


def picture(height: float, title: str, description: str, *parts: str | None) -> Markup:
    """An SVG that is read out by its title and description."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *parts,
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_label=f"{title}. {description}" if description else title,
    )


def label(x: float, y: float, text: str, anchor: str = "start", class_: str = "") -> Markup:
    """A line of text whose middle is at `y`."""
    return tag("text", text, x=x, y=y + SIZE * 0.36, text_anchor=anchor, class_=class_ or None)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: list[Point], class_: str) -> Markup | None:
    """A line through the points; one point is a dot, none is nothing."""
    if not points:
        return None
    if len(points) == 1:
        return tag("circle", cx=points[0][0], cy=points[0][1], r=3, class_=f"{class_} spot")
    return tag("path", d="M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points), class_=class_)


def area(points: list[Point], class_: str) -> Markup | None:
    """The space within the points."""
    if len(points) < 3:
        return None
    return tag("path", d="M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) + "Z", class_=class_)


def rows_of(box: Box, scale: Span, marks: list[tuple[float, str]]) -> Markup:
    """Quiet lines from left to right, each with its figure on the left."""
    return joined(
        *(
            joined(
                line(box.left, scale.at(value), box.right, scale.at(value), "grid"),
                label(box.left - 8, scale.at(value), text, "end"),
            )
            for value, text in marks
        )
    )


def time_axis(box: Box, scale: Span, clock: Clock) -> Markup:
    """Times beneath the figures; one that would touch the one before it is left out."""
    marks = time_ticks(scale.low, scale.high, clock.offset_s)
    step = marks[1] - marks[0] if len(marks) > 1 else 60.0
    parts: list[Markup] = []
    free_from = 0.0
    for at_s in marks:
        text, x = tick_stamp(at_s, clock, step), scale.at(at_s)
        half = width_of(text, SIZE) / 2
        x_text = min(max(x, half), WIDTH - half)
        if x_text - half < free_from:
            continue
        free_from = x_text + half + 8
        parts.append(
            joined(
                line(x, box.bottom, x, box.bottom + 4, "grid"), label(x_text, box.bottom + 15, text, "middle")
            )
        )
    return joined(line(box.left, box.bottom, box.right, box.bottom, "axis"), *parts)


def moment(box: Box, x: float, text: str, class_: str = "moment") -> Markup:
    """An upright line with words at its head, on whichever side there is room."""
    fits = x + 6 + width_of(text, SIZE) <= box.right
    words = label(x + 6 if fits else x - 6, box.top - 10, text, "start" if fits else "end", "strong")
    return joined(line(x, box.top - 16, x, box.bottom, class_), words)
