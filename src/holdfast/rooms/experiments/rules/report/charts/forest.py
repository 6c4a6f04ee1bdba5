"""Effects beneath each other, each with its interval: what lies wholly to one side of the line is sure."""

import msgspec

from holdfast.rooms.experiments.rules.report.charts.frame import SIZE, WIDTH, label, line, picture
from holdfast.rooms.experiments.rules.report.figures import percent
from holdfast.rooms.experiments.rules.report.markup import Markup, joined, tag
from holdfast.rooms.experiments.rules.report.page import Figure
from holdfast.rooms.experiments.rules.report.scales import (
    Span,
    decimals_of,
    domain,
    finite,
    shortened,
    ticks,
    width_of,
)

ROW, HEAD, FOOT = 30.0, 26.0, 26.0
LEFT, RIGHT = 200.0, 150.0
"""Room for names on the left and figures on the right."""
_REACH = 4.0
"""What reaches further than this many times the middle interval, and any value, runs out of the picture."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a name, a figure with its interval, how it is drawn."""

    name: str
    figure: Figure
    written: str = ""
    """On the right."""
    style: str = "plain"
    """`well`, `bad`, `plain`: the sign differs as well as the colour."""
    limit: float | None = None
    """A line of this row alone: a guardrail's margin, a gate's limit."""


def forest(
    title: str,
    description: str,
    bars: tuple[Bar, ...],
    *,
    zero: float | None = 0.0,
    ends: tuple[str, str] = ("", ""),
    signed: bool = True,
) -> Markup:
    """All rows on one scale of percent; `ends` say what lies to the left and to the right of `zero`."""
    if not bars:
        return Markup()
    scale = Span(*_reach(bars, zero), LEFT, WIDTH - RIGHT)
    bottom = HEAD + ROW * len(bars)
    middle = None if zero is None else scale.at(zero)
    return picture(
        bottom + FOOT,
        title,
        description,
        _grid(scale, bottom, signed),
        None if middle is None else line(middle, HEAD - 4, middle, bottom, "axis"),
        *_ends(ends, middle),
        *(_row(bar, scale, HEAD + ROW * (at + 0.5)) for at, bar in enumerate(bars)),
    )


def _reach(bars: tuple[Bar, ...], zero: float | None) -> tuple[float, float]:
    """Wide enough for every value, and for intervals unless they dwarf the others."""
    values = [bar.figure.value for bar in bars] + [bar.limit for bar in bars]
    base = [] if zero is None else [zero]
    edges = [edge for bar in bars for edge in (bar.figure.low, bar.figure.high)]
    sizes = sorted(abs(edge - (zero or 0.0)) for value in edges if (edge := finite(value)) is not None)
    if sizes:
        far = max(
            (abs(value) for bar in bars if (value := finite(bar.figure.value)) is not None), default=0.0
        )
        cap = max(sizes[len(sizes) // 2], far) * _REACH
        edges = [
            edge
            for value in edges
            if (edge := finite(value)) is not None and abs(edge - (zero or 0.0)) <= cap
        ]
    low, high = domain([*values, *edges], base)
    pad = (high - low) * 0.05
    return (low if zero == low else low - pad), high + pad


def _grid(scale: Span, bottom: float, signed: bool) -> Markup:
    parts: list[Markup] = []
    free_from = 0.0
    marks = ticks(scale.low, scale.high, 5)
    decimals = decimals_of([value * 100 for value in marks])
    for value in marks:
        x = scale.at(value)
        text = percent(value, signed=signed and value != 0, decimals=decimals)
        half = width_of(text, SIZE) / 2
        parts.append(line(x, HEAD - 4, x, bottom, "grid"))
        if x - half >= free_from:
            parts.append(label(x, bottom + 14, text, "middle"))
            free_from = x + half + 8
    return joined(*parts)


def _ends(ends: tuple[str, str], middle: float | None) -> tuple[Markup, ...]:
    if middle is None:
        return ()
    left = shortened(ends[0], SIZE, middle - 8)
    right = shortened(ends[1], SIZE, WIDTH - middle - 8)
    return (
        label(middle - 8, 9, left, "end", "quiet") if left else Markup(),
        label(middle + 8, 9, right, "start", "quiet") if right else Markup(),
    )


def _row(bar: Bar, scale: Span, y: float) -> Markup:
    value, low, high = finite(bar.figure.value), finite(bar.figure.low), finite(bar.figure.high)
    limit = finite(bar.limit)
    unsure = low is None and high is None
    x_low = scale.at(scale.low if low is None else low)
    x_high = scale.at(scale.high if high is None else high)
    return tag(
        "g",
        tag("title", f"{bar.name}: {bar.written}"),
        label(0, y, shortened(bar.name, SIZE, LEFT - 12), class_="name"),
        None if unsure else line(x_low, y, x_high, y, f"whisker {bar.style}"),
        None if unsure else _end(low, scale.low, x_low, y, bar.style, -1),
        None if unsure else _end(high, scale.high, x_high, y, bar.style, 1),
        None if limit is None else line(scale.at(limit), y - 11, scale.at(limit), y + 11, "threshold"),
        None if value is None else _sign(scale.at(value), y, bar.style),
        label(WIDTH - RIGHT + 12, y, shortened(bar.written, SIZE, RIGHT - 12)),
    )


def _end(edge: float | None, border: float, x: float, y: float, style: str, way: int) -> Markup:
    """A stop where the interval ends; an arrow where it goes on beyond the picture."""
    if edge is not None and (edge - border) * way <= 0:
        return line(x, y - 4, x, y + 4, f"whisker {style}")
    return tag(
        "path",
        d=f"M{x - way * 6:.2f} {y - 5:.2f}L{x:.2f} {y:.2f}L{x - way * 6:.2f} {y + 5:.2f}",
        class_=f"whisker {style}",
    )


def _sign(x: float, y: float, style: str) -> Markup:
    """A dot, a diamond for well, a square for bad: told apart without colour."""
    if style == "bad":
        return tag("rect", x=x - 5, y=y - 5, width=10, height=10, class_=f"mark {style}")
    if style == "well":
        return tag(
            "path",
            d=f"M{x:.2f} {y - 7:.2f}L{x + 7:.2f} {y:.2f}L{x:.2f} {y + 7:.2f}L{x - 7:.2f} {y:.2f}Z",
            class_=f"mark {style}",
        )
    return tag("circle", cx=x, cy=y, r=5, class_=f"mark {style}")
