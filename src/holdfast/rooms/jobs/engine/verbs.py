"""The room's commands: holdfast jobs list, show, cancel, retry, dead, replay, discard, pause, resume."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.kernel.codec import decode_json, encode_json
from holdfast.kernel.errors import BadInput
from holdfast.kernel.room import Verb
from holdfast.ports.jobs import JobView
from holdfast.rooms.jobs.engine.admin import Admin
from holdfast.rooms.jobs.engine.decisions import Many
from holdfast.rooms.jobs.engine.jobs import JobsEngine
from holdfast.rooms.jobs.engine.views import listing
from holdfast.rooms.jobs.rules.asks import MOST_AT_ONCE
from holdfast.rooms.jobs.rules.problems import AlreadyEnded
from holdfast.rooms.jobs.rules.states import CANCELLED, FAILED, STATES
from holdfast.rooms.jobs.store.reading import Filters


class Verbs:
    """The commands, run by the CLI after the rooms have started."""

    def __init__(self, jobs: JobsEngine, admin: Admin) -> None:
        self._jobs = jobs
        self._decisions = jobs.decisions
        self._admin = admin

    def all(self) -> Sequence[Verb]:
        return (
            Verb("jobs list", "jobs, the newest first", self.list_all, _list_arguments),
            Verb("jobs show", "a job with payload, attempts and tracebacks, as JSON", self.show, _id),
            Verb("jobs cancel", "ask a job to stop", self.cancel, _cancel_arguments),
            Verb("jobs retry", "let a job that failed or waits for its time begin now", self.retry, _id),
            Verb("jobs dead", "dead letters, the newest first", self.dead, _filter_arguments),
            Verb("jobs replay", "replay dead letters", self.replay, _replay_arguments),
            Verb("jobs discard", "discard dead letters, with a reason", self.discard, _discard_arguments),
            Verb("jobs pause", "begin nothing more of a queue", self.pause, _queue),
            Verb("jobs resume", "go on with a queue", self.resume, _queue),
        )

    async def list_all(self, options: argparse.Namespace) -> int:
        return await self._print(options, options.state)

    async def dead(self, options: argparse.Namespace) -> int:
        return await self._print(options, FAILED)

    async def show(self, options: argparse.Namespace) -> int:
        found = await self._admin.show(options.id)
        print(msgspec.json.format(encode_json(found)).decode())
        return 0

    async def cancel(self, options: argparse.Namespace) -> int:
        asked = await self._decisions.cancel(options.id, options.reason)
        found = (await self._admin.show(options.id)).job
        if not asked and found.state != CANCELLED:
            raise AlreadyEnded(f"{found.id} is {found.state}", hint="there is nothing to stop any more")
        print(f"{found.id} is {'asked to stop' if found.state != CANCELLED else found.state}")
        return 0

    async def retry(self, options: argparse.Namespace) -> int:
        found = await self._decisions.retry(options.id)
        print(f"{found.id} is {found.state}")
        return 0

    async def replay(self, options: argparse.Namespace) -> int:
        if options.id:
            payload = msgspec.UNSET if options.payload is None else _json(options.payload)
            found = await self._decisions.replay(options.id, payload)
            print(f"{found.id} is {found.state}")
            return 0
        if options.payload is not None:
            raise BadInput("one payload for many jobs", hint="give the id of the one it is for")
        _chosen(options)
        many = await self._decisions.replay_all(_filters(options), options.rate, options.limit)
        return _counted("replayed", many)

    async def discard(self, options: argparse.Namespace) -> int:
        if options.id:
            found = await self._decisions.discard(options.id, options.reason)
            print(f"{found.id} is {found.state}")
            return 0
        _chosen(options)
        many = await self._decisions.discard_all(_filters(options), options.reason, options.limit)
        return _counted("discarded", many)

    async def pause(self, options: argparse.Namespace) -> int:
        found = await self._admin.pause(options.queue, True)
        print(f"{found.name} is paused; {found.jobs.get('running', 0):,} still run")
        return 0

    async def resume(self, options: argparse.Namespace) -> int:
        found = await self._admin.pause(options.queue, False)
        print(f"{found.name} goes on with {found.jobs.get('available', 0):,} that wait")
        return 0

    async def _print(self, options: argparse.Namespace, state: str) -> int:
        filters = msgspec.structs.replace(_filters(options), state=state)
        found = listing(await self._jobs.reading.listed(filters, options.limit + 1), options.limit)
        for job in found.jobs:
            print(encode_json(job).decode() if options.json else _line(job))
        if found.next_before is not None and not options.json:
            print(f"... and more: --limit {options.limit * 10}")
        return 0


def _line(job: JobView) -> str:
    told = f"{job.id}  {_when(job.created_ms)}  {job.state:<9}  {job.queue}/{job.name}"
    told += f"  {job.attempts}/{job.max_attempts}"
    if job.state == "running":
        return f"{told}  {job.progress:.0%} {job.message}".rstrip()
    return f"{told}  {job.error_kind}: {job.error}"[:200] if job.error_kind else told


def _when(stamp_ms: int) -> str:
    return datetime.fromtimestamp(stamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _json(text: str) -> Any:
    try:
        return decode_json(text)
    except ValueError as error:
        raise BadInput(f"the payload is no JSON: {error}", hint="""write '{"doc_id": 7}'""") from None


def _chosen(options: argparse.Namespace) -> None:
    """Everything at once has to be said: a forgotten id must not replay the whole pile."""
    named = any((options.queue, options.name, options.tenant, options.user, options.kind, options.batch))
    if not (named or options.all):
        raise BadInput("no job is named", hint="give an id, a filter like --queue ai, or --all")


def _counted(done: str, many: Many) -> int:
    print(
        f"{done} {many.done:,}, left alone {many.left_alone:,}" + ("" if many.is_all else "; there are more")
    )
    return 0


def _filters(options: argparse.Namespace) -> Filters:
    return Filters(
        queue=options.queue,
        name=options.name,
        tenant=options.tenant,
        owner=options.user,
        error_kind=options.kind,
        batch=options.batch,
    )


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the job's id")


def _queue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE", help="the queue's name")


def _cancel_arguments(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--reason", default="", help="kept with the job")


def _narrowing(parser: argparse.ArgumentParser, limit: int) -> None:
    for name, summary in (
        ("queue", "only of this queue"),
        ("name", "only of this kind of job"),
        ("tenant", "only of this tenant"),
        ("user", "only of this user"),
        ("kind", "only of this error kind"),
        ("batch", "only of this batch"),
    ):
        parser.add_argument(f"--{name}", default="", help=summary)
    parser.add_argument("--limit", type=int, default=limit, help=f"at most so many (default {limit})")


def _filter_arguments(parser: argparse.ArgumentParser) -> None:
    _narrowing(parser, 50)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    _filter_arguments(parser)
    parser.add_argument("--state", default="", choices=("", *STATES), help="only in this state")


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", default="", help="one job; left out: those that fit")
    parser.add_argument("--payload", metavar="JSON", help="another payload for the one job")
    parser.add_argument("--rate", default="", help="how far apart many begin, e.g. 10/s")
    parser.add_argument("--all", action="store_true", help="every dead letter")
    _narrowing(parser, MOST_AT_ONCE)


def _discard_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", default="", help="one job; left out: those that fit")
    parser.add_argument("--reason", required=True, help="why it needs no work any more")
    parser.add_argument("--all", action="store_true", help="every dead letter")
    _narrowing(parser, MOST_AT_ONCE)
