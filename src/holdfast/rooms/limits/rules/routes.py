"""Which actions a request is: from method and path, by the table of routes."""

import re
from collections.abc import Sequence

import msgspec

ANY = "*"


class RouteRule(msgspec.Struct, frozen=True):
    """One line of the table. `path` may hold `*` (anything) and `{name}` (one segment)."""

    path: str
    actions: tuple[str, ...]
    """What a request there is, besides what every request is; nothing: only that."""
    method: str = ANY
    cost: int = 1
    by: tuple[str, ...] = ()
    """What to count by instead of what the policy says."""
    priority: int | None = None
    """For shedding and the load factor, instead of the policy's."""


OWN_ROUTES: Sequence[RouteRule] = (
    RouteRule("/api/v2/recommend/feedback", (), "POST"),
    RouteRule("/api/v2/recommend/*", ("recommendation_request",)),
)
"""Our own addresses; what users tell us of what they did is an ordinary call."""

EXEMPT: Sequence[str] = (
    "/health",
    "/health/*",
    "/api/v2/health",
    "/metrics",
    "/api/v1/monitoring/*",
    "/api/v1/status",
    "/admin/*",
    "/console",
    "/console/*",
    "/holdfast",
    "/holdfast/*",
)
"""What must answer when everything else is refused."""


class Table:
    """The rules in order; the first that fits decides. Paths are compared as the server decoded them."""

    def __init__(self, rules: Sequence[RouteRule], exempt: Sequence[str] = EXEMPT) -> None:
        self._rules = [(pattern(rule.path), rule) for rule in rules]
        self._exempt = [pattern(path) for path in exempt]

    def is_exempt(self, path: str) -> bool:
        return any(fits(path) for fits in self._exempt)

    def at(self, path: str) -> tuple[RouteRule, ...]:
        """The rules that may decide for this path, up to the first that takes every method."""
        found: list[RouteRule] = []
        for fits, rule in self._rules:
            if fits(path):
                found.append(rule)
                if rule.method == ANY:
                    break
        return tuple(found)


def first_for(rules: Sequence[RouteRule], method: str) -> RouteRule | None:
    """The first of `rules` that takes `method`."""
    return next((rule for rule in rules if rule.method in (ANY, method)), None)


def pattern(path: str) -> "Fits":
    """A path with `*` and `{name}` as a function that says whether another fits it.

    >>> fits = pattern("/farms/{id}/*"); bool(fits("/farms/7/days/1")), bool(fits("/farms/7"))
    (True, False)
    """
    parts = re.split(r"(\*|\{\w+\})", path)
    text = "".join(".*" if part == ANY else "[^/]+" if part[:1] == "{" else re.escape(part) for part in parts)
    return Fits(re.compile(text, re.DOTALL))


class Fits:
    """Whether a path fits one pattern, from end to end."""

    __slots__ = ("_match",)

    def __init__(self, compiled: re.Pattern[str]) -> None:
        self._match = compiled.fullmatch

    def __call__(self, path: str) -> bool:
        return self._match(path) is not None
