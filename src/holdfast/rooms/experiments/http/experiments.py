"""The addresses of experiments and of their metrics: all for administrators."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import TooLarge
from holdfast.kernel.route import Answer, Call, Handler, Route
from holdfast.rooms.experiments.engine.ab.covariates import MOST_BYTES, BadLines, Imported
from holdfast.rooms.experiments.engine.ab.experiments import Experiments
from holdfast.rooms.experiments.engine.ab.planning import PlanAsk, PlanView
from holdfast.rooms.experiments.engine.ab.views import (
    Brief,
    LookLine,
    Results,
    Whole,
    brief,
    line_of_look,
    results_of,
)
from holdfast.rooms.experiments.http.answers import GONE, actor, reported, said, same_name
from holdfast.rooms.experiments.rules.ab.lives import Stored
from holdfast.rooms.experiments.rules.experiments import Experiment, Metric
from holdfast.rooms.experiments.rules.flags import Name, Share
from holdfast.rooms.experiments.rules.problems import UnknownName
from holdfast.rooms.experiments.rules.report.experiment_page import ExperimentPage

PATH = "/admin/experiments"
METRICS = "/admin/experiments-metrics"
_CSV = {"text/csv": {"type": "string"}}


class ExperimentList(msgspec.Struct, frozen=True):
    """Every experiment, by name."""

    experiments: list[Brief]


class MetricList(msgspec.Struct, frozen=True):
    """Every metric that experiments may use, by name."""

    metrics: list[Metric]


class LookList(msgspec.Struct, frozen=True):
    """Every look of the present phase, in order."""

    looks: list[LookLine]


class PutQuery(msgspec.Struct, frozen=True):
    """What a change goes by."""

    generation: Annotated[int, Meta(ge=0)] | None = None
    """Refused where somebody else has changed it since."""


class StopBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it ends."""

    decision: Annotated[str, Meta(description="the arm that everybody gets; empty: control")] = ""
    reason: Annotated[str, Meta(max_length=1000)] = ""


class PhaseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares from now on, in buckets of 10,000; arms that are not named keep theirs."""

    shares: dict[Name, Share]


class ResultsQuery(msgspec.Struct, frozen=True):
    """Whether to look anew."""

    look: Annotated[bool, Meta(description="false shows the last look and takes none")] = True


class ReportQuery(msgspec.Struct, frozen=True):
    """How the report is written."""

    format: Annotated[
        Literal["", "html", "json"], Meta(description="empty: HTML where Accept asks for it, else JSON")
    ] = ""
    lang: Literal["ko", "en"] = "ko"


class ExperimentsHttp:
    """Parses, asks the experiments, encodes; every answer forbids storing it."""

    def __init__(self, experiments: Experiments) -> None:
        self._experiments = experiments

    async def listed(self, call: Call) -> Answer:
        return said(ExperimentList([brief(each) for each in await self._experiments.all()]))

    async def put(self, call: Call) -> Answer:
        experiment: Experiment = call.body
        same_name(call, experiment.name)
        query: PutQuery = call.query or PutQuery()
        return await self._whole(await self._experiments.lives.put(experiment, actor(call), query.generation))

    async def shown(self, call: Call) -> Answer:
        return await self._whole(await self._experiments.lives.one(call.params["name"]))

    async def drop(self, call: Call) -> Answer:
        await self._experiments.drop(call.params["name"])
        return GONE

    async def plan(self, call: Call) -> Answer:
        ask: PlanAsk = call.body or PlanAsk()
        return said(await self._experiments.plan(call.params["name"], ask, actor(call)))

    async def start(self, call: Call) -> Answer:
        return await self._whole(await self._experiments.lives.start(call.params["name"], actor(call)))

    async def stop(self, call: Call) -> Answer:
        body: StopBody = call.body or StopBody()
        name = call.params["name"]
        return await self._whole(await self._experiments.stop(name, actor(call), body.decision, body.reason))

    async def phase(self, call: Call) -> Answer:
        body: PhaseBody = call.body
        found = await self._experiments.lives.change_shares(call.params["name"], body.shares, actor(call))
        return await self._whole(found)

    async def covariates(self, call: Call) -> Answer:
        return said(await self._experiments.covariates(call.params["name"], await _text(call)))

    async def results(self, call: Call) -> Answer:
        name, query = call.params["name"], call.query or ResultsQuery()
        if query.look:
            return said(results_of(await self._experiments.look(name, actor(call))))
        looked = await self._experiments.results(name)
        if looked is None:
            raise UnknownName(f"nobody has looked at {name!r} yet", hint="?look=true looks now")
        return said(results_of(looked))

    async def looks(self, call: Call) -> Answer:
        stored = await self._experiments.lives.one(call.params["name"])
        return said(LookList([line_of_look(row) for row in await self._experiments.looks.taken(stored)]))

    async def report(self, call: Call) -> Answer:
        query: ReportQuery = call.query or ReportQuery()
        page = await self._experiments.page(call.params["name"], actor(call))
        return reported(page, call, query.format, query.lang)

    async def metrics(self, call: Call) -> Answer:
        known = await self._experiments.lives.metrics()
        return said(MetricList([known[name] for name in sorted(known)]))

    async def put_metric(self, call: Call) -> Answer:
        metric: Metric = call.body
        same_name(call, metric.name)
        return said(await self._experiments.lives.put_metric(metric))

    async def drop_metric(self, call: Call) -> Answer:
        await self._experiments.lives.drop_metric(call.params["name"])
        return GONE

    async def _whole(self, stored: Stored) -> Answer:
        return said(await self._experiments.whole(stored))


async def _text(call: Call) -> str:
    """The body as text; raises TooLarge, BadLines."""
    parts, size = [], 0
    if call.chunks is not None:
        async for chunk in call.chunks:
            size += len(chunk)
            if size > MOST_BYTES:
                raise TooLarge(f"more than {MOST_BYTES:,} bytes", hint="cut the file into several")
            parts.append(chunk)
    try:
        return b"".join(parts).decode("utf-8")
    except UnicodeDecodeError as error:
        line = b"".join(parts)[: error.start].count(b"\n") + 1
        raise BadLines(f"line {line}: not UTF-8", hint="save the file as UTF-8") from None


def routes(http: ExperimentsHttp) -> Sequence[Route]:
    """All of them ask for the admin token outside development."""
    return (*_life(http), *_figures(http), *_metrics(http))


def _life(http: ExperimentsHttp) -> Sequence[Route]:
    one = PATH + "/{name}"
    steps: tuple[tuple[str, Handler, str, Any, Any], ...] = (
        ("plan", http.plan, "Sample size and duration, from figures given or seen.", PlanAsk, PlanView),
        ("start", http.start, "Start it, or let it collect units' past first.", None, Whole),
        ("stop", http.stop, "End it with a last look.", StopBody, Whole),
        ("phase", http.phase, "Other shares from now on: a new phase.", PhaseBody, Whole),
    )
    return (
        Route("GET", PATH, http.listed, "Every experiment.", answer=ExperimentList, public=False),
        Route(
            "PUT",
            one,
            http.put,
            "Make an experiment, or change its draft.",
            query=PutQuery,
            body=Experiment,
            answer=Whole,
            public=False,
        ),
        Route("GET", one, http.shown, "An experiment and its life.", answer=Whole, public=False),
        Route("DELETE", one, http.drop, "Remove an experiment that never ran.", status=204, public=False),
        *(
            Route("POST", f"{one}/{step}", handler, summary, body=body, answer=answer, public=False)
            for step, handler, summary, body, answer in steps
        ),
        Route(
            "POST",
            one + "/covariates",
            http.covariates,
            "Units' past from a CSV: `unit` and one column for each metric.",
            answer=Imported,
            reads=_CSV,
            public=False,
        ),
    )


def _figures(http: ExperimentsHttp) -> Sequence[Route]:
    one = PATH + "/{name}"
    shown: tuple[tuple[str, Handler, str, Any, Any], ...] = (
        ("results", http.results, "The figures as far as they may be shown now.", ResultsQuery, Results),
        ("looks", http.looks, "Who looked, when, at what.", None, LookList),
        ("report", http.report, "The report, as HTML or JSON.", ReportQuery, ExperimentPage),
    )
    return tuple(
        Route("GET", f"{one}/{what}", handler, summary, query=query, answer=answer, public=False)
        for what, handler, summary, query, answer in shown
    )


def _metrics(http: ExperimentsHttp) -> Sequence[Route]:
    one = METRICS + "/{name}"
    return (
        Route("GET", METRICS, http.metrics, "Every metric.", answer=MetricList, public=False),
        Route(
            "PUT", one, http.put_metric, "Make or change a metric.", body=Metric, answer=Metric, public=False
        ),
        Route("DELETE", one, http.drop_metric, "Forget a metric.", status=204, public=False),
    )
