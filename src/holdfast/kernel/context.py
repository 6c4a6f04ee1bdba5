"""The context of the request being served: its Event, clock and spans, and whether anyone still listens."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock, Stamps, SystemClock
from holdfast.kernel.event import Event, Span
from holdfast.kernel.ids import IdSource

MAX_SPANS = 256
"""Child spans kept of one request; a loop that opens more is counted, not stored."""


class Sources:
    """Where time and ids come from, for everything that happens within one server."""

    __slots__ = ("clock", "ids", "stamps")

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self.clock = clock
        self.ids = ids
        self.stamps = Stamps()


class Fields(tuple[tuple[bytes, bytes], ...]):
    """Response headers made once for many answers, with the bytes that they are in an HTTP/1 head.

    Never made of what a caller sent: nobody looks for line breaks in them again.
    """

    lines: bytes
    """As `lines_of` has it."""

    def __new__(cls, pairs: Iterable[tuple[bytes, bytes]]) -> "Fields":
        made = super().__new__(cls, pairs)
        made.lines = lines_of(made)
        return made


def lines_of(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they stand in the head of an HTTP/1 response, each ended by CRLF."""
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])


class Ctx(msgspec.Struct, eq=False):
    """One request as it passes. The edge makes it; everyone else finds it through `current_ctx()`.

    A msgspec Struct because one is made for every request, and a Struct is filled without a Python frame.
    """

    event: Event
    sources: Sources
    deadline: float | None = None
    """Monotonic seconds after which nobody waits for the answer."""
    spans: list[Span] | None = None
    """Ended child spans; the end of the request decides whether they are kept."""
    spans_dropped: int = 0
    client_ip: str = ""
    """The caller's address, behind trusted proxies only; recorded or not."""
    tenant: str = ""
    """The caller's tenant, where the credential names one: what is kept for one is never another's."""
    headers: Sequence[tuple[bytes, bytes]] | None = None
    """Response headers that rooms add: the limits' state, what the cache says, the variant.

    Added to by replacing it, never in place: other answers may share it (`Fields`)."""
    variants: Mapping[str, str] | None = None
    """What this request depends on: flag -> variant, from the door or asked for on the way; None: nothing."""
    admitted: Any = None
    """What admission wants back when the request ends; None when it holds nothing for it."""
    _gone: asyncio.Event | None = None

    @property
    def gone(self) -> asyncio.Event:
        """Set when the client has left or the server is stopping: whatever works for this request may end."""
        if self._gone is None:
            self._gone = asyncio.Event()
        return self._gone

    @property
    def has_left(self) -> bool:
        """Whether `gone` is set, without making the event."""
        return self._gone is not None and self._gone.is_set()

    def leave(self) -> None:
        """Tell whoever waits on `gone`."""
        self.gone.set()

    def remaining_s(self) -> float | None:
        """Seconds until the deadline, never below zero; None when there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - self.sources.clock.monotonic())


_current: ContextVar[Ctx | None] = ContextVar("holdfast_ctx", default=None)
_span: ContextVar[str] = ContextVar("holdfast_span", default="")

enter = _current.set
leave = _current.reset
current = _current.get
"""What `current_ctx` returns, without its frame: for hot paths, where a call is a share of the cost."""


def current_ctx() -> Ctx | None:
    """The request being served, or None outside one."""
    return _current.get()


def current_span() -> str:
    """The id of the child span that is open here, or "" when the request itself is the span."""
    return _span.get()


def current_event() -> Event | None:
    """The Event of the request being served, or None outside one."""
    ctx = _current.get()
    return None if ctx is None else ctx.event


def note(**facts: Any) -> None:
    """Write facts on the current request's record; does nothing outside a request."""
    ctx = _current.get()
    if ctx is not None:
        ctx.event.note(**facts)


@contextmanager
def span(name: str, **facts: Any) -> Iterator[Span]:
    """Time a part of the request as a child span: `with span("load profile", user=id) as s: s.note(rows=3)`.

    Nests by context, across awaits and tasks. Outside a request it times nothing and costs little.
    An exception is written on the span and passes through.
    """
    ctx = _current.get()
    found = Span(name=name, facts=facts or None)
    if ctx is None:
        yield found
        return
    found.trace_id = ctx.event.trace_id
    found.request_id = ctx.event.request_id
    found.parent_id = _span.get() or ctx.event.span_id
    clock = ctx.sources.clock
    found.span_id = ctx.sources.ids.span_id()
    found.timestamp = ctx.sources.stamps.iso(clock.wall())
    token = _span.set(found.span_id)
    started = clock.monotonic()
    try:
        yield found
    except BaseException as error:
        found.error_type = type(error).__name__
        found.error_message = str(error)
        raise
    finally:
        found.duration_ns = int((clock.monotonic() - started) * 1e9)
        _span.reset(token)
        _keep(ctx, found)


def _keep(ctx: Ctx, found: Span) -> None:
    if ctx.spans is None:
        ctx.spans = [found]
    elif len(ctx.spans) < MAX_SPANS:
        ctx.spans.append(found)
    else:
        ctx.spans_dropped += 1


def detached(event: Event, clock: Clock | None = None) -> Ctx:
    """A context for work outside HTTP (a job, a test), so that spans and notes have a home."""
    return Ctx(event, Sources(clock or SystemClock(), IdSource()))
