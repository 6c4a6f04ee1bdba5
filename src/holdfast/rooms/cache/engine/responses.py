"""Tells browsers and CDNs how the answer of the current request may be kept: by call, decorator or table."""

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote

from holdfast.edge.conditional import Keep
from holdfast.edge.passage import Passage
from holdfast.kernel.context import current_ctx
from holdfast.ports.services import Scope
from holdfast.rooms.cache.rules import kinds
from holdfast.rooms.cache.rules.headers import (
    Headers,
    Lifetimes,
    Public,
    Rule,
    TooManyTags,
    escape_tag,
    filled,
    is_shared,
    no_store,
    response_headers,
    vary_header,
)

logger = logging.getLogger("holdfast.cache")

P = ParamSpec("P")
R = TypeVar("R")
App = Callable[[Any, Any, Any], Awaitable[None]]

_PART = re.compile(r"\{(\w+)(:path)?\}")
_said = lru_cache(1024)(response_headers)


class Responses:
    """`respond` in a handler, `responds` above it, and the `[[cache.responses]]` tables around the app."""

    def __init__(self, rules: Sequence[Rule], all_kinds: Mapping[str, kinds.Kind]) -> None:
        self._kinds = all_kinds
        self._exact: dict[str, Rule] = {}
        self._patterns: list[tuple[re.Pattern[str], Rule]] = []
        for rule in rules:
            kinds.find(all_kinds, rule.kind)
            vary_header(rule.vary)
            if _PART.search(rule.path):
                self._patterns.append((_pattern(rule.path), rule))
            else:
                self._exact[rule.path] = rule

    def respond(
        self,
        *,
        kind: str = "default",
        ttl_s: float | None = None,
        cdn_ttl_s: float | None = None,
        public: Public = False,
        tags: Sequence[str] = (),
        vary: Sequence[str] = (),
        etag: bool | str = True,
        age_s: float = 0.0,
        store: bool = True,
    ) -> None:
        """Say how the answer to the current request may be kept; does nothing outside a request.

        Times are the kind's unless given. `public=True` lets shared caches keep what an unidentified caller
        gets, `"everyone"` what anybody gets; else only the caller's own cache may. `etag=True` has the front
        door make an ETag of the whole body and answer 304 to who has it; a str is a version of your own,
        compared before the body is made. `age_s`: how old the value is already. `store=False` forbids it all.
        Counts for answers that succeed; a Cache-Control that the answer has itself wins; with Set-Cookie it
        is private whatever was asked.
        """
        passage = current_ctx()
        if not isinstance(passage, Passage):
            return
        if not store:
            _set(passage, Keep(no_store(), no_store(), tagged=False))
            return
        life = self._life(kind, ttl_s, cdn_ttl_s)
        given_tags, given_vary = tuple(tags), tuple(vary)
        private = _said(life, shared=False, vary=given_vary, age_s=age_s)
        headers = private
        if is_shared(public, identified=_identified(passage)):
            try:
                headers = _said(life, shared=True, tags=given_tags, vary=given_vary, age_s=age_s)
            except TooManyTags as error:
                # A CDN that cannot be told to drop it must not have it.
                logger.warning("the answer stays private: %s", error)
        if isinstance(etag, str):
            own: Headers = ((b"etag", b'"%b"' % escape_tag(etag).replace('"', "%22").encode()),)
            headers, private = headers + own, private + own
        _set(passage, Keep(headers, private, tagged=etag is True))

    def responds(self, **how: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator: `respond(**how)` before each call; `{name}` in tags is the handler's own argument."""
        tags: Sequence[str] = how.pop("tags", ())

        def around(handler: Callable[P, R]) -> Callable[P, R]:
            signature = inspect.signature(handler)

            def tell(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
                bound = signature.bind_partial(*arguments, **named)
                bound.apply_defaults()
                self.respond(tags=filled(tags, bound.arguments), **how)

            if inspect.iscoroutinefunction(handler):

                @wraps(handler)
                async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                    tell(args, kwargs)
                    return await handler(*args, **kwargs)

                return awaited  # type: ignore[return-value] # R is the coroutine's type here

            @wraps(handler)
            def called(*args: P.args, **kwargs: P.kwargs) -> R:
                tell(args, kwargs)
                return handler(*args, **kwargs)

            return called

        return around

    def around(self, app: App) -> App:
        """The app with the tables in force; the app itself where there are none. `respond` still wins."""
        if not self._exact and not self._patterns:
            return app

        def told(scope: Scope, receive: Any, send: Any) -> Awaitable[None]:
            if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
                self._apply(scope["path"], scope.get("raw_path"))
            return app(scope, receive, send)

        return told

    def _apply(self, path: str, raw_path: bytes | None) -> None:
        rule, values = self._exact.get(path), {}
        if rule is None:
            raw = raw_path.decode("latin-1") if raw_path else path
            for pattern, candidate in self._patterns:
                found = pattern.fullmatch(raw)
                if found is not None:
                    rule = candidate
                    values = {name: unquote(value) for name, value in found.groupdict().items()}
                    break
            else:
                return
        self.respond(
            kind=rule.kind,
            ttl_s=rule.ttl_s,
            cdn_ttl_s=rule.cdn_ttl_s,
            public=rule.public,
            tags=filled(rule.tags, values),
            vary=rule.vary,
            etag=rule.etag,
        )

    def _life(self, kind: str, ttl_s: float | None, cdn_ttl_s: float | None) -> Lifetimes:
        found = kinds.find(self._kinds, kind)
        return Lifetimes(found.ttl_s if ttl_s is None else ttl_s, cdn_ttl_s, found.stale_s, found.fail_safe_s)


def _set(passage: Passage, keep: Keep) -> None:
    passage.keep = keep
    if passage.headers is None:
        passage.headers = []


def _identified(passage: Passage) -> bool:
    """Whether the answer may be somebody's own: the caller is known, or sent what may make it known."""
    return bool(passage.event.user_id) or "holdfast.credentials" in passage.scope


def _pattern(path: str) -> re.Pattern[str]:
    parts, position = [], 0
    for part in _PART.finditer(path):
        parts.append(re.escape(path[position : part.start()]))
        parts.append(f"(?P<{part.group(1)}>{'.+' if part.group(2) else '[^/]+'})")
        position = part.end()
    return re.compile("".join(parts) + re.escape(path[position:]))
