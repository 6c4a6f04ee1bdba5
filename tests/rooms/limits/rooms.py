"""A limits room on a manual clock, and requests for it, for the tests of this folder."""

import tomllib
from typing import Any

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.config import load_settings
from holdfast.kernel.context import Ctx, Sources
from holdfast.kernel.event import Event
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import Meter, NoMeter
from holdfast.rooms.limits.room import Config, LimitsRoom

NIGHT = 1_750_000_000.0 - 1_750_000_000.0 % 86_400 + 7.25 * 3600
"""07:15 UTC: in no band of the day."""


class Request(Ctx, kw_only=True, eq=False):
    """A Ctx that knows its scope, as the edge's does."""

    scope: Any = None


class Harness:
    """One room, its clock, and a way to send it requests."""

    def __init__(self, text: str = "", *, nodes: int = 1, meter: Meter | None = None) -> None:
        quiet = "" if "shedding" in text else "\n[limits.shedding]\nenabled = false"
        settings = load_settings({"limits": Config}, overrides=tomllib.loads(text + quiet))
        self.clock = ManualClock(wall_s=NIGHT)
        self.room = LimitsRoom(
            settings.section("limits", Config),
            clock=self.clock,
            meter=meter or NoMeter(),
            supervisor=Supervisor(),
            nodes=nodes,
        )
        self.admission = self.room.admission

    def request(self, path: str = "/api/v1/things", method: str = "GET", **caller: Any) -> Request:
        """A request as the edge hands it on; `caller`: user, tier, ip, identity, credentials, kind."""
        event = Event(method=method, user_id=caller.get("user", ""), tier=caller.get("tier", ""))
        scope = {"type": caller.get("kind", "http"), "path": path, "method": method}
        if "identity" in caller:
            scope["holdfast.identity"] = caller["identity"]
        if "credentials" in caller:
            scope["holdfast.credentials"] = caller["credentials"]
        sources = Sources(self.clock, IdSource())
        return Request(event, sources, client_ip=caller.get("ip", "192.0.2.1"), scope=scope)

    def send(self, path: str = "/api/v1/things", method: str = "GET", **caller: Any) -> Any:
        """What admission says to one request; never a coroutine here."""
        request = self.request(path, method, **caller)
        return self.admission.admit(request.scope, request)

    def admitted(self, count: int, path: str = "/api/v1/things", method: str = "GET", **caller: Any) -> int:
        """How many of `count` requests are let in."""
        return sum(self.send(path, method, **caller) is None for _ in range(count))
