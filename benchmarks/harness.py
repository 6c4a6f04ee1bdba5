"""What every benchmark shares: its rows, its two flags, its verdicts, and where the data sets are.

A script calls `main(run)`: `run(quick)` returns rows; they are printed as a table and, with
`--json FILE`, written as a list of `{figure, ours, peers, ratio, must, aim, holds}`.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One figure. `ratio` is what `must` and `aim` speak of; `holds` is None where nothing is promised."""

    figure: str
    ours: Any = None
    peers: dict[str, Any] = field(default_factory=dict)
    ratio: float | None = None
    must: float | None = None
    aim: float | None = None
    holds: bool | None = None


def at_least(figure: str, ours: Any, value: float, must: float, aim: float | None, **peers: Any) -> Row:
    """A row that holds when `value` reaches `must`."""
    return Row(figure, ours, peers, round(value, 4), must, aim, value >= must)


def at_most(figure: str, ours: Any, value: float, must: float, aim: float | None, **peers: Any) -> Row:
    """A row that holds when `value` stays within `must`."""
    return Row(figure, ours, peers, round(value, 4), must, aim, value <= must)


def shown(figure: str, ours: Any, ratio: float | None = None, **peers: Any) -> Row:
    """A row that only informs."""
    return Row(figure, ours, peers, None if ratio is None else round(ratio, 4))


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` in 0..1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def data_folder(name: str) -> Path:
    """`$HOLDFAST_DATA/name` or `../shared/data/name`; exits 2 with what to do when missing."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("HOLDFAST_DATA", root.parent / "shared" / "data")) / name
    if not folder.is_dir():
        print(f"the data set {name} is not in {folder.parent}: set HOLDFAST_DATA to the folder that holds it")
        raise SystemExit(2)
    return folder


def print_table(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    head = ("figure", "ours", "ratio", "must", "aim", "holds", "peers")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    sys.stdout.flush()


def _cells(row: Row) -> tuple[str, ...]:
    holds = {None: "-", True: "yes", False: "NO"}[row.holds]
    peers = ", ".join(f"{name} {_short(value)}" for name, value in row.peers.items())
    return (row.figure, _short(row.ours), _short(row.ratio), _short(row.must), _short(row.aim), holds, peers)


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


async def _awaited(rows: Awaitable[Sequence[Row]]) -> Sequence[Row]:
    return await rows


def main(run: Callable[[bool], Sequence[Row] | Awaitable[Sequence[Row]]], title: str = "") -> None:
    """Parse `--quick` and `--json FILE`, run, print; the exit code tells only of failures to run."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="under a minute, noisier")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    options = parser.parse_args()
    found = run(options.quick)
    rows = asyncio.run(_awaited(found)) if isinstance(found, Awaitable) else found
    print_table(title, rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False))
