"""An effect as it was known day by day, with the band that it was surely in."""

from holdfast.rooms.experiments.rules.report.charts.frame import (
    WIDTH,
    Box,
    area,
    label,
    line,
    path,
    picture,
    rows_of,
    time_axis,
)
from holdfast.rooms.experiments.rules.report.experiment_page import EffectPoint
from holdfast.rooms.experiments.rules.report.figures import percent
from holdfast.rooms.experiments.rules.report.markup import Markup, tag
from holdfast.rooms.experiments.rules.report.page import Clock
from holdfast.rooms.experiments.rules.report.scales import (
    Span,
    decimals_of,
    domain,
    finite,
    ticks,
    time_domain,
)

HEIGHT = 250.0


def band(
    title: str,
    description: str,
    points: tuple[EffectPoint, ...],
    clock: Clock,
    ends: tuple[str, str] = ("", ""),
) -> Markup:
    """The cumulative effect as a line within its band, single days as dots. Nothing without a known effect.

    `ends`: what it means to lie below and above zero.
    """
    kept = [
        point for point in points if finite(point.effect.value) is not None and finite(point.at_s) is not None
    ]
    if not kept:
        return Markup()
    box = Box(60, 24, WIDTH - 16, HEIGHT - 30)
    # A look and a day are points of their own: a day has no effect up to then.
    days = [
        point
        for point in points
        if point.day is not None and finite(point.day.value) is not None and finite(point.at_s) is not None
    ]
    scale_x = Span(*time_domain(point.at_s for point in (*kept, *days)), box.left, box.right)
    low, high = _reach(kept)
    scale_y = Span(low, high, box.bottom, box.top)
    values = ticks(low, high, 6)
    decimals = decimals_of([value * 100 for value in values])
    marks = [(value, percent(value, signed=value != 0, decimals=decimals)) for value in values]
    known = [
        (scale_x.at(point.at_s), scale_y.at(low if (edge := finite(point.effect.low)) is None else edge),
         scale_y.at(high if (edge := finite(point.effect.high)) is None else edge))
        for point in kept
    ]  # fmt: skip
    return picture(
        HEIGHT,
        title,
        description,
        rows_of(box, scale_y, marks),
        time_axis(box, scale_x, clock),
        _space(known),
        line(box.left, scale_y.at(0), box.right, scale_y.at(0), "axis"),
        *(_day(point, scale_x, scale_y) for point in days),
        path(
            [(scale_x.at(point.at_s), scale_y.at(finite(point.effect.value) or 0.0)) for point in kept],
            "line-0",
        ),
        label(box.right - 4, box.top + 8, ends[1], "end", "quiet") if ends[1] else None,
        label(box.right - 4, box.bottom - 8, ends[0], "end", "quiet") if ends[0] else None,
    )


def _space(known: list[tuple[float, float, float]]) -> Markup | None:
    if len(known) == 1:
        x, low, high = known[0]
        return line(x, low, x, high, "whisker plain")
    return area([(x, high) for x, _, high in known] + [(x, low) for x, low, _ in reversed(known)], "under")


def _day(point: EffectPoint, scale_x: Span, scale_y: Span) -> Markup | None:
    value = finite(point.day.value) if point.day is not None else None
    if value is None or not scale_y.low <= value <= scale_y.high:
        return None
    return tag("circle", cx=scale_x.at(point.at_s), cy=scale_y.at(value), r=3, class_="day")


def _reach(points: list[EffectPoint]) -> tuple[float, float]:
    """Every cumulative effect, zero, and the later two thirds of the band: the first days' is too wide."""
    later = points[len(points) // 3 :]
    edges = [edge for point in later for edge in (point.effect.low, point.effect.high)]
    low, high = domain([*(point.effect.value for point in points), *edges], [0.0])
    pad = (high - low) * 0.06
    return low - pad, high + pad
