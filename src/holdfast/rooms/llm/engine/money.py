"""Everything about money, put together: prices, budgets, ledger, keys; the room holds one of these."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import Meter
from holdfast.ports.shared import Shared
from holdfast.ports.storage import Sql
from holdfast.rooms.llm.engine.admin import MoneyHttp, routes
from holdfast.rooms.llm.engine.budgets import Budgets
from holdfast.rooms.llm.engine.copying import Copying
from holdfast.rooms.llm.engine.counting import Counts
from holdfast.rooms.llm.engine.ledger import Ledger
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.engine.shared_counts import SharedCounts
from holdfast.rooms.llm.engine.verbs import MoneyVerbs
from holdfast.rooms.llm.engine.virtual_keys import VirtualKeys
from holdfast.rooms.llm.rules.budgets import Declared
from holdfast.rooms.llm.rules.money_settings import MoneySettings
from holdfast.rooms.llm.rules.prices import Prices
from holdfast.rooms.llm.store import budgets_sql, ledger, virtual_keys
from holdfast.rooms.llm.store.budgets_redis import RedisBudgets
from holdfast.rooms.llm.store.budgets_sql import SqlBudgets, SqlCopy
from holdfast.rooms.llm.store.ledger import LedgerStore
from holdfast.rooms.llm.store.virtual_keys import KeyStore

MIGRATIONS = (*budgets_sql.MIGRATIONS, *ledger.MIGRATIONS, *virtual_keys.MIGRATIONS)

_BEAT_S = 1.0
_HOURLY_S = 3_600.0


class Money:
    """What calls cost and who may spend how much. `start` after migrations, `stop` after the last call."""

    def __init__(
        self,
        settings: MoneySettings,
        *,
        clock: Clock,
        ids: IdSource,
        meter: Meter,
        sql: Sql,
        shared: Shared | None,
        supervisor: Supervisor,
        nodes: int = 1,
        bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        """`nodes`: how many processes there are at least. Raises Misconfigured."""
        zone = _zone(settings.time_zone)
        new_id = partial(_new_id, ids, clock)
        self._supervisor = supervisor
        self._sql_store: SqlBudgets | None = None
        self._copying: Copying | None = None
        self._shared_counts: SharedCounts | None = None
        self.prices = Prices(settings.prices)
        declared = Declared(settings.budgets)
        counts: Counts
        where = _where(settings.budget_store, shared, sql)
        if where == "memory":
            counts = memory = MemoryCounts(clock, zone)
            self._copying = Copying(memory, SqlCopy(sql), clock)
            _watch_memory(meter, memory)
        else:
            if where == "shared":
                assert shared is not None
                store: RedisBudgets | SqlBudgets = RedisBudgets(shared, new_id(), nodes=nodes)
            else:
                store = self._sql_store = SqlBudgets(sql, clock.wall, nodes=nodes)
            counts = self._shared_counts = SharedCounts(store, clock, zone, new_id)
            _watch_shared(meter, self._shared_counts)
        self.budgets = Budgets(declared, counts, meter, lease_s=settings.reservation_s)
        self.ledger = Ledger(
            LedgerStore(sql),
            clock,
            zone,
            meter,
            new_id,
            keep_days=settings.ledger_days,
            most_bytes=settings.ledger_waiting_bytes,
        )
        self.keys = VirtualKeys(KeyStore(sql), clock, meter, new_id, shared=shared, bits=bits)
        self._http = MoneyHttp(self.keys, self.ledger)
        self._verbs = MoneyVerbs(self.keys, self.ledger)

    async def start(self) -> None:
        """Take up the counts where they stood, and begin to write."""
        if self._copying is not None:
            await self._copying.restore()
            self._supervisor.every("llm budgets copy", _BEAT_S, self._copying.turn)
            self._supervisor.every("llm budgets old", _HOURLY_S, self._copying.forget)
        if self._shared_counts is not None:
            self._supervisor.every("llm budgets beat", _BEAT_S, self._shared_counts.beat)
        if self._sql_store is not None:
            self._supervisor.every("llm budgets old", _HOURLY_S, self._sql_store.forget)
        self.ledger.start(self._supervisor)
        self.keys.start(self._supervisor)

    async def stop(self) -> None:
        """Write and tell everything that waits."""
        self.keys.stop()
        if self._shared_counts is not None:
            await self._shared_counts.stop()
        if self._copying is not None:
            await self._copying.turn()
        await self.ledger.stop()

    def routes(self) -> Sequence[Route]:
        return routes(self._http)

    def verbs(self) -> Sequence[Verb]:
        return self._verbs.all()

    def checks(self) -> Sequence[Check]:
        found = [Check("llm ledger", self.ledger.finding)]
        if self._shared_counts is not None:
            found.append(Check("llm budgets", self._budgets_finding))
        return found

    async def _budgets_finding(self) -> Finding:
        counts = self._shared_counts
        assert counts is not None
        facts = {"nodes": counts.nodes, "owed": counts.owed, "by_share": counts.by_share}
        if counts.is_away:
            return Finding("degraded", "the store of budgets is away: each process spends its share", facts)
        return Finding(facts=facts)


def _new_id(ids: IdSource, clock: Clock) -> str:
    return ids.sortable(clock.wall())


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Misconfigured(
            f"llm.time_zone: there is no time zone {name!r}",
            hint="a name such as Asia/Seoul or UTC; on Windows: pip install tzdata",
        ) from None


def _where(asked: str, shared: Shared | None, sql: Sql) -> str:
    """Where budgets are counted: together with others wherever there may be any."""
    if asked == "shared" and shared is None:
        raise Misconfigured(
            "llm.budget_store = shared, and there is no shared store", hint="add redis://... to `url`"
        )
    if asked != "auto":
        return asked
    if shared is not None:
        return "shared"
    return "database" if sql.state().get("driver") == "postgresql" else "memory"


def _watch_memory(meter: Meter, counts: MemoryCounts) -> None:
    meter.watch(
        "holdfast_llm_budget_open_reservations",
        "Reservations of this process not settled yet.",
        lambda: float(counts.open),
    )


def _watch_shared(meter: Meter, counts: SharedCounts) -> None:
    meter.watch(
        "holdfast_llm_budget_away",
        "Whether the store of budgets is away, so that this process spends its share: 1 or 0.",
        lambda: float(counts.is_away),
    )
    meter.watch(
        "holdfast_llm_budget_owed_settlements",
        "Settlements that the store of budgets has not been told yet.",
        lambda: float(counts.owed),
    )
    meter.watch(
        "holdfast_llm_budget_share_decisions",
        "Reservations decided by this process's share, since the start.",
        lambda: float(counts.by_share),
    )
