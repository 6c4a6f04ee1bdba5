"""Conditional requests: validators, what a caller already has, and the answer that says "you have it".

Sources: RFC 9110 (8.8 validators, 13.1.2 If-None-Match, 13.1.3 If-Modified-Since, 13.2.2 precedence, 15.4.5
what a 304 says) and RFC 9111 4.3.4 (which stored answers a 304 makes fresh). `passage.py` asks here only for
answers that carry a validator, or whose handler said how they may be kept.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, MutableMapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct

from holdfast.edge.compress import Headers, Plan
from holdfast.ports.services import Scope

HASH_ASIDE_BYTES = 256 * 1024
"""Longer bodies are hashed in a thread: a megabyte takes about a millisecond."""

_ENTITY_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_KEPT_STATUSES = frozenset({200, 203, 204, 206, 300, 301, 304, 308})
"""What `Keep` is said with. A refusal or failure of the same address must not be kept for as long."""
# Statements about the body, which a 304 has not (RFC 9110 15.4.5); the rest speaks of the exchange.
_OF_THE_BODY = frozenset(
    {
        *(b"content-length", b"content-type", b"content-encoding", b"content-language", b"content-range"),
        *(b"transfer-encoding", b"accept-ranges", b"content-md5", b"digest", b"content-digest"),
        b"repr-digest",
    }
)
_LIFETIMES = frozenset({b"cache-control", b"cdn-cache-control"})


class Keep(Struct, frozen=True):
    """What the answer to this request says to caches, where it succeeds."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    private: tuple[tuple[bytes, bytes], ...] = ()
    """The same for an answer that sets a cookie or depends on a variant: no shared cache may give that
    to others."""
    tagged: bool = True
    """Whether an answer without an ETag gets one, made of its whole body."""


class Tagging:
    """In the place of a plan of compression: the start waits for the body, whose tag it has to tell."""

    __slots__ = ("inner",)

    def __init__(self, inner: "Plan | None") -> None:
        self.inner = inner


class Silence:
    """In the place of a plan of compression: whatever body comes, nobody gets it."""

    __slots__ = ()


SILENCE = Silence()


def say_how_to_keep(keep: Keep, message: MutableMapping[str, Any], *, varies: bool = False) -> None:
    """Add what `keep` says to the start. What the app says itself stands: it knows this very answer.

    `varies`: the answer depends on the caller's variant, which may be another a moment later.
    """
    if message["status"] not in _KEPT_STATUSES:
        return
    headers: Headers = message["headers"]
    named = {name for name, _ in headers}
    silenced = _LIFETIMES if b"cache-control" in named else frozenset()
    said = keep.private if varies or b"set-cookie" in named else keep.headers
    for pair in of_a_variant(said) if varies else said:
        name = pair[0]
        if name == b"vary" or (name not in named and name not in silenced):
            headers.append(pair)


def of_a_variant(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """The same for an answer of one arm: asked for anew each time, so that a rollback reaches browsers too.

    A version of the handler's own is left out, since both arms may have it for different bodies.
    """
    for name, value in headers:
        if name == b"cache-control" and b"no-store" not in value:
            yield name, b"private, no-cache"
        elif name != b"etag":
            yield name, value


def wants_tag(keep: Keep, scope: Scope, message: MutableMapping[str, Any]) -> bool:
    """Whether an ETag is to be made of the body that follows."""
    if not keep.tagged or message["status"] != 200 or scope["method"] != "GET":
        return False
    return not any(name == b"etag" or name == b"content-encoding" for name, _ in message["headers"])


def entity_tag(body: bytes) -> bytes:
    """A strong validator of exactly these bytes: 128 bits of SHA-256, which processors compute themselves."""
    digest = hashlib.sha256(body, usedforsecurity=False).digest()[:16]
    return b'"' + urlsafe_b64encode(digest).rstrip(b"=") + b'"'


def entity_tags(listed: bytes) -> list[tuple[bool, bytes]]:
    """The members of If-None-Match: whether each is weak, and its opaque part with its quotes."""
    return [(bool(found[1]), found[2]) for found in _ENTITY_TAG.finditer(listed)]


def has_it(scope: Scope, headers: Headers) -> bool:
    """Whether the caller holds what would be answered, so that 304 is the answer to a GET or HEAD.

    If-None-Match decides alone where it is given, by weak comparison: variants that differ in their
    encoding only are the same to it. `headers`: of the answer with status 200.
    """
    if scope["method"] not in ("GET", "HEAD"):
        return False
    asked = [value for name, value in scope["headers"] if name == b"if-none-match"]
    if asked:
        tag = _last(headers, b"etag")
        if tag is None:
            return False
        if any(value.strip() == b"*" for value in asked):
            return True
        found = _ENTITY_TAG.fullmatch(tag.strip())
        return found is not None and any(part == found[2] for _, part in _listed(asked))
    since = _last(scope["headers"], b"if-modified-since")
    changed = _last(headers, b"last-modified") if since is not None else None
    if since is None or changed is None:
        return False
    then, now = _date(changed), _date(since)
    return then is not None and now is not None and then <= now


def become_not_modified(message: MutableMapping[str, Any], scope: Scope, *, encoded: bool) -> None:
    """Turn the start of a 200 into a 304: no statement on a body, the validator in the form that counts.

    A cache that holds `W/"x"` may not use a 304 with the strong `"x"` to make it fresh (RFC 9111 4.3.4: a
    strong validator must match strongly), while a weak one fits both. So the strong form goes out only
    where the caller named it and would have got the unencoded body.
    """
    tag = _last(message["headers"], b"etag")
    told = [
        (name, value)
        for name, value in message["headers"]
        if name not in _OF_THE_BODY and name != b"etag" and (name != b"last-modified" or tag is None)
    ]
    if tag is not None:
        asked = [value for name, value in scope["headers"] if name == b"if-none-match"]
        strongly = not encoded and tag.startswith(b'"') and (False, tag) in _listed(asked)
        told.append((b"etag", tag if strongly or tag.startswith(b"W/") else b"W/" + tag))
    message["status"] = 304
    message["headers"] = told


def _listed(values: Iterable[bytes]) -> list[tuple[bool, bytes]]:
    return [member for value in values for member in entity_tags(value)]


def _last(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    found = None
    for key, value in headers:
        if key == name:
            found = value
    return found


def _date(text: bytes) -> float | None:
    """Seconds since the epoch of an HTTP date in any of its three forms; None for anything else."""
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
