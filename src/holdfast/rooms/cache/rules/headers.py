"""The third tier: what an answer says to browsers, proxies and CDNs about how it may be kept.

Sources: RFC 9111 (Cache-Control, Age), RFC 5861 (stale-while-revalidate, stale-if-error), RFC 9213
(CDN-Cache-Control), RFC 9110 12.5.5 (Vary); Surrogate-Key as Fastly reads it (keys apart by spaces),
Cache-Tag as Cloudflare does (by commas, letters of either case alike): at most 1,024 bytes a key, 16 KB
together.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import Misconfigured

Headers = tuple[tuple[bytes, bytes], ...]
Public = bool | Literal["everyone"]

MAX_TAG_BYTES = 1_024
MAX_TAGS_BYTES = 16_000
"""Of all tags of one answer, a little below the 16 KB at which CDNs cut the header off."""
MAX_AGE_S = 2**31 - 1
"""RFC 9111 1.2.2: larger values count as this one."""
# Printable ASCII that neither header uses to part tags, that no CDN strips, and not the escape itself.
_TAG_SAFE = "!#$&'()*+-./:;<=>?@[]^_`{|}~"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_PLACE = re.compile(r"\{(\w+)\}")


class TooManyTags(ValueError):
    """The tags do not fit into a header: a CDN would cut some off, and could not be told to drop them."""


class Lifetimes(msgspec.Struct, frozen=True):
    """How long an answer may be kept, in seconds."""

    ttl_s: float
    """Fresh for so long, for browsers, and for CDNs unless `cdn_ttl_s` says otherwise; 0: ask every time."""
    cdn_ttl_s: float | None = None
    """Fresh for so long in a CDN, which can be told to drop it; browsers cannot."""
    stale_s: float = 0.0
    """After that it may be given while a new one is fetched behind (stale-while-revalidate)."""
    stale_if_error_s: float = 0.0
    """After that it may be given while we answer with errors or not at all (stale-if-error)."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[cache.responses]]` table: how the answers of one address may be kept."""

    path: Annotated[str, Meta(pattern="^/")]
    """As in a route: `{name}` is one segment, `{name:path}` the rest."""
    kind: str = "default"
    ttl_s: Annotated[float, Meta(ge=0)] | None = None
    """The kind's own when left out."""
    cdn_ttl_s: Annotated[float, Meta(ge=0)] | None = None
    public: Public = False
    """True: shared caches may keep what an unidentified caller got; "everyone": what anybody got."""
    tags: tuple[str, ...] = ()
    """Names to drop it by; `{name}` is filled in from the path."""
    vary: tuple[str, ...] = ()
    etag: bool = True
    """Whether an answer without an ETag gets one, made of its body."""


def cache_control(life: Lifetimes, *, shared: bool) -> str:
    """The value of Cache-Control: `public` for all caches, else `private` for the caller's own.

    >>> cache_control(Lifetimes(60, stale_s=30), shared=True)
    'public, max-age=60, stale-while-revalidate=30'
    """
    return f"{'public' if shared else 'private'}, {_ages(life.ttl_s, life)}"


def cdn_cache_control(life: Lifetimes) -> str | None:
    """The value of CDN-Cache-Control, which CDNs obey instead of Cache-Control; None where they agree."""
    if life.cdn_ttl_s is None or life.cdn_ttl_s == life.ttl_s:
        return None
    return f"public, {_ages(life.cdn_ttl_s, life)}"


def _ages(ttl_s: float, life: Lifetimes) -> str:
    if ttl_s < 1:
        # Kept, and asked about each time: that is what an ETag is for.
        return "no-cache"
    parts = [f"max-age={_seconds(ttl_s)}"]
    if life.stale_s >= 1:
        parts.append(f"stale-while-revalidate={_seconds(life.stale_s)}")
    if life.stale_if_error_s >= 1:
        parts.append(f"stale-if-error={_seconds(life.stale_if_error_s)}")
    return ", ".join(parts)


