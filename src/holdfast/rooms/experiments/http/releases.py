"""The addresses of releases: all for administrators."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.experiments.engine.canary.releases import Releases
from holdfast.rooms.experiments.engine.canary.views import Brief, Whole, brief
from holdfast.rooms.experiments.http.answers import GONE, actor, reported, said, same_name
from holdfast.rooms.experiments.rules.releases import Release
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage
from holdfast.rooms.experiments.store.release_rows import Standing

PATH = "/admin/releases"


class ReleaseList(msgspec.Struct, frozen=True):
    """Every release, by name."""

    releases: list[Brief]


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to start."""

    force: Annotated[bool, Meta(description="start a version that was rolled back before")] = False


class ReasonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why; it stands in the audit."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class PromoteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far."""

    to: Annotated[Literal["next", "full"], Meta(description="the next stage, or everybody")] = "next"
    reason: Annotated[str, Meta(max_length=1000)] = ""


class ReportQuery(msgspec.Struct, frozen=True):
    """Which report, and how."""

    format: Annotated[
        Literal["", "html", "json"], Meta(description="empty: HTML where Accept asks for it, else JSON")
    ] = ""
    lang: Literal["ko", "en"] = "ko"
    run: Annotated[int, Meta(ge=1)] | None = None
    """Which start of it; the last one where none is named."""


class ReleasesHttp:
    """Parses, asks the releases, encodes; every answer forbids storing it."""

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

    async def listed(self, call: Call) -> Answer:
        return said(ReleaseList(await self._releases.listed()))

    async def define(self, call: Call) -> Answer:
        release: Release = call.body
        same_name(call, release.name)
        return _stands(await self._releases.operating.define(release, actor(call)))

    async def shown(self, call: Call) -> Answer:
        return said(await self._releases.shown(call.params["name"]))

    async def drop(self, call: Call) -> Answer:
        await self._releases.operating.drop(call.params["name"])
        return GONE

    async def start(self, call: Call) -> Answer:
        body: StartBody = call.body
        return _stands(await self._releases.start(call.params["name"], actor(call), force=body.force))

    async def pause(self, call: Call) -> Answer:
        return await self._with_reason(call, self._releases.pause)

    async def resume(self, call: Call) -> Answer:
        return await self._with_reason(call, self._releases.resume)

    async def roll_back(self, call: Call) -> Answer:
        return await self._with_reason(call, self._releases.roll_back)

    async def promote(self, call: Call) -> Answer:
        body: PromoteBody = call.body
        found = await self._releases.promote(
            call.params["name"], actor(call), body.reason, fully=body.to == "full"
        )
        return _stands(found)

    async def report(self, call: Call) -> Answer:
        query: ReportQuery = call.query or ReportQuery()
        page = await self._releases.report(call.params["name"], query.run)
        return reported(page, call, query.format, query.lang)

    async def _with_reason(self, call: Call, deed: Callable[[str, str, str], Awaitable[Standing]]) -> Answer:
        body: ReasonBody = call.body
        return _stands(await deed(call.params["name"], actor(call), body.reason))


def _stands(standing: Standing) -> Answer:
    return said(brief(standing))


def routes(http: ReleasesHttp) -> Sequence[Route]:
    """The room's addresses of releases; all ask for the admin token outside development."""
    one = PATH + "/{name}"
    deeds = (
        ("start", http.start, "Start a release at its first stage.", StartBody),
        ("pause", http.pause, "Go no further; it is still rolled back if it must be.", ReasonBody),
        ("resume", http.resume, "Go on after a pause or a hold.", ReasonBody),
        ("promote", http.promote, "Go to the next stage, or to everybody.", PromoteBody),
        ("rollback", http.roll_back, "Give everybody control again.", ReasonBody),
    )
    return (
        Route(
            "GET", PATH, http.listed, "Every release and where it stands.", answer=ReleaseList, public=False
        ),
        Route("PUT", one, http.define, "Define a release.", body=Release, answer=Brief, public=False),
        Route("GET", one, http.shown, "A release with its evidence.", answer=Whole, public=False),
        Route("DELETE", one, http.drop, "Remove a release that never ran.", status=204, public=False),
        *(
            Route("POST", f"{one}/{verb}", handler, summary, body=body, answer=Brief, public=False)
            for verb, handler, summary, body in deeds
        ),
        Route(
            "GET",
            f"{one}/report",
            http.report,
            "The report of a release, as JSON or as a page.",
            query=ReportQuery,
            answer=ReleasePage,
            public=False,
        ),
    )
