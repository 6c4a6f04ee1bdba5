"""The room's commands: import items, import interactions, recommend train, evaluate, rollback.

Loads the engine, and with it NumPy, only when a command that needs it runs.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.kernel.room import Verb
from holdfast.ports.storage import Sql
from holdfast.rooms.recommend.rules.settings import Config

if TYPE_CHECKING:
    from holdfast.rooms.recommend.engine.engine import Engine
    from holdfast.rooms.recommend.engine.fitting import Outcome
    from holdfast.rooms.recommend.engine.importing import Tally

FIELDS = ("user", "item", "weight", "rating", "time", "type")
ITEM_FIELDS = ("item", "name", "text", "tags", "stock", "expires", "hidden")
UNREADABLE = 2


class Verbs:
    """The commands, run by the CLI after the store is open and migrated."""

    def __init__(self, open_engine: "Callable[[], Engine]", config: Config, sql: Sql, clock: Clock) -> None:
        self._open = open_engine
        self._config = config
        self._sql = sql
        self._clock = clock

    def all(self) -> Sequence[Verb]:
        return (
            Verb("import items", "read a catalogue from a file", self.import_items, _item_arguments),
            Verb(
                "import interactions",
                "read what users did from a file",
                self.import_interactions,
                _interaction_arguments,
            ),
            Verb("recommend train", "train now; what passes the gate serves", self.train),
            Verb("recommend evaluate", "back-test every candidate on the log itself", self.evaluate),
            Verb("recommend rollback", "serve the previous model again", self.rollback),
        )

    async def import_items(self, options: argparse.Namespace) -> int:
        self._open().work_alone()
        from holdfast.rooms.recommend.engine.importing import import_items
        from holdfast.rooms.recommend.engine.reading import Source

        try:
            source = Source(options.file, options.format or "", _delimiter(options.delimiter))
            tally = await import_items(self._sql, self._clock, source, _columns(options, ITEM_FIELDS))
            await self._open().repeating.drop_all()
        except Problem as problem:
            return _refuse(problem)
        return _report("items", tally)

    async def import_interactions(self, options: argparse.Namespace) -> int:
        self._open().work_alone()
        from holdfast.rooms.recommend.engine.importing import Plan, import_interactions
        from holdfast.rooms.recommend.engine.reading import Source

        plan = Plan(
            columns=_columns(options, FIELDS),
            header=not options.no_header,
            min_rating=options.min_rating,
            strict_items=options.strict_items,
            rating_scale=self._config.rating_scale,
        )
        try:
            source = Source(options.file, options.format or "", _delimiter(options.delimiter))
            tally = await import_interactions(self._sql, self._clock, source, plan)
            await self._open().repeating.drop_all()
        except Problem as problem:
            return _refuse(problem)
        return _report("interactions", tally)

    async def train(self, options: argparse.Namespace) -> int:
        engine = self._open()
        engine.work_alone()
        try:
            outcome = await engine.train()
        except Problem as problem:
            return _refuse(problem, 1)
        _show(outcome)
        print(("serves now: " if outcome.verdict.promoted else "refused: ") + outcome.verdict.reason)
        return 0 if outcome.verdict.promoted else 1

    async def evaluate(self, options: argparse.Namespace) -> int:
        engine = self._open()
        engine.work_alone()
        try:
            _show(await engine.trainer.evaluate())
        except Problem as problem:
            return _refuse(problem, 1)
        return 0

    async def rollback(self, options: argparse.Namespace) -> int:
        try:
            print(f"serves now: {await self._open().rollback()}")
        except Problem as problem:
            return _refuse(problem, 1)
        return 0


def _item_arguments(parser: argparse.ArgumentParser) -> None:
    _file_arguments(parser, ITEM_FIELDS)


def _interaction_arguments(parser: argparse.ArgumentParser) -> None:
    _file_arguments(parser, FIELDS)
    parser.add_argument(
        "--no-header", action="store_true", help="the first line is data: user item rating time"
    )
    parser.add_argument(
        "--min-rating", type=float, metavar="N", help="ratings from N up are liked, lower ones only seen"
    )
    parser.add_argument(
        "--strict-items", action="store_true", help="reject rows of items not in the catalogue"
    )


def _file_arguments(parser: argparse.ArgumentParser, fields: Sequence[str]) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--format", choices=("csv", "tsv", "jsonl", "parquet", "adjacency"), help="found by name and content"
    )
    parser.add_argument("--delimiter", metavar="SIGN", help=r"between columns, e.g. ';' or '\t'")
    for field in fields:
        parser.add_argument(f"--{field}", metavar="COLUMN", help=f"the {field} column: its name or number")


def _columns(options: argparse.Namespace, fields: Sequence[str]) -> dict[str, str]:
    return {field: given for field in fields if (given := getattr(options, field, None)) is not None}


def _delimiter(given: str | None) -> str:
    return (given or "").replace("\\t", "\t")


def _refuse(problem: Problem, code: int = UNREADABLE) -> int:
    print(f"{problem.detail or problem}\n  {problem.hint}", file=sys.stderr)
    return code


def _report(what: str, tally: "Tally") -> int:
    """One line of what came of it; 1 when nothing but rejected rows came."""
    counts = f"{tally.added:,} new, {tally.changed:,} changed, {tally.same:,} known already"
    print(f"{what}: {tally.rows:,} rows; {counts}, {tally.rejected:,} rejected")
    if tally.rejected:
        print(f"rejected rows with line and reason: {tally.rejects}", file=sys.stderr)
    return 1 if tally.rejected and not tally.added + tally.changed + tally.same else 0


def _show(outcome: "Outcome") -> None:
    print(f"{outcome.events:,} events, {outcome.pairs:,} liked pairs")
    print(f"{'model':<22}{'R@20':>8}{'NDCG@20':>9}{'NDCG@10':>9}{'coverage':>10}{'seconds':>9}")
    for tried in outcome.candidates:
        name = tried.name + "".join(f" {key}={value:g}" for key, value in tried.settings.items())
        if tried.quality is None:
            print(f"{name:<22}  not tried: {tried.skipped}")
            continue
        found = tried.quality
        figures = f"{found.recall[20]:8.4f}{found.ndcg[20]:9.4f}{found.ndcg[10]:9.4f}{found.coverage:10.3f}"
        print(f"{name:<22}{figures}{tried.seconds:9.1f}")
    print(outcome.reason)