def _seconds(seconds: float) -> int:
    """Whole seconds, rounded down: an answer must not live longer than was asked."""
    return min(int(seconds), MAX_AGE_S)


def escape_tag(tag: str) -> str:
    """The tag as it stands in a header, and as a CDN is told to drop it: ASCII, one to one.

    Percent-encoded UTF-8; longer than 1,024 bytes, its digest stands for it. Capitals are encoded too, as
    CDNs do not tell them from small letters.

    >>> escape_tag("farm:사과 1")
    'farm:%ec%82%ac%ea%b3%bc%201'
    """
    raw = tag.encode("utf-8", "surrogatepass")
    escaped = re.sub(r"[A-Z]", lambda found: f"%{ord(found[0]):02x}", _quoted(raw))
    if len(escaped) > MAX_TAG_BYTES:
        return "~" + hashlib.blake2b(raw, digest_size=20).hexdigest()
    # A tag that looks like a digest is told apart from one.
    return "%7e" + escaped[1:] if escaped.startswith("~") else escaped


def _quoted(raw: bytes) -> str:
    """Percent-encoded with small hexadecimal digits, so that capitals are only ever the tag's own."""
    parts = re.split(r"(%[0-9A-F]{2})", quote(raw, safe=_TAG_SAFE))
    return "".join(part.lower() if part.startswith("%") else part for part in parts)


def tag_headers(tags: Sequence[str]) -> Headers:
    """Surrogate-Key and Cache-Tag with every tag once; raises TooManyTags."""
    escaped = list(dict.fromkeys(escape_tag(tag) for tag in tags if tag))
    if not escaped:
        return ()
    if sum(len(tag) + 1 for tag in escaped) > MAX_TAGS_BYTES:
        raise TooManyTags(f"{len(escaped)} tags are longer than {MAX_TAGS_BYTES} bytes together")
    return (
        (b"surrogate-key", " ".join(escaped).encode()),
        (b"cache-tag", ",".join(escaped).encode()),
    )


def vary_header(names: Sequence[str]) -> Headers:
    """Vary with every name once; raises Misconfigured for what is no header name."""
    wanted = {name.strip().lower(): name.strip() for name in names}
    for name in wanted.values():
        if not _TOKEN(name):
            raise Misconfigured(
                f"{name!r} is no header name", hint='vary takes request headers, e.g. ["Accept-Language"]'
            )
    return ((b"vary", ", ".join(wanted.values()).encode()),) if wanted else ()


def is_shared(public: Public, *, identified: bool) -> bool:
    """Whether shared caches may keep the answer. What an identified caller got only if that was asked for."""
    return public == "everyone" or (public is True and not identified)


def response_headers(
    life: Lifetimes,
    *,
    shared: bool,
    tags: Sequence[str] = (),
    vary: Sequence[str] = (),
    age_s: float = 0.0,
) -> Headers:
    """Everything an answer says to caches; raises TooManyTags. Tags are only for those who share."""
    found: list[tuple[bytes, bytes]] = [(b"cache-control", cache_control(life, shared=shared).encode())]
    if shared:
        targeted = cdn_cache_control(life)
        if targeted is not None:
            found.append((b"cdn-cache-control", targeted.encode()))
        found.extend(tag_headers(tags))
    if age_s >= 1:
        found.append((b"age", b"%d" % _seconds(age_s)))
    found.extend(vary_header(vary))
    return tuple(found)


def no_store() -> Headers:
    """What forbids every cache to keep the answer."""
    return ((b"cache-control", b"no-store"),)


def filled(tags: Sequence[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags with each `{name}` replaced by its value; a name without one stays as it is.

    >>> filled(["farm:{farm_id}", "farms"], {"farm_id": 7})
    ('farm:7', 'farms')
    """
    return tuple(_PLACE.sub(lambda found: str(values.get(found[1], found[0])), tag) for tag in tags)
