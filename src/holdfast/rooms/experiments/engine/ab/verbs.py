"""The commands of experiments: list, plan, start, look, stop, delete, report, covariates."""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import BadInput
from holdfast.kernel.room import Verb
from holdfast.rooms.experiments.engine.ab.experiments import Experiments
from holdfast.rooms.experiments.engine.ab.planning import PlanAsk, PlanView
from holdfast.rooms.experiments.engine.ab.views import Brief, brief, results_of
from holdfast.rooms.experiments.engine.commands import actor, from_file, write_report
from holdfast.rooms.experiments.rules.experiments import Experiment
from holdfast.rooms.experiments.rules.problems import UnknownName
from holdfast.rooms.experiments.rules.report.experiment_page import ExperimentPage
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage

_FILE = "an experiment in TOML or JSON, see docs/rooms/experiments.md"


class ExperimentVerbs:
    """The commands, run by the CLI after the rooms have started. `release` gives the page of a release."""

    def __init__(
        self,
        experiments: Experiments,
        release: Callable[[str], Awaitable[ReleasePage]] | None = None,
    ) -> None:
        self._experiments = experiments
        self._release = release

    def all(self) -> Sequence[Verb]:
        return (
            Verb("experiment list", "experiments and where they stand", self.listed, _json),
            Verb("experiment plan", "sample size and duration of an experiment", self.plan, _plan),
            Verb("experiment start", "start an experiment, from a file or by its name", self.start, _start),
            Verb("experiment look", "the figures as far as they may be shown now", self.look, _look),
            Verb("experiment stop", "end an experiment", self.stop, _stop),
            Verb("experiment delete", "remove an experiment that never ran", self.delete, _name),
            Verb("experiment report", "the report of an experiment or a release", self.report, _report),
            Verb("experiment covariates", "take units' past from a CSV", self.covariates, _covariates),
        )

    async def listed(self, options: argparse.Namespace) -> int:
        for stored in await self._experiments.all():
            found = brief(stored)
            print(encode_json(found).decode() if options.json else line_of(found))
        return 0

    async def plan(self, options: argparse.Namespace) -> int:
        ask = PlanAsk(
            metric=options.metric,
            effect=options.effect,
            days=options.days,
            baseline=options.baseline,
            spread=options.spread,
            units_per_day=options.units_per_day,
            power=options.power,
            alpha=options.alpha,
            keep=options.keep,
        )
        found = await self._experiments.plan(await self._named(options), ask, actor())
        print(encode_json(found).decode() if options.json else plan_line(found))
        return 0

    async def start(self, options: argparse.Namespace) -> int:
        print(line_of(brief(await self._experiments.lives.start(await self._named(options), actor()))))
        return 0

    async def look(self, options: argparse.Namespace) -> int:
        looked = await self._experiments.look(options.name, actor())
        if options.json:
            print(encode_json(results_of(looked)).decode())
            return 0
        print(looked.analysis.verdict.words.get(options.lang, looked.analysis.verdict.decision))
        return 0

    async def stop(self, options: argparse.Namespace) -> int:
        stopped = await self._experiments.stop(options.name, actor(), options.decision, options.reason)
        print(line_of(brief(stopped)))
        return 0

    async def delete(self, options: argparse.Namespace) -> int:
        await self._experiments.drop(options.name)
        print(f"{options.name} is gone")
        return 0

    async def report(self, options: argparse.Namespace) -> int:
        return write_report(await self._page(options.name), options)

    async def covariates(self, options: argparse.Namespace) -> int:
        try:
            text = options.file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{options.file}: {error}", hint="a CSV file in UTF-8") from None
        taken = await self._experiments.covariates(options.name, text)
        print(f"{options.name}: the past of {taken.units:,} units ({', '.join(taken.metrics)})")
        return 0

    async def _named(self, options: argparse.Namespace) -> str:
        """The experiment that is meant; a draft is made from the file first."""
        if options.file is not None:
            experiment = from_file(options.file, Experiment, _FILE)
            await self._experiments.lives.put(experiment, actor())
            return experiment.name
        if not options.name:
            raise BadInput("nothing is named", hint="give a name, or --file with a definition")
        return str(options.name)

    async def _page(self, name: str) -> ExperimentPage | ReleasePage:
        try:
            return await self._experiments.page(name, actor())
        except UnknownName:
            if self._release is None:
                raise
            return await self._release(name)


def line_of(found: Brief) -> str:
    """An experiment in one line."""
    parts = [found.name, found.status]
    if found.started_ms is not None:
        parts.append(f"since {datetime.fromtimestamp(found.started_ms / 1000, UTC):%Y-%m-%d %H:%M}")
    if found.phase > 1:
        parts.append(f"phase {found.phase}")
    parts += [found.decision, ", ".join(found.alarms), found.hypothesis]
    return "  ".join(part for part in parts if part)


def plan_line(found: PlanView) -> str:
    """A plan in one line."""
    told = f"{found.metric}: {found.units_per_arm:,} units an arm find {found.effect:+.1%}"
    told += f" with power {found.power:.0%} (baseline {found.baseline:g}, {found.source})"
    return f"{told}; {found.days:g} days" if found.days is not None else told


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON instead of words")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the experiment")


def _plan(parser: argparse.ArgumentParser) -> None:
    _start(parser)
    _json(parser)
    parser.add_argument("--metric", metavar="NAME", help="default: its first primary metric")
    parser.add_argument("--effect", type=float, metavar="SHARE", help="least effect to find: 0.05 is 5 %%")
    parser.add_argument("--days", type=float, metavar="N", help="instead: what so many days find")
    parser.add_argument("--baseline", type=float, metavar="X", help="control's figure; default: as seen")
    parser.add_argument("--spread", type=float, metavar="X", help="standard deviation of a unit's total")
    parser.add_argument("--units-per-day", type=float, metavar="N", help="new units; default: as seen")
    parser.add_argument("--power", type=float, metavar="SHARE", help="default 0.8")
    parser.add_argument("--alpha", type=float, metavar="SHARE", help="default 0.05")
    parser.add_argument("--keep", action="store_true", help="make it the experiment's plan")


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="", help="the experiment; with --file, the file names it")
    parser.add_argument("--file", type=Path, metavar="FILE", help="its definition, TOML or JSON")


def _look(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    _json(parser)
    _lang(parser)


def _stop(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--decision", default="", metavar="ARM", help="what everybody gets; default control")
    parser.add_argument("--reason", default="", metavar="TEXT", help="stands in the diary")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the experiment or the release")
    _json(parser)
    _lang(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there")


def _covariates(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("file", type=Path, help="a CSV: `unit` and one column for each metric")


def _lang(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lang", choices=("ko", "en"), default="ko", help="of the words")
