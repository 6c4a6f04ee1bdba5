"""Charts: right places, no overlap, and nothing that cannot be drawn."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.report.charts.band import band
from holdfast.rooms.experiments.rules.report.charts.evidence import Course, Shift, evidence_path
from holdfast.rooms.experiments.rules.report.charts.forest import Bar, forest
from holdfast.rooms.experiments.rules.report.charts.frame import SIZE
from holdfast.rooms.experiments.rules.report.charts.staircase import staircase
from holdfast.rooms.experiments.rules.report.experiment_page import EffectPoint
from holdfast.rooms.experiments.rules.report.page import Clock, Figure
from holdfast.rooms.experiments.rules.report.scales import width_of

CLOCK = Clock()
ANY = st.one_of(st.none(), st.floats(), st.sampled_from([1e300, -1e308, 1e-320, 0.0]))


def course(*values, decides_at=4.0, name="worse than old", style="line-0"):
    return Course(
        name=name,
        decides_at=decides_at,
        points=tuple((60.0 * at, v) for at, v in enumerate(values)),
        style=style,
    )


def boxes(root):
    """Left, right, top, bottom of every text."""
    found = []
    for text in root.iter("text"):
        x, y, width = float(text.get("x")), float(text.get("y")), width_of(text.text or "", SIZE)
        left = {"start": x, "middle": x - width / 2, "end": x - width}[text.get("text-anchor")]
        found.append((left, left + width, y - SIZE * 0.8, y + SIZE * 0.1, text.text))
    return found


def overlapping(root):
    found = boxes(root)
    return [
        (one[4], other[4])
        for at, one in enumerate(found)
        for other in found[at + 1 :]
        if one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
    ]


def test_evidence_that_just_decides_touches_the_line():
    root = ElementTree.fromstring(
        evidence_path("t", "d", (course(0.0, 2.0, 4.0),), threshold="decides", clock=CLOCK)
    )
    line = next(line for line in root.iter("line") if line.get("class") == "threshold")
    drawn = next(path for path in root.iter("path") if path.get("class") == "line-0").get("d")
    ys = [float(point.split()[1]) for point in drawn[1:].split("L")]
    zero, full = ys[0], ys[2]
    assert full == pytest.approx(float(line.get("y1")), abs=0.01)
    assert ys[1] == pytest.approx((zero + full) / 2, abs=0.01)


def test_a_line_that_leaves_the_picture_keeps_its_slope():
    text = evidence_path("t", "d", (course(0.0, 40.0, -40.0),), threshold="decides", clock=CLOCK)
    drawn = next(path for path in ElementTree.fromstring(text).iter("path") if path.get("class") == "line-0")
    points = [tuple(map(float, point.split())) for point in drawn.get("d")[1:].split("L")]
    (left, zero), (leaves, top) = points[0], points[1]
    whole = points[-1][0] - left
    assert leaves - left == pytest.approx(whole / 2 * 0.15, abs=0.02)
    assert top < zero
    assert len(points) == 6


def test_labels_of_detectors_that_end_together_do_not_overlap():
    courses = tuple(
        course(0.0, 1.0 + at / 100, name=f"감지 방법 {at}", style=f"line-{at}") for at in range(4)
    )
    shifts = tuple(Shift(at * 5.0, f"{at} %") for at in range(12))
    root = ElementTree.fromstring(
        evidence_path(
            "t", "d", courses, threshold="결정선", decided=(60.0, "되돌림 12:14"), shifts=shifts, clock=CLOCK
        )
    )
    assert overlapping(root) == []


@pytest.mark.parametrize("courses", [(), (course(),), (course(None, None),), (course(1.0, decides_at=0.0),)])
def test_without_evidence_there_is_no_picture(courses):
    assert evidence_path("t", "d", courses, threshold="", clock=CLOCK) == ""


def test_one_point_is_a_dot():
    root = ElementTree.fromstring(evidence_path("t", "d", (course(1.0),), threshold="", clock=CLOCK))
    assert [mark.get("class") for mark in root.iter("circle")] == ["line-0 spot"]


def test_a_forest_puts_zero_between_worse_and_better():
    bars = (
        Bar(name="a", figure=Figure(0.1, 0.05, 0.15), style="well"),
        Bar(name="b", figure=Figure(-0.1, -0.15, -0.05), style="bad"),
    )
    root = ElementTree.fromstring(forest("t", "d", bars, ends=("worse", "better")))
    zero = next(float(line.get("x1")) for line in root.iter("line") if line.get("class") == "axis")
    whiskers = [line for line in root.iter("line") if line.get("class", "").startswith("whisker")]
    assert all(float(line.get("x1")) > zero for line in whiskers if "well" in line.get("class"))
    assert all(float(line.get("x1")) < zero for line in whiskers if "bad" in line.get("class"))
    assert overlapping(root) == []


def test_a_forest_tells_better_and_worse_apart_by_shape():
    bars = tuple(Bar(name=style, figure=Figure(0.1), style=style) for style in ("well", "bad", "plain"))
    root = ElementTree.fromstring(forest("t", "d", bars))
    assert len({mark.tag for mark in root.iter() if (mark.get("class") or "").startswith("mark")}) == 3


def test_a_bar_of_unknown_width_is_only_a_mark_and_an_open_side_an_arrow():
    known = forest("t", "d", (Bar(name="a", figure=Figure(0.1)),))
    half_open = forest("t", "d", (Bar(name="a", figure=Figure(0.1, 0.05, None)),))
    assert "whisker" not in known
    assert '<path d="M' in half_open


def test_a_single_wild_interval_does_not_flatten_the_others():
    bars = (
        *(Bar(name=f"m{at}", figure=Figure(0.02, 0.01, 0.03)) for at in range(5)),
        Bar(name="wild", figure=Figure(0.02, -40.0, 40.0)),
    )
    root = ElementTree.fromstring(forest("t", "d", bars))
    widths = [
        float(line.get("x2")) - float(line.get("x1"))
        for line in root.iter("line")
        if line.get("class") == "whisker plain"
    ]
    assert max(width for width in widths if width < 300) > 40


def test_the_interval_of_the_only_large_figure_is_shown_whole():
    bars = (
        Bar(name="new", figure=Figure(0.09, 0.05, 0.145)),
        *(Bar(name="old", figure=Figure(0.001, 0.0, 0.009)),) * 3,
    )
    assert "<path" not in forest("t", "d", bars, signed=False)


def test_a_staircase_goes_up_and_back_to_nothing():
    steps = ((0.0, 5.0), (3600.0, 25.0), (7200.0, 0.0))
    root = ElementTree.fromstring(staircase("t", "d", steps, 9000.0, CLOCK))
    drawn = next(path for path in root.iter("path") if path.get("class") == "line-0").get("d")
    ys = [float(point.split()[1]) for point in drawn[1:].split("L")]
    assert ys[4] > ys[0] > ys[2]
    assert ys[4] - ys[2] == pytest.approx(5 * (ys[4] - ys[0]), abs=0.05)
    assert overlapping(root) == []


@pytest.mark.parametrize("steps", [(), ((None, 5.0),)])
def test_without_steps_there_is_no_staircase(steps):
    assert staircase("t", "d", steps, None, CLOCK) == ""


def test_a_band_of_nothing_is_nothing_and_of_one_day_a_mark():
    point = EffectPoint(at_s=0.0, metric="m", arm="a", effect=Figure(0.02, -0.1, 0.1))
    assert band("t", "d", (), CLOCK) == ""
    root = ElementTree.fromstring(band("t", "d", (point,), CLOCK))
    assert [mark.get("class") for mark in root.iter("circle")] == ["line-0 spot"]
    assert overlapping(root) == []


def test_a_day_is_a_dot_beside_the_looks():
    """As the room gives them: a look has no day, and a day no effect up to then."""
    looks = tuple(
        EffectPoint(at_s=at_s, metric="m", arm="a", effect=Figure(0.02, -0.1, 0.1)) for at_s in (0.0, 5e4)
    )
    day = EffectPoint(at_s=8.64e4, metric="m", arm="a", day=Figure(0.05, -0.2, 0.3))
    root = ElementTree.fromstring(band("t", "d", (*looks, day), CLOCK))
    (dot,) = (mark for mark in root.iter("circle") if mark.get("class") == "day")
    assert 60 <= float(dot.get("cx")) <= 700
    assert band("t", "d", (day,), CLOCK) == ""


@given(st.lists(st.tuples(ANY, ANY, ANY, ANY), max_size=6))
def test_whatever_comes_is_drawn_within_the_frame(rows):
    points = tuple(
        EffectPoint(
            at_s=at_s if at_s is not None else 0.0,
            metric="m",
            arm="a",
            effect=Figure(value, low, high),
            day=Figure(low),
        )
        for at_s, value, low, high in rows
    )
    bars = tuple(
        Bar(name="한", figure=Figure(value, low, high), limit=at_s) for at_s, value, low, high in rows
    )
    courses = (Course(name="c", decides_at=3.0, points=tuple((row[0] or 0.0, row[1]) for row in rows)),)
    for text in (
        band("t", "d", points, CLOCK),
        forest("t", "d", bars),
        staircase("t", "d", tuple(row[:2] for row in rows), rows[0][2] if rows else None, CLOCK),
        evidence_path("t", "d", courses, threshold="x", clock=CLOCK),
    ):
        if text:
            for element in ElementTree.fromstring(text).iter():
                for key in ("x", "x1", "x2", "y", "y1", "y2", "cx", "cy"):
                    assert -1 <= float(element.get(key, 0)) <= 700
