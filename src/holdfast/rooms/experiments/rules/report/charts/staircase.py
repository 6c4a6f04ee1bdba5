"""How large a share of units had the treatment, and when."""

from holdfast.rooms.experiments.rules.report.charts.frame import (
    SIZE,
    WIDTH,
    Box,
    Point,
    area,
    label,
    path,
    picture,
    rows_of,
    time_axis,
)
from holdfast.rooms.experiments.rules.report.markup import Markup, joined
from holdfast.rooms.experiments.rules.report.page import Clock
from holdfast.rooms.experiments.rules.report.scales import Span, finite, time_domain, width_of

HEIGHT = 190.0


def staircase(
    title: str, description: str, steps: tuple[tuple[float, float], ...], until_s: float | None, clock: Clock
) -> Markup:
    """Steps (at_s, percent), each lasting until the next, the last until `until_s`. Nothing without steps."""
    kept = sorted(
        (at_s, min(max(share, 0.0), 100.0))
        for stamp, figure in steps
        if (at_s := finite(stamp)) is not None and (share := finite(figure)) is not None
    )
    if not kept:
        return Markup()
    last = finite(until_s)
    end = kept[-1][0] if last is None else max(last, kept[-1][0])
    box = Box(52, 22, WIDTH - 16, HEIGHT - 30)
    scale_x = Span(*time_domain([kept[0][0], end]), box.left, box.right)
    scale_y = Span(0, 100, box.bottom, box.top)
    corners: list[Point] = []
    for (at_s, share), (until, _) in zip(kept, [*kept[1:], (end, 0.0)], strict=True):
        corners += [(scale_x.at(at_s), scale_y.at(share)), (scale_x.at(until), scale_y.at(share))]
    return picture(
        HEIGHT,
        title,
        description,
        rows_of(box, scale_y, [(value, f"{value:g} %") for value in (0.0, 25.0, 50.0, 75.0, 100.0)]),
        time_axis(box, scale_x, clock),
        area([(corners[0][0], box.bottom), *corners, (corners[-1][0], box.bottom)], "under"),
        path(corners, "line-0"),
        _heads(box, scale_x, scale_y, kept),
    )


def _heads(box: Box, scale_x: Span, scale_y: Span, steps: list[Point]) -> Markup:
    """The share of each step at its beginning; at the border before it, where the step goes up."""
    parts: list[Markup] = []
    free_from, before = 0.0, 0.0
    for at_s, share in steps:
        text, x = f"{share:g} %", scale_x.at(at_s) + 4
        width = width_of(text, SIZE)
        if x + width > box.right:
            x = x - 8 - width if share > before else box.right
        before = share
        if x < free_from or x + width > box.right:
            continue
        free_from = x + width + 6
        parts.append(label(x, max(scale_y.at(share) - 10, 9.0), text, class_="strong"))
    return joined(*parts)
