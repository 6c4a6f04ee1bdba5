"""The room's commands: cache stats, cache invalidate, cache warmup.

A command is a process of its own: what it does reaches the running servers through the shared store only.
Without one it says so and names the HTTP call that does reach them.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.kernel.codec import encode_json
from holdfast.kernel.room import Verb
from holdfast.rooms.cache.engine.parts import Parts

UNREACHABLE = 2
JOINING_S = 5.0
"""How long a command waits for the shared store to answer."""
_LOOK_S = 0.02


class Verbs:
    """The commands, run by the CLI after the rooms have started."""

    def __init__(self, parts: Parts, *, pause: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        self._parts = parts
        self._pause = pause

    def all(self) -> Sequence[Verb]:
        return (
            Verb("cache stats", "what the shared tier of the cache holds and how it is", self.stats),
            Verb(
                "cache invalidate",
                "drop entries on every node, by key, tag, prefix or all",
                self.invalidate,
                _names,
            ),
            Verb("cache warmup", "run the declared loaders into the shared tier", self.warmup),
        )

    async def stats(self, options: argparse.Namespace) -> int:
        if not await self._reaches("GET /admin/cache/stats"):
            return UNREACHABLE
        assert self._parts.tier is not None
        for name, value in self._parts.tier().items():
            print(f"{name:<20}{value}")
        print(f"{'sessions_active':<20}{await self._parts.sessions.count()}")
        print("hits and misses are each server's own: GET /admin/cache/stats", file=sys.stderr)
        return 0

    async def invalidate(self, options: argparse.Namespace) -> int:
        body = {
            **({"keys": options.key} if options.key else {}),
            **({"tags": options.tag} if options.tag else {}),
            **({"prefix": options.prefix} if options.prefix else {}),
            **({"everything": True} if options.all else {}),
        }
        if not body:
            print("nothing was named: give --key, --tag, --prefix or --all", file=sys.stderr)
            return UNREACHABLE
        if not await self._reaches(f"POST /admin/cache/invalidate {encode_json(body).decode()}"):
            return UNREACHABLE
        await self._parts.engine.invalidate(**body)
        assert self._parts.tier is not None
        if self._parts.tier()["journal_markers"]:
            print("the shared store went away meanwhile: not every node knows of it", file=sys.stderr)
            return 1
        print(f"invalidated: {', '.join(_told(body))}")
        return 0

    async def warmup(self, options: argparse.Namespace) -> int:
        if not await self._reaches("POST /admin/cache/warmup"):
            return UNREACHABLE
        done = await self._parts.warmup.run()
        print(f"loaded {done.loaded}, failed {done.failed}, fetched {done.fetched}")
        return 1 if done.failed else 0

    async def _reaches(self, instead: str) -> bool:
        """Whether there is a shared store that answers; else says what to do."""
        tier = self._parts.tier
        if tier is None:
            print(
                "there is no shared store, and the memory of a running server cannot be reached from here "
                f"(ask the server itself: {instead}; or add redis://… to `url`, so that all share one)",
                file=sys.stderr,
            )
            return False
        for _ in range(int(JOINING_S / _LOOK_S)):
            if tier()["is_up"]:
                return True
            await self._pause(_LOOK_S)
        print(f"the shared store does not answer (ask each server itself: {instead})", file=sys.stderr)
        return False


def _names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", action="append", metavar="KEY", help="an entry's key; may be repeated")
    parser.add_argument("--tag", action="append", metavar="TAG", help="a tag; may be repeated")
    parser.add_argument("--prefix", metavar="START", help="every key that begins so")
    parser.add_argument("--all", action="store_true", help="everything; sessions stay")


def _told(body: dict[str, Any]) -> list[str]:
    """What was dropped, in words."""
    told = [f"key {key!r}" for key in body.get("keys", ())]
    told += [f"tag {tag!r}" for tag in body.get("tags", ())]
    told += [f"prefix {body['prefix']!r}"] if "prefix" in body else []
    return [*told, "everything"] if "everything" in body else told
