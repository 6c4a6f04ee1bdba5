"""Filling the memory before the first request: declared loaders, and the hot keys of the last run."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.rules.arms import is_of_an_arm

logger = logging.getLogger("holdfast.cache")

FORMAT = 1

KeyList = Iterable[str]
KeysOf = Callable[[], KeyList | Awaitable[KeyList]]


class Declared(msgspec.Struct, frozen=True):
    """How the keys of one kind are loaded."""

    kind: str
    keys: KeysOf
    factory: Callable[[str], Awaitable[Any]]
    tags: Callable[[str], Sequence[str]] | None = None
    returns: Any = None


class Hot(msgspec.Struct, frozen=True):
    """The file: which keys were hot, by kind. Keys only; values are loaded anew."""

    format: int
    keys: dict[str, list[str]]


class Warmed(msgspec.Struct, frozen=True):
    """What a warm-up did."""

    loaded: int
    failed: int
    fetched: int
    """Hot keys without a loader, taken over from the second tier."""


class Warmup:
    """Loads the declared keys, the hot ones first, a few at a time. A failure is logged and passed over."""

    def __init__(self, engine: CacheEngine, *, file: Path | None, limit: int, concurrency: int) -> None:
        self._engine = engine
        self._file = file
        self._limit = limit
        self._concurrency = concurrency
        self._declared: list[Declared] = []
        self.last: Warmed | None = None

    def loader(
        self,
        kind: str,
        keys: KeysOf,
        factory: Callable[[str], Awaitable[Any]],
        *,
        tags: Callable[[str], Sequence[str]] | None = None,
        returns: Any = None,
    ) -> None:
        """Declare that `keys()` (plain or async) are to be there from the start, each by `factory(key)`.

        Hot keys of the last run of this kind are loaded by it too.
        """
        self._engine.keeper.kind(kind)
        self._declared.append(Declared(kind, keys, factory, tags, returns))

    async def run(self) -> Warmed:
        """Fill the memory; returns when all has been tried."""
        hot = await asyncio.to_thread(self._read)
        work: dict[str, Declared] = {}
        for declared in self._declared:
            work.update((key, declared) for key in hot.get(declared.kind, ()))
        failed = 0
        for declared in self._declared:
            try:
                work.update((key, declared) for key in await _list(declared.keys))
            except Exception:
                failed += 1
                logger.exception("warming up: the keys of kind %s could not be listed", declared.kind)
        with_loader = {declared.kind for declared in self._declared}
        fetched = 0
        for kind, keys in hot.items():
            if kind not in with_loader and kind in self._engine.keeper.kinds:
                fetched += len(await self._engine.get_many(keys, kind=kind))
        loaded = await self._load(work)
        self.last = Warmed(loaded, failed + len(work) - loaded, fetched)
        return self.last

    async def _load(self, work: Mapping[str, Declared]) -> int:
        """A few at a time, each worker taking the next; how many succeeded."""
        rest = iter(work.items())
        loaded = 0

        async def take() -> None:
            nonlocal loaded
            for key, declared in rest:
                try:
                    await self._one(key, declared)
                    loaded += 1
                except Exception as error:  # noqa: BLE001 - what cannot be warmed is loaded when asked for
                    logger.warning("warming up %.100r failed: %r", key, error)

        await asyncio.gather(*(take() for _ in range(self._concurrency)))
        return loaded

    async def _one(self, key: str, declared: Declared) -> None:
        await self._engine.get_or_set(
            key,
            lambda: declared.factory(key),
            kind=declared.kind,
            tags=() if declared.tags is None else declared.tags(key),
            returns=declared.returns,
        )

    async def remember(self) -> int:
        """Write the hot keys of this run to the file; how many."""
        if self._file is None or not self._limit:
            return 0
        keys: dict[str, list[str]] = {}
        for entry in self._engine.keeper.memory.hottest(self._limit):
            # Whose sessions were open is no business of a file; a loader outside requests has no variants.
            if not entry.kind.startswith("session") and not is_of_an_arm(entry.key):
                keys.setdefault(entry.kind, []).append(entry.key)
        await asyncio.to_thread(self._write, Hot(FORMAT, keys))
        return sum(map(len, keys.values()))

    def _read(self) -> Mapping[str, list[str]]:
        if self._file is None or not self._limit:
            return {}
        try:
            hot = msgspec.json.decode(self._file.read_bytes(), type=Hot)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            logger.warning("the hot keys of the last run cannot be read, so none are warmed: %s", error)
            return {}
        return hot.keys if hot.format == FORMAT else {}

    def _write(self, hot: Hot) -> None:
        assert self._file is not None
        try:
            # Put in its place whole: a process that dies here, or another worker, leaves a whole file.
            part = self._file.with_suffix(f".{id(self):x}.part")
            part.write_bytes(encode_json(hot))
            part.replace(self._file)
        except (OSError, ValueError) as error:
            logger.warning("the hot keys were not written down: %s", error)


async def _list(keys: KeysOf) -> KeyList:
    found = keys()
    return await found if inspect.isawaitable(found) else found
