"""What adapters over HTTP share: options of a deployment, its headers, its streams, refusals as failures."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.rooms.llm.providers.transport import Answer, Fields, Opened, Transport
from holdfast.rooms.llm.rules.bodies import encoded
from holdfast.rooms.llm.rules.chunks import ErrorInside
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.refusals import refused, texts_of, told, told_in
from holdfast.rooms.llm.rules.replies import Body, content_type, document, garbled, unpacked
from holdfast.rooms.llm.rules.sse import Event, EventReader

MAX_ERROR_BYTES = 256 * 1024
"""Of an error's body when the answer is a stream: more is not read."""
MAX_MALFORMED = 100
"""Events of one stream in a row that may be no JSON before it counts as garbled."""
_KEYS = 256
"""Keys whose headers are remembered."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one deployment is spoken to. The limits of connections are the transport's: see Limits."""

    auth: Literal["usual", "bearer", "api-key", "none"] = "usual"
    """`usual` is OpenAI's bearer or Anthropic's `x-api-key`; `api-key` is Azure's header."""
    api_version: str = ""
    """Azure's `api-version`; Anthropic's `anthropic-version`."""
    organization: str = ""
    project: str = ""
    extra_headers: dict[str, str] = {}
    whole_s: float = 120.0
    """The limit of the first byte of an answer that is not streamed: providers begin it when it is whole."""
    linger_s: float = 2.0
    """How long a stream whose choices have all ended is waited for its usage and its end."""
    include_usage: bool = True
    """Ask for the usage of streams; to be switched off for servers that refuse `stream_options`."""
    max_tokens: int = 4096
    """What Anthropic is told when the request says nothing: it must be told."""


class Ended(Protocol):
    """How far a stream has come."""

    @property
    def finished(self) -> bool:
        """Whether every choice has ended."""
        ...

    @property
    def begun(self) -> bool:
        """Whether anything of an answer has come."""
        ...


class Chunks(Ended, Protocol):
    """One stream, translated: events in, chunks in OpenAI's shape out."""

    over: bool
    """Whether the provider has said that nothing follows."""

    def take(self, event: Event) -> Iterable[Body] | None:
        """The chunks of one event; None when it is malformed. Raises ErrorInside."""
        ...


class Endpoint:
    """One deployment over one transport: knows its headers, and what its refusals mean."""

    def __init__(
        self,
        transport: Transport,
        options: Options,
        clock: Clock,
        fields: Callable[[str], tuple[tuple[str, str], ...]],
    ) -> None:
        self.transport = transport
        self.options = options
        self.malformed = 0
        """Events of streams that were passed over because they were no JSON or no chunks."""
        self._clock = clock
        self._make = fields
        self._fields: dict[str, Fields] = {}

    def fields(self, key: str) -> Fields:
        """The headers of a call with this key."""
        known = self._fields.get(key)
        if known is None:
            if len(self._fields) >= _KEYS:
                self._fields.clear()
            extra = tuple(self.options.extra_headers.items())
            named = {name.lower() for name, _ in extra}
            own = tuple(field for field in self._make(key) if field[0] not in named)
            known = self._fields[key] = (*own, *extra)
        return known

    def refusal(self, answer: Answer, body: Mapping[str, Any], key: str) -> ProviderFailed:
        """The failure that an answer with an error status means."""
        said = told_in(answer.body)
        now = self._clock.wall()
        return refused(answer.status, said, answer.headers, now, secret=key, prompt=texts_of(body))

    def inside(self, error: object, headers: Mapping[bytes, bytes], body: Body, key: str) -> ProviderFailed:
        """The failure that an `error` object inside a stream means."""
        now = self._clock.wall()
        return refused(0, told(error), headers, now, secret=key, prompt=texts_of(body))

    def instead(self, error: object, headers: Mapping[bytes, bytes], body: Body, key: str) -> ProviderFailed:
        """The failure of a 200 that is an error: garbled, unless the request itself is at fault."""
        failed = self.inside(error, headers, body, key)
        if failed.kind in (Kind.CONTENT_FILTER, Kind.CONTEXT_LENGTH):
            return failed
        return garbled(str(failed), code=failed.code or "error_in_200")

    async def whole(self, path: str, asked: Body, key: str) -> Body:
        """The JSON object of an answer that is not streamed."""
        answer = await self.transport.post(path, self.fields(key), encoded(asked), self.options.whole_s)
        if not 200 <= answer.status < 300:
            raise self.refusal(answer, asked, key)
        found = document(answer.status, answer.headers, answer.body)
        if found.get("error"):
            raise self.instead(found["error"], answer.headers, asked, key)
        return found

    async def stream(self, path: str, asked: Body, key: str, chunks: Chunks) -> AsyncGenerator[Body, None]:
        """Every chunk as it comes; ends when all choices have, and raises when the stream ends before."""
        opened = await self.transport.stream(path, self.fields(key), encoded(asked))
        events, malformed = EventReader(), 0
        try:
            await self._check(opened, asked, key)
            while True:
                data = await self._read(opened, chunks)
                for event in events.feed(data) if data else events.end():
                    found = chunks.take(event)
                    if found is None:
                        malformed += 1
                        self.malformed += 1
                        if malformed > MAX_MALFORMED:
                            raise garbled("the stream is full of events that are no chunks", code="not_json")
                        continue
                    malformed = 0
                    for chunk in found:
                        yield chunk
                    if chunks.over:
                        break
                if events.dropped:
                    raise garbled("a chunk of the stream is too large: what it said is lost", code="damaged")
                if not data or chunks.over:
                    break
            complete(chunks)
            await opened.finish()
        except ErrorInside as inside:
            raise self.inside(inside.error, opened.headers, asked, key) from None
        finally:
            # After a stream that was finished this does nothing.
            await opened.aclose()

    async def _read(self, opened: Opened, chunks: Chunks) -> bytes:
        """What comes next; nothing when all choices have ended and the provider dawdles or breaks off."""
        if not chunks.finished:
            return await opened.read()
        try:
            async with asyncio.timeout(self.options.linger_s):
                return await opened.read()
        except (TimeoutError, ProviderFailed):
            return b""

    async def _check(self, opened: Opened, body: Body, key: str) -> None:
        """Whether what was opened is a stream of events; else the failure that it is."""
        if not 200 <= opened.status < 300:
            answer = Answer(opened.status, opened.headers, await self._rest(opened))
            raise self.refusal(answer, body, key)
        unpacked(opened.headers)
        kind = content_type(opened.headers)
        if kind in ("text/event-stream", ""):
            return
        found = document(opened.status, opened.headers, await self._rest(opened))
        if found.get("error"):
            raise self.instead(found["error"], opened.headers, body, key)
        raise garbled("a stream was asked for, a whole answer came", opened.status, "content_type")

    async def _rest(self, opened: Opened) -> bytes:
        """The body of an answer that is no stream, as far as it is of use."""
        parts, size = [], 0
        while size < MAX_ERROR_BYTES and (data := await opened.read()):
            parts.append(data)
            size += len(data)
        return b"".join(parts)


def complete(chunks: Ended) -> None:
    """A stream has ended: raise unless every choice has."""
    if chunks.finished:
        return
    if not chunks.begun:
        raise garbled("the stream has no chunk", code="empty")
    raise ProviderFailed(Kind.CUT, "the stream ended before its finish_reason", status=200)
