"""The command line: `holdfast serve`, `config`, `check`, `migrate`, and the verbs that rooms bring."""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast.kernel.errors import Problem

if TYPE_CHECKING:
    from holdfast.app import Holdfast
    from holdfast.kernel.config import Settings
    from holdfast.kernel.room import Verb

BAD_INPUT = 2
"""The exit code of whatever the caller can mend."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a Problem is one line on stderr and exit code 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "serve" not in given[:3]:
        # A server's log calls go to the event log, and its warnings to standard error by the telemetry room.
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return _run(given)
    except Problem as problem:
        print(f"holdfast: {problem.line()}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): not an error, and nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(given: list[str]) -> int:
    from holdfast import __version__

    parser = argparse.ArgumentParser(
        prog="holdfast", description="The production layer for AI-backed web services."
    )
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    parser.add_argument(
        "--config", metavar="FILE", help="settings file (default: holdfast.toml if it is there)"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    _serve_arguments(verbs.add_parser("serve", help="serve the built-in API, or your app inside the layer"))
    _worker_arguments(
        verbs.add_parser("worker", help="work off the jobs of the built-in API, or of your app")
    )
    verbs.add_parser("config", help="print every setting and where its value came from")
    verbs.add_parser("check", help="look for errors and warnings in the settings and the installation")
    migrate = verbs.add_parser("migrate", help="bring the database up to this version's tables")
    migrate.add_argument("--dry-run", action="store_true", help="only list what would be applied")
    holdfast = _Lazy()
    if not given or given[0] not in ("serve", "worker", "config", "check", "migrate"):
        _room_verbs(verbs, holdfast.get(_config_of(given)).verbs())
    options = parser.parse_args(given)
    if options.config:
        os.environ["HOLDFAST_CONFIG"] = options.config
    run = {"serve": _serve, "worker": _worker, "config": _config, "check": _check, "migrate": _migrate}.get(
        options.verb
    )
    if run is not None:
        return run(options)
    from holdfast.serve import loop_factory

    with asyncio.Runner(loop_factory=loop_factory() if options.alone else None) as runner:
        return runner.run(_run_verb(holdfast.get(options.config), options))


class _Lazy:
    """The composed rooms, made once and only for verbs that need them."""

    def __init__(self) -> None:
        self._made: Holdfast | None = None

    def get(self, config: str | None) -> "Holdfast":
        if self._made is None:
            from holdfast.app import Holdfast

            self._made = Holdfast(config=config, process="verb")
        return self._made


def _config_of(given: Sequence[str]) -> str | None:
    """`--config FILE` has to be known before the rooms' verbs are, and they before the rest is parsed."""
    for position, word in enumerate(given):
        if word == "--config" and position + 1 < len(given):
            return given[position + 1]
        if word.startswith("--config="):
            return word.partition("=")[2]
    return None


def _room_verbs(parsers: Any, verbs: "Sequence[Verb]") -> None:
    groups: dict[str, Any] = {}
    for verb in verbs:
        first, _, second = verb.name.partition(" ")
        if second:
            if first not in groups:
                group = parsers.add_parser(first, help=f"{first} ...")
                groups[first] = group.add_subparsers(dest=f"{first}_verb", metavar="WHAT", required=True)
            parser = groups[first].add_parser(second, help=verb.summary, description=verb.summary)
        else:
            parser = parsers.add_parser(first, help=verb.summary, description=verb.summary)
        verb.arguments(parser)
        parser.set_defaults(run_verb=verb.run, alone=verb.alone)


async def _run_verb(holdfast: "Holdfast", options: argparse.Namespace) -> int:
    if options.alone:
        return int(await options.run_verb(options))
    await holdfast.start()
    try:
        return int(await options.run_verb(options))
    finally:
        await holdfast.stop()


def _settings(options: argparse.Namespace) -> "Settings":
    from holdfast.app import settings_file
    from holdfast.compose import read_settings

    return read_settings(file=settings_file(options.config), env=os.environ)


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "app", nargs="?", default="", metavar="module:app", help="your ASGI app; none: the built-in API"
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8000)")
    parser.add_argument("--workers", type=int, help="processes; more than one needs a shared store")
    parser.add_argument("--demo", action="store_true", help="fill an empty catalogue with generated items")


def _serve(options: argparse.Namespace) -> int:
    for name in ("host", "port", "workers"):
        value = getattr(options, name)
        if value is not None:
            # Through the environment, so that worker processes read the same settings.
            os.environ[f"HOLDFAST_SERVER_{name.upper()}"] = str(value)
    settings = _settings(options)
    from holdfast.serve import serve

    return serve(settings, options.app, demo=options.demo)


def _worker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "app", nargs="?", default="", metavar="module:app", help="your ASGI app; none: the built-in API"
    )
    parser.add_argument("--queues", metavar="A,B", help="work off these queues only")
    parser.add_argument("--concurrency", type=int, metavar="N", help="jobs of each queue at once")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="so many workers (default 1)")
    parser.add_argument(
        "--engine",
        choices=("embedded", "celery"),
        default="embedded",
        help="whose worker: our own (default), or Celery's, which takes what the broker says",
    )
    parser.add_argument(
        "--pool",
        choices=("threads", "prefork", "solo"),
        help="of Celery's worker: threads (default), or prefork, which --processes N implies",
    )


def _worker(options: argparse.Namespace) -> int:
    # Through the environment, as `serve` does: the app makes its Holdfast itself.
    names = [name.strip() for name in (options.queues or "").split(",") if name.strip()]
    if names:
        os.environ["HOLDFAST_JOBS_ONLY"] = json.dumps(names)
    if options.engine == "celery":
        from holdfast import celery

        pool = options.pool or ("prefork" if options.processes > 1 else "threads")
        slots = options.processes if options.processes > 1 else options.concurrency or 0
        celery.work(options.app, celery.command(names, concurrency=slots, pool=pool))
    if options.concurrency is not None:
        os.environ["HOLDFAST_JOBS_CONCURRENCY"] = str(options.concurrency)
    from holdfast.work import work

    return work(options.app, processes=options.processes)


def _config(options: argparse.Namespace) -> int:
    from holdfast.kernel.config import ROOT

    shown = [(o.key if o.section == ROOT else f"{o.section}.{o.key}", o) for o in _settings(options).options]
    width = max(len(name) for name, _ in shown)
    for name, option in shown:
        print(f"{name:<{width}}  {option.shown():<24}  {option.source}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from holdfast.app import Holdfast

    holdfast = Holdfast(config=options.config)
    errors, warnings = asyncio.run(holdfast.examine())
    for line in errors:
        print(f"error    {line}")
    for line in warnings:
        print(f"warning  {line}")
    if not errors and not warnings:
        print("nothing to mend")
    return 1 if errors else 0


def _migrate(options: argparse.Namespace) -> int:
    from holdfast.app import Holdfast

    applied = asyncio.run(Holdfast(config=options.config).migrate(dry_run=options.dry_run))
    for line in applied:
        print(("would apply " if options.dry_run else "applied ") + line)
    if not applied:
        print("the database is up to date")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
