"""Wiring of the limits room."""

import random
from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import ClassVar
from zoneinfo import ZoneInfo

from holdfast.kernel.clock import Clock
from holdfast.kernel.room import Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import Meter
from holdfast.ports.shared import Shared
from holdfast.rooms.limits.engine.admission import LimitsAdmission
from holdfast.rooms.limits.engine.counts import Counts
from holdfast.rooms.limits.engine.explaining import Explainer
from holdfast.rooms.limits.engine.handles import Limits
from holdfast.rooms.limits.engine.ledger import Ledger
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.engine.plans import Plans
from holdfast.rooms.limits.engine.shared import SharedLedger
from holdfast.rooms.limits.engine.shedder import Shedder
from holdfast.rooms.limits.engine.terms import Book
from holdfast.rooms.limits.engine.verbs import Verbs
from holdfast.rooms.limits.http import LimitsHttp, routes
from holdfast.rooms.limits.rules.problems import bad_setting
from holdfast.rooms.limits.rules.routes import Table
from holdfast.rooms.limits.rules.settings import Config as Config

COUNTS_S = 1.0
"""How often the room's counts are handed to the meter."""


class LimitsRoom(Room):
    """Decides at the door who may come in, how often and in which order.

    `admission` is for the edge, `limits` for the service's own code. Without `shared` each of `nodes`
    processes counts alone and admits its share. Raises Misconfigured for a zone that is not known.
    """

    name: ClassVar[str] = "limits"

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        meter: Meter,
        supervisor: Supervisor,
        shared: Shared | None = None,
        nodes: int = 1,
        rng: random.Random | None = None,
    ) -> None:
        self.config = config
        self._supervisor = supervisor
        chance = rng or random.Random()  # noqa: S311 - it spreads load, it guards nothing
        book = Book(
            clock=clock,
            zone=_zone(config.timezone),
            tiers=config.all_tiers(),
            bands=config.bands(),
            nodes=1 if shared is not None else max(1, nodes),
            near=config.near,
            by_load=config.by_load,
        )
        plans = Plans(
            Table(config.rules(), config.exempt),
            config.policies(),
            config.everywhere,
            book,
            limited=config.enabled,
        )
        local = LocalLedger(clock.monotonic, max_entries=config.max_entries)
        self._shared_ledger = (
            SharedLedger(
                shared,
                clock=clock,
                local=local,
                config=config.sharing,
                rng=chance,
                node_id=f"{chance.getrandbits(64):016x}",
            )
            if shared is not None
            else None
        )
        ledger: Ledger = self._shared_ledger or local
        self.shedder = (
            Shedder(config.shedding, clock=clock, meter=meter, rng=chance)
            if config.shedding.enabled
            else None
        )
        self.admission = LimitsAdmission(
            clock=clock, plans=plans, book=book, ledger=ledger, shedder=self.shedder
        )
        self.limits = Limits(self.admission, list(config.policies()), enabled=config.enabled)
        self.explainer = Explainer(self.admission, local, clock)
        self._counts = Counts(meter, self.admission, local, self._shared_ledger)
        self._http = LimitsHttp(self.explainer)
        self._verbs = Verbs(self.explainer, enabled=config.enabled)
        self._running = False

    async def start(self) -> None:
        if self._running:
            return
        self._running = True
        self._supervisor.every("limits counts", COUNTS_S, self._counts.flush_now)
        if self._shared_ledger is not None:
            self._supervisor.every("limits beat", self.config.sharing.beat_s, self._shared_ledger.beat)

    async def stop(self) -> None:
        if not self._running:
            return
        self._running = False
        self._counts.flush()
        if self.shedder is not None:
            self.shedder.stop()
        if self._shared_ledger is not None:
            await self._shared_ledger.leave()

    def routes(self) -> Sequence[Route]:
        return routes(self._http)

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()


def _zone(name: str) -> tzinfo:
    """The zone; UTC needs no database of zones, so that the default works on every machine."""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        said = f"there is no zone {name!r} on this machine; name one such as Asia/Seoul, or install tzdata"
        raise bad_setting("limits.timezone", said) from None
