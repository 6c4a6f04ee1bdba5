"""What a room asks of the cache, and the null object that remembers nothing.

Declared apart from the other services because its calls have a vocabulary of their own: a `kind` names a
family of entries with its own time to live and budget (settings `cache.kinds`), a tag names what an
entry depends on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Factory = Callable[[], Awaitable[T]]


class Cache(Protocol):
    """Answers kept for a while. Nothing here raises because a store is away; a factory's error passes."""

    async def get(self, key: str, *, kind: str = "default", otherwise: Any = None) -> Any:
        """The value, or `otherwise`; a value that has outlived its time to live counts as absent."""
        ...

    async def set(
        self,
        key: str,
        value: Any,
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
    ) -> None: ...

    def get_or_set(
        self,
        key: str,
        factory: Factory[T],
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> Awaitable[T]:
        """The value; when there is none, one call of `factory` for everyone who waits, on any node.

        `returns` is the type that a value read back from another process is decoded to.
        """
        ...

    async def get_or_set_many(
        self,
        keys: Sequence[str],
        factory: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]],
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> Mapping[str, T]:
        """The same for many keys: one call of `factory` with those that are missing."""
        ...

    async def invalidate(
        self,
        *,
        keys: Sequence[str] = (),
        tags: Sequence[str] = (),
        prefix: str | None = None,
        everything: bool = False,
    ) -> None:
        """Drop entries here and on every node; a load that began before stores nothing."""
        ...


class NoCache:
    """A Cache that keeps nothing: every call goes to the factory."""

    async def get(self, key: str, *, kind: str = "default", otherwise: Any = None) -> Any:
        return otherwise

    async def set(
        self,
        key: str,
        value: Any,
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        pass

    def get_or_set(
        self,
        key: str,
        factory: Factory[T],
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> Awaitable[T]:
        return factory()

    async def get_or_set_many(
        self,
        keys: Sequence[str],
        factory: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]],
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        tags: Sequence[str] = (),
        returns: Any = None,
    ) -> Mapping[str, T]:
        return await factory(keys)

    async def invalidate(
        self,
        *,
        keys: Sequence[str] = (),
        tags: Sequence[str] = (),
        prefix: str | None = None,
        everything: bool = False,
    ) -> None:
        pass
