"""What the console shows, put together from what the rooms say of themselves."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.edge.pipeline import Edge
    from holdfast.ground import Ground

WINDOW_S = 60.0

_LINKS = (
    ("GET", "/docs", "API reference", "every address, with its shapes"),
    ("GET", "/holdfast/docs", "Holdfast API", "the addresses of the layer itself"),
    ("GET", "/metrics", "Metrics", "Prometheus and OpenMetrics"),
    ("GET", "/health/detailed", "Health in detail", "every check, with facts"),
    ("GET", "/openapi.json", "OpenAPI", "the same for programs"),
)
_DEMO_USERS = ["user-1", "user-42", "user-77"]
"""Users whom the demo shop knows."""


class Pulse:
    """Requests and errors over the last minute, from the totals seen at each question."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def beat(self, now: float, requests: int, errors: int) -> tuple[float | None, float | None]:
        """Requests a minute and the share of errors since the oldest total of the window; None at first."""
        while self._seen and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        self._seen.append((now, requests, errors))
        since, first_requests, first_errors = self._seen[0]
        if now - since < 1.0:
            return None, None
        new = requests - first_requests
        rate = max(0, new) / (now - since) * 60.0
        return rate, (max(0, errors - first_errors) / new if new > 0 else 0.0)


class StatusReport:
    """Asks the rooms that are there; whatever is not there is left out."""

    def __init__(self, ground: "Ground", edge: "Edge") -> None:
        self._ground = ground
        self._edge = edge
        self._pulse = Pulse()

    async def read(self, about: Mapping[str, Any], addresses: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        """The keys of the console's Status; `addresses` are the (method, path) that are served."""
        checks = self._ask("health", "states", ())
        figures = await self._figures(is_up=about["state"] == "up")
        return {
            "version": about["version"],
            "environment": about["environment"],
            "uptime_s": about["uptime_s"],
            "ready": about["state"] == "up" and all(c.status != "down" for c in checks if c.required),
            "rooms_on": about["rooms"],
            "rooms_skipped": about["skipped"],
            **figures,
            "records": self._ask("telemetry", "records", {}),
            "checks": checks,
            "links": [
                {"label": label, "href": path, "about": text}
                for method, path, label, text in _LINKS
                if (method, path) in addresses
            ],
            "example_users": _DEMO_USERS if self._ground.demo else [],
        }

    async def _figures(self, *, is_up: bool) -> Mapping[str, Any]:
        traffic: dict[str, Any] = {
            "in_flight": self._edge.in_flight,
            "open_streams": len(self._edge.streams.open),
        }
        telemetry: Any = self._ground.rooms.get("telemetry")
        if telemetry is None or not is_up:
            return {"traffic": traffic, "routes": []}
        found = await telemetry.api_figures()
        per_minute, error_rate = self._pulse.beat(self._ground.clock.monotonic(), found.count, found.errors)
        traffic |= {
            "requests_total": found.count,
            "requests_per_minute": per_minute,
            "error_rate": error_rate,
            "latency_p50_s": found.p50_s,
            "latency_p95_s": found.p95_s,
        }
        rows = [
            {
                "method": row.method,
                "route": row.route,
                "requests": row.count,
                "errors": row.errors,
                "latency_p50_s": row.p50_s,
                "latency_p95_s": row.p95_s,
            }
            for row in found.routes[:20]
        ]
        return {"traffic": traffic, "routes": rows}

    def _ask(self, room: str, question: str, otherwise: Any) -> Any:
        """What a room answers to `question`, or `otherwise` when the room is not here."""
        found = self._ground.rooms.get(room)
        return otherwise if found is None else getattr(found, question)()
