"""Decides what a request gets: bytes at once, or a script."""

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import NotFound, Problem
from holdfast.rooms.faults.engine.calls import Call, Calls, Turns
from holdfast.rooms.faults.rules import listing
from holdfast.rooms.faults.rules.answers import answer
from holdfast.rooms.faults.rules.asks import (
    ANTHROPIC,
    OPENAI,
    BadAsk,
    chat_ask,
    embedding_ask,
    messages_ask,
)
from holdfast.rooms.faults.rules.chat import chat_reply
from holdfast.rooms.faults.rules.embeddings import embedding_reply
from holdfast.rooms.faults.rules.errors import error_body
from holdfast.rooms.faults.rules.messages import messages_reply
from holdfast.rooms.faults.rules.names import OK, Fault, UnknownFault, parse_fault
from holdfast.rooms.faults.rules.replies import Reply, error_reply, plain_reply, whole
from holdfast.rooms.faults.rules.requests import Head, parse_head
from holdfast.rooms.faults.rules.scripts.play import script_of
from holdfast.rooms.faults.rules.scripts.steps import Scene, Script

_MOST_KNOWN = 4_096
_LARGEST_KNOWN = 8_192
"""Heads and healthy answers are remembered up to this number, for requests up to this many bytes."""


class Served(NamedTuple):
    """What the connection does for one request."""

    call: Call
    response: bytes
    """The whole response, or nothing: then the script says what comes."""
    script: Script | None = None


class _Ready(NamedTuple):
    """A healthy answer that follows from the body alone."""

    model: str
    stream: bool
    response: bytes


class _Answer(NamedTuple):
    model: str
    fault: Fault
    reply: Reply


class Desk:
    """Reads requests, keeps the log, and answers or hands out scripts."""

    def __init__(self, clock: Clock, calls: Calls, turns: Turns, otherwise: Fault | None) -> None:
        self.monotonic: Callable[[], float] = clock.monotonic
        self._calls = calls
        self._turns = turns
        self._otherwise = otherwise
        self._heads: dict[bytes, Head] = {}
        self._ready: dict[tuple[str, bytes], _Ready] = {}
        self._own: dict[tuple[str, str], Callable[[Head], bytes]] = {
            ("GET", "/_faults"): self._show_faults,
            ("GET", "/_calls"): self._show_calls,
            ("DELETE", "/_calls"): self._clear_calls,
        }

    def head(self, raw: bytes) -> Head:
        """The head; clients repeat themselves, so known ones are looked up. BadRequest for no head."""
        known = self._heads.get(raw)
        if known is not None:
            return known
        head = parse_head(raw)
        if len(raw) <= _LARGEST_KNOWN:
            if len(self._heads) >= _MOST_KNOWN:
                self._heads.clear()
            self._heads[raw] = head
        return head

    def serve_own(self, head: Head) -> bytes | None:
        """The response of an address of the server's own, which is neither logged nor delayed."""
        own = self._own.get((head.method, head.path))
        return None if own is None else own(head)

    def serve(self, head: Head, body: bytes) -> Served:
        """What this request gets; it stands in the log from now on."""
        if not head.fault:
            ready = self._ready.get((head.path, body))
            if ready is not None and head.method == "POST":
                return Served(self._logged(head, ready.model, "ok", len(body), ready.stream), ready.response)
        dialect = ANTHROPIC if head.path == "/v1/messages" else OPENAI
        try:
            model, fault, reply = self._answer(head, body)
        except UnknownFault as unknown:
            text = f"The model does not exist: {unknown.detail}; {unknown.hint}"
            error = error_body(dialect, 404, text, param="model")
            return self._refused(head, unknown.members.get("model", ""), body, 404, error)
        except (BadAsk, NotFound) as bad:
            code = "not_found" if bad.status == 404 else "invalid_request"
            return self._refused(
                head, "", body, bad.status, error_body(dialect, bad.status, bad.detail, code=code)
            )
        call = self._logged(head, model, fault.name, len(body), reply.stream)
        if fault.name == "ok":
            return Served(call, self._remembered(head, body, _Ready(model, reply.stream, whole(reply))))
        turn = self._turns.turn(head.key, model, call.attempt)
        return Served(call, b"", script_of(Scene(fault, dialect, reply, turn)))

    def refuse(self, problem: Problem) -> bytes:
        """The response to bytes that are no request."""
        return error_reply(problem.status, error_body(OPENAI, problem.status, problem.detail), _LAST)

    def _answer(self, head: Head, body: bytes) -> _Answer:
        place = (head.method, head.path)
        if place in (("POST", "/v1/chat/completions"), ("POST", "/v1/messages")):
            ask, write = (
                (chat_ask, chat_reply) if head.path != "/v1/messages" else (messages_ask, messages_reply)
            )
            asked = ask(body)
            fault = self._fault(head, asked.model)
            reply = write(asked, fault, answer(asked, fault, head, body))
            return _Answer(asked.model, fault, reply)
        if place == ("POST", "/v1/embeddings"):
            wanted = embedding_ask(body)
            fault = self._fault(head, wanted.model)
            return _Answer(wanted.model, fault, embedding_reply(wanted, fault))
        if place == ("GET", "/v1/models"):
            fault = parse_fault(head.fault) if head.fault else OK
            return _Answer("", fault, plain_reply(encode_json(listing.models())))
        raise NotFound(
            f"there is no {head.method} {head.path} here; there are POST /v1/chat/completions, "
            "/v1/embeddings and /v1/messages, GET /v1/models, /_faults and /_calls"
        )

    def _fault(self, head: Head, model: str) -> Fault:
        try:
            return parse_fault(head.fault or model)
        except UnknownFault as unknown:
            if self._otherwise is None or head.fault:
                raise UnknownFault(unknown.detail, hint=unknown.hint, model=model) from None
            return self._otherwise

    def _logged(self, head: Head, model: str, fault: str, size: int, stream: bool) -> Call:
        attempt = self._turns.next(head.key, model)
        call = Call(head, model, fault, attempt, self.monotonic(), size, stream)
        self._calls.newest.append(call)
        return call

    def _refused(self, head: Head, model: str, body: bytes, status: int, error: bytes) -> Served:
        return Served(self._logged(head, model, "", len(body), stream=False), error_reply(status, error))

    def _remembered(self, head: Head, body: bytes, ready: _Ready) -> bytes:
        if not head.fault and head.method == "POST" and len(body) <= _LARGEST_KNOWN:
            if len(self._ready) >= _MOST_KNOWN:
                self._ready.clear()
            self._ready[head.path, body] = ready
        return ready.response

    def _show_faults(self, head: Head) -> bytes:
        return _json({"faults": listing.described()})

    def _show_calls(self, head: Head) -> bytes:
        return _json({"models": self._calls.by_model(_model_of(head))})

    def _clear_calls(self, head: Head) -> bytes:
        return _json({"cleared": self._calls.clear(_model_of(head))})


_LAST = (("connection", "close"),)


def _json(document: Any) -> bytes:
    return whole(plain_reply(encode_json(document)))


def _model_of(head: Head) -> str | None:
    """`?model=name`; a plus stands for itself there, as it does in model names."""
    named = parse_qs(head.query.replace("+", "%2B"), keep_blank_values=True).get("model")
    return named[0] if named else None
