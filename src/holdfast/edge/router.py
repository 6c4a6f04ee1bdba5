"""Finds one of our own routes for a request, in one dictionary look-up for every path that is not ours."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.route import Route

_PART = re.compile(r"\{(\w+)(:path)?\}")

Match = tuple[Route, Mapping[str, str]]
_NOTHING: Mapping[str, str] = {}


class Router:
    """Routes by method and path; `find` is on the path of every request of the app below."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self.exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        shapes: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            by_method = shapes.setdefault(route.path, {})
            if route.method in by_method:
                raise Misconfigured(
                    f"two routes answer {route.method} {route.path}", hint="remove one of them"
                )
            by_method[route.method] = route
        for path, by_method in shapes.items():
            if "{" in path:
                self._patterns.append((_pattern(path), by_method))
            else:
                self.exact[path] = by_method
        # The literal start of every pattern: what a path must begin with to be worth a regex.
        self.prefixes = tuple({route.path.split("{", 1)[0] for route in self.routes if "{" in route.path})

    def find(self, path: str, raw_path: bytes | None) -> tuple[Mapping[str, Route], Mapping[str, str]] | None:
        """The routes at this address by method, and its parameters; None when it is not ours.

        Parameters are cut from the raw path, so that an encoded slash stays inside its segment.
        """
        exact = self.exact.get(path)
        if exact is not None:
            return exact, _NOTHING
        if not self.prefixes or not path.startswith(self.prefixes):
            return None
        raw = raw_path.decode("latin-1") if raw_path else path
        for pattern, by_method in self._patterns:
            matched = pattern.fullmatch(raw)
            if matched is not None:
                return by_method, {name: unquote(value) for name, value in matched.groupdict().items()}
        return None


def _pattern(path: str) -> re.Pattern[str]:
    parts: list[str] = []
    position = 0
    for part in _PART.finditer(path):
        parts.append(re.escape(path[position : part.start()]))
        parts.append(f"(?P<{part.group(1)}>{'.+' if part.group(2) else '[^/]+'})")
        position = part.end()
    parts.append(re.escape(path[position:]))
    return re.compile("".join(parts))
