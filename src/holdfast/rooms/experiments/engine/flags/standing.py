"""Who takes part in a request: its units, its attributes, and whether it is counted at all.

Bots, probes, excluded paths and internal users are found here, before anything is assigned and so in every
arm alike. What an app learns later of its caller it passes to `variant` itself.
"""

import re
from collections.abc import Mapping
from typing import Any

from holdfast.kernel.context import Ctx
from holdfast.ports.services import Scope
from holdfast.rooms.experiments.rules.assigning import somebody
from holdfast.rooms.experiments.rules.flags import UnitKind
from holdfast.rooms.experiments.rules.settings import Config

MOST_AGENTS = 2000
"""User agents whose kind is remembered."""
LONGEST_AGENT = 512
"""Bytes of a user agent that are looked at."""


class Standing:
    """One request as assignment sees it."""

    __slots__ = ("attributes", "device", "takes_part", "tenant", "user")

    def __init__(self, ctx: Ctx, path: str, device: str, takes_part: bool) -> None:
        event = ctx.event
        self.takes_part = takes_part
        self.user = event.user_id
        self.tenant = ctx.tenant
        self.device = device
        self.attributes: Mapping[str, Any] = {
            "user": event.user_id or None,
            "tenant": ctx.tenant or None,
            "tier": event.tier or None,
            "device": device or None,
            "path": path,
        }

    def unit(self, kind: UnitKind) -> str:
        """The id of this kind; "" where there is none."""
        return self.user if kind == "user" else self.tenant if kind == "tenant" else self.device


class Standings:
    """Tells who stands where, by the settings."""

    def __init__(self, config: Config) -> None:
        self.internal = frozenset(map(somebody, config.internal)) - {""}
        self._bots = re.compile(config.bots, re.IGNORECASE) if config.bots else None
        self._not_counted = tuple(config.not_counted)
        self._device = config.device_header.lower().encode("latin-1")
        self._agents: dict[bytes, bool] = {}

    def of(self, scope: Scope, ctx: Ctx) -> Standing:
        """The standing of this request."""
        path = scope["path"]
        agent = device = b""
        for name, value in scope["headers"]:
            if name == b"user-agent":
                agent = value
            elif name == self._device:
                device = value
        is_internal = bool(self.internal) and somebody(ctx.event.user_id) in self.internal
        takes_part = not (is_internal or path.startswith(self._not_counted) or self.is_bot(agent))
        # As users' ids are read, so that a device is the same one over OFREP; what is no UTF-8 is nobody's.
        return Standing(ctx, path, somebody(device.decode("utf-8", "surrogateescape")), takes_part)

    def is_bot(self, agent: bytes) -> bool:
        """Whether this user agent is a machine's; one that sends none may be anybody."""
        if self._bots is None or not agent:
            return False
        agent = agent[:LONGEST_AGENT]
        known = self._agents.get(agent)
        if known is None:
            if len(self._agents) >= MOST_AGENTS:
                self._agents.clear()
            known = self._agents[agent] = self._bots.search(agent.decode("latin-1")) is not None
        return known
