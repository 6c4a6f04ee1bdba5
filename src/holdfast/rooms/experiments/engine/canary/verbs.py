"""The commands of releases: list, show, start, pause, resume, promote, rollback, delete, report."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import BadInput
from holdfast.kernel.room import Verb
from holdfast.rooms.experiments.engine.canary.releases import Releases
from holdfast.rooms.experiments.engine.canary.views import Brief, brief
from holdfast.rooms.experiments.engine.commands import actor, from_file, write_report
from holdfast.rooms.experiments.rules.flags import BUCKETS
from holdfast.rooms.experiments.rules.releases import Gate, Release, Stage
from holdfast.rooms.experiments.store.release_rows import Standing

_FILE = "a release in TOML or JSON, see docs/rooms/releases.md"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)\Z")


class ReleaseVerbs:
    """The commands, run by the CLI after the rooms have started."""

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

    def all(self) -> Sequence[Verb]:
        return (
            Verb("release list", "releases and where they stand", self.listed, _json),
            Verb("release show", "a release with its evidence, as JSON", self.show, _name),
            Verb("release start", "start a release, from a file or from flags", self.start, _start),
            Verb("release pause", "go no further", self.pause, _reason),
            Verb("release resume", "go on after a pause or a hold", self.resume, _reason),
            Verb("release promote", "go to the next stage, or to everybody", self.promote, _promote),
            Verb("release rollback", "give everybody control again", self.roll_back, _reason),
            Verb("release delete", "remove a release that never ran", self.delete, _name),
            Verb("release report", "the report of a release, as HTML or JSON", self.report, _report),
        )

    async def listed(self, options: argparse.Namespace) -> int:
        for found in await self._releases.listed():
            print(encode_json(found).decode() if options.json else line_of(found))
        return 0

    async def show(self, options: argparse.Namespace) -> int:
        found = await self._releases.shown(options.name)
        print(msgspec.json.format(encode_json(found)).decode())
        return 0

    async def start(self, options: argparse.Namespace) -> int:
        # What code declares comes first, or it would take the place of what the flags say.
        await self._releases.settle()
        standing = await self._releases.store.one(options.name)
        release = release_from(options, None if standing is None else standing.definition)
        if release is not None:
            await self._releases.operating.define(release, actor())
        name = options.name if release is None else release.name
        return _said(await self._releases.start(name, actor(), force=options.force))

    async def pause(self, options: argparse.Namespace) -> int:
        return _said(await self._releases.pause(options.name, actor(), options.reason))

    async def resume(self, options: argparse.Namespace) -> int:
        return _said(await self._releases.resume(options.name, actor(), options.reason))

    async def promote(self, options: argparse.Namespace) -> int:
        return _said(await self._releases.promote(options.name, actor(), options.reason, fully=options.full))

    async def roll_back(self, options: argparse.Namespace) -> int:
        return _said(await self._releases.roll_back(options.name, actor(), options.reason))

    async def delete(self, options: argparse.Namespace) -> int:
        await self._releases.operating.drop(options.name)
        print(f"{options.name} is gone")
        return 0

    async def report(self, options: argparse.Namespace) -> int:
        return write_report(await self._releases.report(options.name, options.run), options)


def line_of(found: Brief) -> str:
    """A release in one line."""
    stage = f"stage {found.stage}/{found.stages}" if found.stage else "not started"
    why = found.reason or found.why.replace("_", " ")
    parts = [
        found.name,
        found.status.replace("_", " "),
        stage,
        f"{found.share_percent:g} %",
        found.verdict,
        why,
    ]
    return "  ".join(part for part in parts if part)


def release_from(options: argparse.Namespace, stored: Release | None = None) -> Release | None:
    """The definition that the options hold; None where they only name a release.

    Flags change what is stored of that release, and leave the rest of it alone.
    """
    if options.file is not None:
        return from_file(options.file, Release, _FILE)
    start = stored or Release(options.name)
    given: dict[str, Any] = {}
    if options.stages or options.dwell:
        given["stages"] = _stages(options, start)
    if options.gate or options.latency:
        given["gates"] = _gates(options, () if stored is None else stored.gates)
    if options.version:
        given["version"] = options.version
    if options.measure:
        given["measure"] = options.measure
    return msgspec.structs.replace(start, **given) if given else None


def _stages(options: argparse.Namespace, start: Release) -> tuple[Stage, ...]:
    stages = start.stages
    if options.stages:
        shares = [_share(each) for each in options.stages.split(",")]
        # Further stages are as the last one that is known.
        likes = stages + stages[-1:] * len(shares)
        stages = tuple(
            msgspec.structs.replace(like, share=share) for share, like in zip(shares, likes, strict=False)
        )
    if options.dwell:
        dwell_s = seconds(options.dwell)
        stages = tuple(msgspec.structs.replace(stage, dwell_s=dwell_s) for stage in stages)
    return stages


def _gates(options: argparse.Namespace, stored: tuple[Gate, ...]) -> tuple[Gate, ...]:
    gates = {gate.name: gate for gate in stored}
    for name in options.gate:
        if name != "errors":
            raise BadInput(
                f"there is no gate {name!r} by flags", hint="errors; --latency 800ms; events in a file"
            )
        gates.setdefault(name, Gate(name, of="errors"))
    if options.latency:
        new = Gate("latency", of="latency", target_s=seconds(options.latency), warn=0.03, limit=0.05)
        known = gates.get(new.name)
        alike = known is not None and known.of == new.of
        gates[new.name] = msgspec.structs.replace(known, target_s=new.target_s) if known and alike else new
    return tuple(gates.values())


def seconds(text: str) -> float:
    """`30m`, `800ms`, `1.5h` as seconds; raises BadInput."""
    found = _DURATION.match(text.strip())
    if found is None:
        raise BadInput(f"{text!r} is no duration", hint="a number with ms, s, m, h or d: 800ms, 30m")
    return float(found[1]) * _SECONDS[found[2]]


def _share(text: str) -> int:
    try:
        return round(float(text.strip().rstrip("%")) * BUCKETS / 100)
    except (ValueError, OverflowError):
        raise BadInput(f"{text!r} is no percentage", hint="--stages 5,25,50,100") from None


def _said(standing: Standing) -> int:
    print(line_of(brief(standing)))
    return 0


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the release")


def _reason(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--reason", default="", metavar="TEXT", help="stands in the audit")


def _promote(parser: argparse.ArgumentParser) -> None:
    _reason(parser)
    parser.add_argument("--full", action="store_true", help="to everybody, past all stages")


def _report(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--run", type=int, metavar="N", help="which start of it; default the last")
    parser.add_argument("--lang", choices=("ko", "en"), default="ko", help="of the page")
    parser.add_argument("--json", action="store_true", help="JSON instead of HTML")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there")


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="", help="the release; with --file, the file names it")
    parser.add_argument("--file", type=Path, metavar="FILE", help="its definition, TOML or JSON")
    parser.add_argument("--stages", default="", metavar="LIST", help="percentages: 5,25,50,100")
    parser.add_argument("--dwell", default="", metavar="TIME", help="least time in each stage: 30m")
    parser.add_argument("--gate", action="append", default=[], metavar="GATE", help="errors")
    parser.add_argument(
        "--latency", default="", metavar="TIME", help="a gate: slower than this is bad, 800ms"
    )
    parser.add_argument("--version", default="", metavar="VERSION", help="what is released")
    parser.add_argument("--measure", choices=("request", "call"), help="what a unit of work is")
    parser.add_argument("--force", action="store_true", help="though this version was rolled back before")
