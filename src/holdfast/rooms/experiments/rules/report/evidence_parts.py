"""How the evidence against a release grew, gate by gate."""

from holdfast.rooms.experiments.rules.report.charts.evidence import Course, Shift, evidence_path
from holdfast.rooms.experiments.rules.report.figures import NONE, chosen, number, stamp
from holdfast.rooms.experiments.rules.report.labels import STATUSES, Lang, said, say
from holdfast.rooms.experiments.rules.report.markup import Markup
from holdfast.rooms.experiments.rules.report.release_page import EvidencePoint, GateRow, ReleasePage
from holdfast.rooms.experiments.rules.report.shell import folded, plot, section, subhead, table

MOST_POINTS = 400


def gate_name(gate: GateRow, lang: Lang) -> str:
    """What a gate is called, with what it means where its name does not say it."""
    if gate.of == "latency" and gate.target_s is not None:
        target = chosen(gate.target_s)
        slow = (
            f"{target}초{say('slower than', lang)}"
            if lang == "ko"
            else f"{say('slower than', lang)} {target} s"
        )
        return f"{gate.name} ({slow})"
    meaning = say("errors", lang)
    return f"{gate.name} ({meaning})" if gate.of == "errors" and gate.name != meaning else gate.name


def evidence(page: ReleasePage, lang: Lang) -> Markup | None:
    """A picture for each gate, and where its detectors ended."""
    drawn = [
        subhead(gate_name(gate, lang), plot(picture)) if len(page.gates) > 1 else plot(picture)
        for gate in page.gates
        if (picture := _path(page, gate, lang))
    ]
    rows = [row for gate in page.gates for row in _evidence_rows(gate, lang)]
    heads = [say(key, lang) for key in ("gate", "detector", "of threshold", "log evidence", "threshold")]
    ends = table(say("evidence at end", lang), heads, rows, numbers=(2, 3, 4))
    shown = folded(say("evidence at end", lang), ends) if ends else Markup()
    return section(say("evidence", lang), *drawn, shown, note=say("evidence read", lang) if drawn else "")


def _path(page: ReleasePage, gate: GateRow, lang: Lang) -> Markup:
    points = _thinned(sorted((point for point in page.evidence if point.gate == gate.name), key=_when))
    courses = tuple(
        Course(
            name=say(key, lang),
            decides_at=at,
            points=_beginning(page, field, points)
            + tuple((point.at_s, getattr(point, field)) for point in points),
            style=f"line-{order}",
        )
        for order, (key, field, at) in enumerate(_detectors(gate))
        if at is not None
    )
    shifts = tuple(
        Shift(row.began_s, f"{row.share / 100:g} %") for row in page.stages if row.began_s is not None
    )
    last = points[-1].at_s if points else 0.0
    title = f"{say('evidence', lang)}: {gate_name(gate, lang)}"
    return evidence_path(
        title,
        say("evidence read", lang),
        courses,
        threshold=say("decides", lang),
        decided=_decided(page, gate, lang),
        shifts=tuple(shift for shift in shifts if shift.at_s <= last),
        clock=page.clock,
    )


def _beginning(
    page: ReleasePage, field: str, points: list[EvidencePoint]
) -> tuple[tuple[float, float | None], ...]:
    """An e-process begins at 1: a release that is decided at the first reading has a path all the same."""
    if page.began_s is None or field == "log_sr" or not points or points[0].at_s <= page.began_s:
        return ()
    return ((page.began_s, 0.0),)


def _thinned(points: list[EvidencePoint]) -> list[EvidencePoint]:
    """No more than a picture can show; the last one stays. JSON has them all."""
    every = -(-len(points) // MOST_POINTS)
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def _when(point: EvidencePoint) -> float:
    return point.at_s


def _decided(page: ReleasePage, gate: GateRow, lang: Lang) -> tuple[float, str] | None:
    """The moment is drawn where it was this gate that decided, or no single one did."""
    if page.decided_s is None or page.gate not in ("", gate.name):
        return None
    status = said(STATUSES[page.status][2], lang) if page.status in STATUSES else page.status
    return page.decided_s, f"{status} {stamp(page.decided_s, page.clock)[11:]}"


def _detectors(gate: GateRow) -> tuple[tuple[str, str, float | None], ...]:
    return (
        ("relative", "log_e_relative", gate.relative_at),
        ("absolute new", "log_e_absolute_treatment", gate.absolute_at),
        ("absolute old", "log_e_absolute_control", gate.absolute_at),
        ("late", "log_sr", gate.sr_at),
    )


def _part(value: float, at: float | None) -> str:
    if not at:
        return NONE
    return f"{number(value / at * 100, 0)} %" if value > 0 else "≤ 0 %"


def _evidence_rows(gate: GateRow, lang: Lang) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for key, field, at in _detectors(gate):
        value: float | None = getattr(gate, field)
        if value is None:
            continue
        part = _part(value, at)
        rows.append((gate.name, say(key, lang), part, number(value, 2), number(at, 2)))
    return rows
