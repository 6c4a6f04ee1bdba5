"""Serves one of our own routes: decode query and body by their types, call the handler, encode the answer."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache, lru_cache
from typing import Any
from urllib.parse import parse_qs

import msgspec

from holdfast.edge.heed import LEFT, SHUTDOWN, while_listened
from holdfast.kernel.codec import encode_json
from holdfast.kernel.context import Ctx
from holdfast.kernel.errors import BadInput, Malformed, MethodNotAllowed, TooLarge, Unauthorized
from holdfast.kernel.route import Answer, Call, Route
from holdfast.ports.services import Scope

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Responder:
    """Turns a found route into a response; failures leave as Problems for the edge to render."""

    def __init__(self, *, max_body_bytes: int, admin_token: str, open_admin: bool) -> None:
        self._max_body_bytes = max_body_bytes
        self._admin_token = admin_token
        self._open_admin = open_admin

    async def serve(
        self,
        found: tuple[Mapping[str, Route], Mapping[str, str]],
        ctx: Ctx,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer the request; raises Problem for whatever is wrong with it."""
        by_method, params = found
        method = scope["method"]
        route = by_method.get(method) or (by_method.get("GET") if method == "HEAD" else None)
        if route is None:
            allowed = ", ".join(sorted(by_method))
            ctx.event.route = next(iter(by_method.values())).path
            raise MethodNotAllowed(f"{method} is not taken here", hint=f"use {allowed}", allow=allowed)
        ctx.event.route = route.path
        headers = dict(scope["headers"])
        if not route.public and not self._open_admin:
            self._check_admin(headers)
        call = Call(ctx.event, params=params, headers=headers)
        if route.query is not None:
            call.query = decode_query(route.query, scope["query_string"])
        if route.body is not None:
            call.raw = await self._read(headers, receive)
            call.body = decode_body(route.body, call.raw)
        if route.reads is not None:
            call.chunks = _chunks(receive)
        if route.heeds:
            await while_listened(ctx, receive, _answer(route, call, ctx, receive, send))
        else:
            await _answer(route, call, ctx, receive, send)

    def _check_admin(self, headers: Mapping[bytes, bytes]) -> None:
        given = headers.get(b"authorization", b"")
        wanted = b"Bearer " + self._admin_token.encode()
        if not self._admin_token:
            raise Unauthorized("this address is for administrators", hint="set admin_token to open it")
        if not hmac.compare_digest(given, wanted):
            raise Unauthorized(
                "this address is for administrators", hint="send Authorization: Bearer <admin_token>"
            )

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        limit = self._max_body_bytes
        told = headers.get(b"content-length", b"")
        if told.isdigit() and int(told) > limit:
            raise TooLarge(f"{int(told)} bytes", hint=f"at most {limit} bytes are taken")
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Malformed("the client left before its body was read")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"more than {limit} bytes", hint=f"at most {limit} bytes are taken")
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes, nothing of it kept: whoever is slow to ask holds the client back."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("the client left before its body was read")
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk


@lru_cache(maxsize=512)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _needs_nothing(kind: Any) -> bool:
    return (
        isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and not any(each.required for each in msgspec.structs.fields(kind))
    )


def decode_body(kind: Any, raw: bytes) -> Any:
    """The body as `kind`: Malformed (400) when it is not JSON, BadInput (422) when it does not fit.

    No body at all is one that says nothing, where nothing need be said.
    """
    if not raw and _needs_nothing(kind):
        return kind()
    try:
        return _decoder(kind).decode(raw)
    except msgspec.ValidationError as error:
        raise BadInput(str(error), hint="see the OpenAPI document for what this address takes") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(
            f"the body is not valid JSON: {error}", hint="send one JSON document in UTF-8"
        ) from None
    except RecursionError:
        raise Malformed("the body is nested too deeply", hint="send a flatter JSON document") from None


@lru_cache(maxsize=512)
def _list_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The query names that may be repeated."""
    found = (msgspec.inspect.type_info(info.type) for info in msgspec.structs.fields(kind))
    many = (msgspec.inspect.ListType, msgspec.inspect.VarTupleType, msgspec.inspect.SetType)
    names = zip(msgspec.structs.fields(kind), found, strict=True)
    return frozenset(info.encode_name for info, shape in names if isinstance(shape, many))


def decode_query(kind: type[msgspec.Struct], raw: bytes) -> msgspec.Struct:
    """The query string as `kind`; numbers and booleans are read from their text, unknown names refused."""
    try:
        parsed = parse_qs(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except (UnicodeDecodeError, ValueError) as error:
        raise Malformed(
            f"the query string cannot be read: {error}", hint="percent-encode it as UTF-8"
        ) from None
    lists = _list_fields(kind)
    values = {name: given if name in lists else given[-1] for name, given in parsed.items()}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(str(error), hint="see the OpenAPI document for what this address takes") from None


async def _answer(route: Route, call: Call, ctx: Ctx, receive: Receive, send: Send) -> None:
    """Call the handler and send what it gives."""
    found = await route.handler(call)
    answer = found if isinstance(found, Answer) else Answer(found, status=route.status)
    try:
        headers = _headers(answer)
    except BaseException:  # a stream that nobody sends is closed by nobody else
        await _close(answer.stream)
        raise
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    if answer.stream is not None:
        sending = _send_stream(answer.stream, answer.farewell, start, ctx, send)
        await (sending if route.heeds else while_listened(ctx, receive, sending))
        return
    body = answer.content if isinstance(answer.content, bytes) else encode_json(answer.content)
    if answer.status != 204:
        headers.append((b"content-length", b"%d" % len(body)))
    await send(start)
    await send({"type": "http.response.body", "body": b"" if ctx.event.method == "HEAD" else body})


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    named = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    return [(b"content-type", answer.media_type.encode()), *named]


async def _close(stream: AsyncIterator[bytes] | None) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


async def _send_stream(
    stream: AsyncIterator[bytes], farewell: bytes, start: Message, ctx: Ctx, send: Send
) -> None:
    """Each chunk as it comes; however it ends, what is behind the stream is closed."""
    try:
        await send(start)
        if ctx.event.method != "HEAD":
            async for chunk in stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if ctx.has_left and not farewell:
                    break
        if ctx.event.ended != LEFT:
            await send({"type": "http.response.body", "body": b""})
    except asyncio.CancelledError:
        if farewell and ctx.event.ended == SHUTDOWN:
            await send({"type": "http.response.body", "body": farewell, "more_body": True})
        raise
    finally:
        await _close(stream)
