"""How the evidence against a release grew, until it decided."""

from itertools import pairwise

import msgspec

from holdfast.rooms.experiments.rules.report.charts.frame import (
    SIZE,
    WIDTH,
    Box,
    Point,
    label,
    line,
    moment,
    path,
    picture,
    rows_of,
    time_axis,
)
from holdfast.rooms.experiments.rules.report.markup import Markup, joined
from holdfast.rooms.experiments.rules.report.page import Clock
from holdfast.rooms.experiments.rules.report.scales import (
    Span,
    finite,
    shortened,
    spread,
    time_domain,
    width_of,
)

HEIGHT = 264.0
LOWEST, HIGHEST = -0.5, 1.5
"""Shown from minus half to one and a half times what decides; beyond that a line runs along the border."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One detector: its logarithm of evidence over time, and at what figure it decides."""

    name: str
    decides_at: float
    points: tuple[tuple[float, float | None], ...]
    style: str = "line-0"


class Shift(msgspec.Struct, frozen=True):
    """A stage that began."""

    at_s: float
    name: str


def evidence_path(
    title: str,
    description: str,
    courses: tuple[Course, ...],
    *,
    threshold: str,
    decided: tuple[float, str] | None = None,
    shifts: tuple[Shift, ...] = (),
    clock: Clock,
) -> Markup:
    """Each detector as a share of what decides, so that one line at 100 % is the threshold of all.

    Nothing where no detector has a figure yet.
    """
    drawn = tuple(course for course in courses if course.decides_at > 0 and _known(course))
    if not drawn:
        return Markup()
    box = Box(52, 40, WIDTH - _margin(drawn), HEIGHT - 30)
    stamps = [at_s for course in drawn for at_s, _ in _known(course)]
    scale_x = Span(*time_domain([*stamps, decided[0] if decided else None]), box.left, box.right)
    scale_y = Span(LOWEST, HIGHEST, box.bottom, box.top)
    marks = [(value, f"{value * 100:g} %") for value in (0.0, 0.5, 1.0)]
    return picture(
        HEIGHT,
        title,
        description,
        rows_of(box, scale_y, marks),
        _stages(box, scale_x, shifts),
        time_axis(box, scale_x, clock),
        line(box.left, scale_y.at(1), box.right, scale_y.at(1), "threshold"),
        label(box.left + 6, scale_y.at(1) - 10, threshold, class_="strong"),
        *(path(_places(course, scale_x, scale_y), course.style) for course in drawn),
        _names(box, scale_y, drawn),
        moment(box, scale_x.at(decided[0]), decided[1]) if decided else None,
    )


def _known(course: Course) -> list[tuple[float, float]]:
    return [
        (stamp, value)
        for at_s, figure in course.points
        if (value := finite(figure)) is not None and (stamp := finite(at_s)) is not None
    ]


def _places(course: Course, scale_x: Span, scale_y: Span) -> list[Point]:
    parts = [(at_s, finite(value / course.decides_at) or 0.0) for at_s, value in _known(course)]
    return [(scale_x.at(at_s), scale_y.at(part)) for at_s, part in _with_crossings(parts)]


def _with_crossings(points: list[Point]) -> list[Point]:
    """The points, and where the line between two of them leaves the picture: its slope must stay true."""
    found = points[:1]
    for (at_s, part), (next_s, next_part) in pairwise(points):
        rise = next_part - part
        crossed = [
            (at_s + (border - part) / rise * (next_s - at_s), border)
            for border in (LOWEST, HIGHEST)
            if min(part, next_part) < border < max(part, next_part)
        ]
        found += [*(crossed if rise > 0 else reversed(crossed)), (next_s, next_part)]
    return found


def _margin(courses: tuple[Course, ...]) -> float:
    return min(max(width_of(course.name, SIZE) for course in courses) + 16, 190.0)


def _names(box: Box, scale: Span, courses: tuple[Course, ...]) -> Markup:
    ends = [scale.at(_known(course)[-1][1] / course.decides_at) for course in courses]
    room = WIDTH - box.right - 12
    return joined(
        *(
            label(box.right + 10, y, shortened(course.name, SIZE, room), class_=f"of-{course.style}")
            for course, y in zip(courses, spread(ends, SIZE * 1.3, box.top, box.bottom), strict=True)
        )
    )


def _stages(box: Box, scale: Span, shifts: tuple[Shift, ...]) -> Markup:
    parts: list[Markup] = []
    free_from = 0.0
    for shift in shifts:
        x = scale.at(shift.at_s)
        parts.append(line(x, box.top, x, box.bottom, "shift"))
        if x + 4 >= free_from and x + 4 + width_of(shift.name, SIZE) <= box.right:
            parts.append(label(x + 4, box.bottom - 9, shift.name, class_="quiet"))
            free_from = x + 12 + width_of(shift.name, SIZE)
    return joined(*parts)
