"""Takes units' past from a CSV: what another system knows of them, before anyone is exposed."""

import asyncio
import csv
import io
from collections.abc import Mapping, Sequence

import msgspec

from holdfast.kernel.errors import BadInput, TooLarge
from holdfast.rooms.experiments.rules.ab.lives import Stored, check_step
from holdfast.rooms.experiments.rules.ab.taking import Moves, Unit
from holdfast.rooms.experiments.rules.ab.watching import measured
from holdfast.rooms.experiments.rules.assigning import BadUnit, normalise
from holdfast.rooms.experiments.rules.experiments import Metric
from holdfast.rooms.experiments.store.ab_sums import SumsStore, UnitKey

MOST_BYTES = 50_000_000
MOST_LINES = 1_000_000
PART = 1_000
MOST_WRONG = 20
"""Lines that are named in a refusal."""


class BadLines(BadInput):
    """Lines of the file cannot be taken."""

    code = "experiments-bad-lines"


class Imported(msgspec.Struct, frozen=True):
    """What was taken."""

    units: int
    metrics: list[str]


class Covariates:
    """Sets units' past. All of a file is read before anything is written: one wrong line refuses it."""

    def __init__(self, sums: SumsStore) -> None:
        self._sums = sums

    async def take(
        self, stored: Stored, metrics: Sequence[Metric], text: str, writer: str, now_ms: int
    ) -> Imported:
        """Columns `unit` and one for each metric; raises BadLines with the lines' numbers."""
        check_step(stored, "covariates")
        name = stored.experiment.name
        uses = [use.metric for use in stored.experiment.metrics]
        # Seconds for a million lines: beside the loop.
        rows, heads = await asyncio.to_thread(_read, text, uses)
        units = sorted(rows)
        for start in range(0, len(units), PART):
            part = {(name, unit): rows[unit] for unit in units[start : start + PART]}
            settle = _Setting(name, metrics, part).settle
            await self._sums.take(writer, 1 + start // PART, part, part, settle, now_ms)
        return Imported(len(units), heads)


class _Setting:
    """Sets the past of some units."""

    def __init__(
        self, name: str, metrics: Sequence[Metric], past: Mapping[UnitKey, dict[str, float]]
    ) -> None:
        self._name = name
        self._metrics = metrics
        self._past = past

    def settle(self, rows: Mapping[UnitKey, Unit]) -> tuple[dict[UnitKey, Unit], dict[str, Moves]]:
        changed, moves = {}, Moves()
        for key, before in rows.items():
            past = {**before.past, **self._past[key]}
            # Whoever stands in a file has not come yet: plans would take all of it for a day's traffic.
            changed[key] = msgspec.structs.replace(before, past=past)
            moves.of(before, changed[key], self._metrics)
        return changed, {self._name: moves}


def _read(text: str, uses: list[str]) -> tuple[dict[str, dict[str, float]], list[str]]:
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise TooLarge(f"more than {MOST_BYTES:,} bytes", hint="cut the file into several")
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    heads = [head.strip() for head in next(reader, [])]
    metrics = [head for head in heads if head != "unit"]
    strange = [head for head in metrics if head not in uses]
    if "unit" not in heads or not metrics or strange or len(set(heads)) < len(heads):
        raise BadLines(
            f"line 1: {', '.join(map(repr, strange)) or 'the columns'} cannot be taken",
            hint=f"the first line is `unit`, then metrics of the experiment: {', '.join(uses)}",
        )
    rows: dict[str, dict[str, float]] = {}
    wrong: list[str] = []
    try:
        for cells in reader:
            if reader.line_num > MOST_LINES:
                raise TooLarge(f"more than {MOST_LINES:,} lines", hint="cut the file into several")
            if cells and (fault := _row(heads, cells, rows)):
                wrong.append(f"line {reader.line_num}: {fault}")
                if len(wrong) >= MOST_WRONG:
                    break
    except csv.Error as error:
        wrong.append(f"line {reader.line_num}: {error}")
    if wrong:
        raise BadLines("; ".join(wrong), hint="nothing of the file was taken")
    return rows, metrics


def _row(heads: list[str], cells: list[str], rows: dict[str, dict[str, float]]) -> str:
    """Keep the row; what is wrong with it, or nothing."""
    if len(cells) != len(heads):
        return f"{len(cells)} columns instead of {len(heads)}"
    given = dict(zip(heads, cells, strict=True))
    try:
        unit = normalise(given.pop("unit"))
    except BadUnit as error:
        return str(error)
    if not unit:
        return "the unit is empty"
    if unit in rows:
        return f"the unit {unit!r} stands there twice"
    past: dict[str, float] = {}
    for metric, cell in given.items():
        try:
            value = measured(float(cell))
        except ValueError:
            return f"{cell!r} is no number"
        if value is None:
            return f"{cell!r} is no measurement"
        past[metric] = value
    rows[unit] = past
    return ""
