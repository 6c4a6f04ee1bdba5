"""What error replies mean, and how calls fail without leaving traces of their own."""

from collections.abc import Awaitable, Generator
from typing import Any

from holdfast.ports.shared import SharedDown, SharedRefused

AWAY = frozenset(
    {"LOADING", "BUSY", "MASTERDOWN", "READONLY", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK"}
    | {"UNKILLABLE", "FAILOVER"}
)
"""Codes of a server that cannot serve now; the same command may succeed later."""
HINT = "the room goes on with process memory; the state of the shared store says why it is away"


class Rejected(Exception):
    """The server will not have us as we are configured: trying again soon changes nothing."""


class Sink:
    """Where a reply goes that is not a caller's future; this one forgets it."""

    __slots__ = ()

    def done(self) -> bool:
        return True

    def set_result(self, reply: Any) -> None:
        """Called with the reply unless `done`."""

    def set_exception(self, error: BaseException) -> None:
        """Called with SharedDown or SharedRefused unless `done`."""


FORGOTTEN = Sink()


class Failed(Awaitable[Any]):
    """A call that failed before it left; no future that could complain of not being awaited."""

    __slots__ = ("_said",)

    def __init__(self, said: str) -> None:
        self._said = said

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()  # makes this a generator, which __await__ must give
        raise down(self._said)


class Bundle:
    """The replies of several commands as one list; SharedRefused stands in it as a reply."""

    __slots__ = ("_left", "future", "replies")

    def __init__(self, future: Any, size: int) -> None:
        self.future = future
        self.replies: list[Any] = [None] * size
        self._left = size

    def put(self, index: int, reply: Any) -> None:
        self.replies[index] = reply
        self._left -= 1
        if not self._left and not self.future.done():
            self.future.set_result(self.replies)


class Part(Sink):
    """The place of one command in a bundle."""

    __slots__ = ("_bundle", "_index")

    def __init__(self, bundle: Bundle, index: int) -> None:
        self._bundle = bundle
        self._index = index

    def done(self) -> bool:
        return bool(self._bundle.future.done())

    def set_result(self, reply: Any) -> None:
        self._bundle.put(self._index, reply)

    def set_exception(self, error: BaseException) -> None:
        if isinstance(error, SharedRefused):
            self._bundle.put(self._index, error)
        else:
            fail(self._bundle.future, error)


def down(said: str) -> SharedDown:
    """A SharedDown that says why."""
    return SharedDown(f"the shared store does not answer: {said}", hint=HINT)


def fail(sink: Any, error: BaseException) -> None:
    """Fail what waits; a caller that has gone is not complained of when the future is collected."""
    if sink.done():
        return
    sink.set_exception(error)
    if not isinstance(sink, Sink):
        sink.exception()  # marks it as seen


def code_of(error: BaseException) -> str:
    """The first word of an error reply."""
    return str(error).partition(" ")[0]
