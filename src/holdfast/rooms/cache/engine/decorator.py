"""`@cache.cached()`: an async function whose answers are remembered by its arguments."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial, update_wrapper
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from holdfast.ports.cache import Factory
from holdfast.rooms.cache.rules.keys import call_key
from holdfast.rooms.cache.rules.problems import BadCall

T = TypeVar("T")


class Asked(Protocol):
    """What the decorator needs of the cache."""

    def get_or_set(
        self,
        key: str,
        factory: Factory[Any],
        *,
        kind: str = ...,
        ttl_s: float | None = ...,
        tags: Sequence[str] = ...,
        returns: Any = ...,
    ) -> Awaitable[Any]: ...

    async def invalidate(self, *, keys: Sequence[str] = ...) -> None: ...


class CachedCall(Generic[T]):
    """The decorated function. Called, it answers from the cache; `uncached` is the function itself."""

    def __init__(
        self,
        cache: Asked,
        function: Callable[..., Awaitable[T]],
        *,
        kind: str,
        ttl_s: float | None,
        tags: Sequence[str] | Callable[..., Sequence[str]],
        key: Callable[..., str] | None,
        ignore: Sequence[str],
    ) -> None:
        update_wrapper(self, function)
        self.uncached = function
        self._cache = cache
        self._kind = kind
        self._ttl_s = ttl_s
        self._tags = tags
        self._key = key
        self._ignore = frozenset(ignore)
        self._signature = inspect.signature(function)
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._returns: Any = None
        self._has_read_hints = False
        unknown = sorted(self._ignore - set(self._signature.parameters))
        if unknown:
            raise BadCall(f"{self._name} has no argument {unknown[0]!r} to ignore", hint="mend ignore=…")

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[T]:
        tags = self._tags
        return self._cache.get_or_set(
            self.key(*args, **kwargs),
            partial(self.uncached, *args, **kwargs),
            kind=self._kind,
            ttl_s=self._ttl_s,
            tags=tags(*args, **kwargs) if callable(tags) else tags,
            returns=self._returns if self._has_read_hints else self._read_hints(),
        )

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        """On a method: the call with its object, which must be ignored or part of `key`."""
        return self if owner is None else partial(self, owner)

    def key(self, *args: Any, **kwargs: Any) -> str:
        """The key of this call. Raises BadKey where an argument cannot be part of one."""
        if self._key is not None:
            return self._key(*args, **kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments: Mapping[str, Any] = bound.arguments
        return call_key(
            self._name, {name: value for name, value in arguments.items() if name not in self._ignore}
        )

    async def invalidate(self, *args: Any, **kwargs: Any) -> None:
        """Drop the answer to this call, here and on every node."""
        await self._cache.invalidate(keys=[self.key(*args, **kwargs)])

    def _read_hints(self) -> Any:
        """The annotated return type; read at the first call, when all names it uses are there."""
        self._has_read_hints = True
        try:
            found = get_type_hints(self.uncached).get("return")
        except (NameError, TypeError):
            found = None  # names that only a type checker sees: values are given as JSON has them
        self._returns = None if found in (Any, type(None)) or isinstance(found, TypeVar) else found
        return self._returns


def decorate(
    cache: Asked,
    *,
    kind: str,
    ttl_s: float | None,
    tags: Sequence[str] | Callable[..., Sequence[str]],
    key: Callable[..., str] | None,
    ignore: Sequence[str],
) -> Callable[[Callable[..., Awaitable[T]]], CachedCall[T]]:
    """What turns an async function into a CachedCall; raises BadCall for a plain one."""

    def wrap(function: Callable[..., Awaitable[T]]) -> CachedCall[T]:
        if not inspect.iscoroutinefunction(function):
            raise BadCall(
                f"{getattr(function, '__qualname__', function)!s} is no async function",
                hint="write `async def`, or use SyncCache in threads",
            )
        return CachedCall(cache, function, kind=kind, ttl_s=ttl_s, tags=tags, key=key, ignore=ignore)

    return wrap
