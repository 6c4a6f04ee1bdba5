"""Sessions: what one is, how its id is made and hidden, what is refused, and what a cookie says about it."""

import hashlib
import re
from base64 import urlsafe_b64encode
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import Conflict, Problem, Unauthorized

SECRET_BYTES = 24
"""Of an id: 192 bits, well above the 64 bits of entropy that OWASP asks for at least."""
SHARDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""The first letter of an id: all sessions of a user share it, so that a cluster keeps them in one slot."""
_ID = re.compile(r"[A-Za-z0-9_-]{33}").fullmatch
_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch


class SessionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[cache.sessions]` table. How long a kind lives unused is the kind's own `ttl_s`."""

    longest_s: Annotated[
        float, Meta(gt=0, le=366 * 86400, description="seconds after which a session is over however used")
    ] = 30 * 86400.0
    fallback_s: Annotated[
        float,
        Meta(ge=0, description="seconds for which a session seen here counts while the shared store is away"),
    ] = 900.0
    max_bytes: Annotated[int, Meta(ge=64, description="bytes of a session's data at most")] = 65_536
    max_sessions: Annotated[
        int, Meta(ge=16, description="sessions that a process keeps in memory at most")
    ] = 100_000


class NoSession(Unauthorized):
    """There is no such session, or no longer."""

    code = "no-session"

    def challenge(self) -> bytes:
        return b'Session realm="holdfast"'


class SessionChanged(Conflict):
    """Somebody else has changed the session meanwhile."""

    code = "session-changed"
    retryable = True


class SessionTooLarge(Problem):
    """The session's data is too large to be kept."""

    code = "session-too-large"


class Session(msgspec.Struct, frozen=True):
    """One session, as its holder sees it."""

    id: str
    """The secret that the caller brings. Only its digest is stored; do not log it."""
    user_id: str
    """Whose it is; empty before the login."""
    kind: str
    data: Any
    version: int
    """Grows with every change; `set(..., version=...)` refuses to overwrite a newer one."""
    born_ms: int
    """Milliseconds since the epoch."""
    left_s: float
    """Seconds until it ends unless it is used before; each use gives it its whole time again."""


class Record(msgspec.Struct):
    """One session, as it is kept: no id, only bytes."""

    user_id: str
    kind: str
    data: bytes
    version: int
    born_ms: int
    ttl_ms: int
    end_ms: int
    """After that it is over, however much it is used: milliseconds since the epoch."""
    left_ms: int


def shard_of(user_id: str, drawn: int) -> str:
    """The first letter of the ids of this user's sessions; of nobody's, any (`drawn` in 0..63)."""
    if not user_id:
        return SHARDS[drawn]
    return SHARDS[hashlib.sha256(b"shard\0" + _raw(user_id)).digest()[0] & 63]


def id_of(shard: str, secret: bytes) -> str:
    """The id that the caller gets: 33 letters that fit a cookie and an address."""
    return shard + urlsafe_b64encode(secret).decode()


def is_id(text: object) -> bool:
    """Whether it has the shape of an id; anything else is not even looked for."""
    return isinstance(text, str) and _ID(text) is not None


def digest_of(session_id: str) -> str:
    """What is stored in the place of an id: who reads the store cannot take over a session."""
    return urlsafe_b64encode(hashlib.sha256(session_id.encode()).digest()[:24]).decode()


def user_digest(user_id: str) -> str:
    """A user's name in the names of keys: of one length, without letters that mean something there."""
    return urlsafe_b64encode(hashlib.sha256(b"user\0" + _raw(user_id)).digest()[:18]).decode()


def cookie(session: Session, *, name: str = "session", secure: bool = True, same_site: str = "Lax") -> str:
    """The value of Set-Cookie for the session: out of reach of scripts, for as long as it lives unused.

    `secure=False` is for development without TLS only. Source: RFC 6265bis.
    """
    if not _COOKIE_NAME(name):
        raise ValueError(f"{name!r} is no cookie name")
    parts = [f"{name}={session.id}", "Path=/", f"Max-Age={int(session.left_s)}", "HttpOnly"]
    return "; ".join([*parts, *(["Secure"] if secure else []), f"SameSite={same_site}"])


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
