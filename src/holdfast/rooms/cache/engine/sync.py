"""The cache for threads: the same entries and loads, asked from code that is not async."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from holdfast.rooms.cache.engine.cache import CacheEngine
from holdfast.rooms.cache.rules.problems import BadCall

T = TypeVar("T")


class SyncCache:
    """Calls from threads. A hit in memory is answered where it is asked; the rest runs on the engine's loop.

    `loop` is the running loop of the engine. Factories are plain functions and run in threads, so that
    they may block. Called on a loop it raises BadCall: there it would block everyone.
    """

    def __init__(self, engine: CacheEngine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop

    def get(self, key: str, *, kind: str = "default", otherwise: Any = None, returns: Any = None) -> Any:
        """The value, or `otherwise`."""
        return self._run(lambda: self._engine.get(key, kind=kind, otherwise=otherwise, returns=returns))

    def get_or_set(
        self,
        key: str,
        factory: Callable[[], T],
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> T:
        """The value; when there is none, one call of `factory` for every thread and task that waits."""

        async def load() -> T:
            return await asyncio.to_thread(factory)

        async def ask() -> T:
            return await self._engine.get_or_set(
                key, load, kind=kind, ttl_s=ttl_s, tags=tags, returns=returns
            )

        self._refuse_loop()
        held = self._engine.fresh_for(key, kind) if isinstance(key, str) else None
        if held is not None and self._engine.is_plain(held, returns):
            return self._engine.hit(held)  # type: ignore[no-any-return] # what the factory of this key returned
        return self._run(ask)

    def set(
        self,
        key: str,
        value: Any,
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """Keep it here and in the second tier."""
        self._run(lambda: self._engine.set(key, value, kind=kind, ttl_s=ttl_s, tags=tags))

    def set_many(self, values: Mapping[str, Any], *, kind: str = "default") -> None:
        """Keep them all."""
        self._run(lambda: self._engine.set_many(values, kind=kind))

    def invalidate(
        self,
        *,
        keys: Sequence[str] = (),
        tags: Sequence[str] = (),
        prefix: str | None = None,
        everything: bool = False,
    ) -> None:
        """Drop entries here and on every node."""
        self._run(lambda: self._engine.invalidate(keys=keys, tags=tags, prefix=prefix, everything=everything))

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._refuse_loop()
        if not self._loop.is_running():
            raise BadCall("the cache's loop does not run", hint="use the cache between start and stop")
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result()

    @staticmethod
    def _refuse_loop() -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise BadCall(
            "SyncCache was called on an event loop, which it would block",
            hint="await the async cache here, or move the call into asyncio.to_thread",
        )
