"""What the page shows: the shape of `GET /api/v1/status`."""

import msgspec


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What passes the front door; null where nothing has been measured yet."""

    requests_total: int = 0
    """Since the start; the page draws its curve from the differences."""
    requests_per_minute: float | None = None
    error_rate: float | None = None
    """Share of answers with status 500 and up, 0..1."""
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    in_flight: int = 0
    open_streams: int = 0


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """What the event log did since the start."""

    written: int = 0
    dropped: int = 0


class RouteRow(msgspec.Struct, frozen=True, kw_only=True):
    """One route template, busiest first."""

    method: str
    route: str
    requests: int
    errors: int = 0
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """One health check; a State of the health room fits."""

    name: str
    status: str
    detail: str = ""
    required: bool = False
    engine: bool = False
    age_s: float | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go from here; `href` is a path on this server."""

    label: str
    href: str
    about: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the page shows, in one answer."""

    version: str
    uptime_s: float
    environment: str = ""
    workers: int = 1
    ready: bool = True
    rooms_on: list[str] = []
    rooms_skipped: dict[str, str] = {}
    """Room to reason."""
    traffic: Traffic = Traffic()
    records: Records = Records()
    routes: list[RouteRow] = []
    checks: list[CheckRow] = []
    links: list[Link] = []
    example_users: list[str] = []
    """User ids worth trying in the form for recommendations."""
