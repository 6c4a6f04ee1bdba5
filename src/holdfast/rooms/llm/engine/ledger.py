"""The ledger's writer: rows leave in batches, no request waits for them, and no charge is lost unseen."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import tzinfo

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Unavailable
from holdfast.kernel.room import Finding
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import Meter
from holdfast.rooms.llm.rules.ledger import (
    Entry,
    Place,
    Sum,
    Whose,
    add_up,
    clean,
    day_before,
    day_of,
    merge,
    served_sums,
    size_bytes,
)
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.store.ledger import LedgerStore

logger = logging.getLogger("holdfast.llm")

_BATCH = 500
_EVERY_S = 0.2
_RETRY_S = 1.0
_MOST_SUMS = 20_000
_AT_ONCE = 1_000
_DAY_S = 86_400.0


class Ledger:
    """Takes a row an attempt and keeps rows and daily sums in the database.

    A batch is written at most 200 ms after its first row, or with 500 rows. While the database is away rows
    wait, up to `most_bytes`; then they are *spilled*: the row is dropped, what it cost stays in the sums and
    is written with them, and health says so.
    """

    def __init__(
        self,
        store: LedgerStore,
        clock: Clock,
        zone: tzinfo,
        meter: Meter,
        new_id: Callable[[], str],
        *,
        keep_days: int = 90,
        most_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self._store = store
        self._clock = clock
        self._zone = zone
        self._new_id = new_id
        self._keep_days = keep_days
        self._most_bytes = most_bytes
        self._waiting: deque[Entry] = deque()
        self._bytes = 0
        self._under_way: _Batch | None = None
        self._served: dict[Whose, int] = {}
        """Kept answers since the last batch."""
        self._spilled_sums: dict[Place, Sum] = {}
        self._writing = asyncio.Lock()
        self._came = asyncio.Event()
        self._full = asyncio.Event()
        self.spilled = 0
        """Rows dropped since the start; their sums were kept."""
        self.problem = ""
        """Why the last batch could not be written; empty when it was."""
        self._measure(meter)

    def _measure(self, meter: Meter) -> None:
        self._rows = meter.counter(
            "holdfast_llm_ledger_rows_total", "Rows taken into the ledger, by outcome.", ("outcome",)
        )
        self._unpriced = meter.counter(
            "holdfast_llm_ledger_unpriced_total", "Rows of models without a price, taken to cost nothing."
        ).labels()
        self._spills = meter.counter(
            "holdfast_llm_ledger_spilled_total",
            "Rows dropped because the database was away for too long; their sums were kept.",
        ).labels()
        self._seconds = meter.histogram(
            "holdfast_llm_ledger_write_seconds", "How long writing a batch of ledger rows took."
        ).labels()
        meter.watch(
            "holdfast_llm_ledger_waiting_rows", "Ledger rows not written yet.", lambda: float(self.waiting)
        )

    @property
    def waiting(self) -> int:
        """Rows not written yet."""
        return len(self._waiting) + (len(self._under_way.entries) if self._under_way else 0)

    def write(self, entry: Entry) -> None:
        """Take a row. Never waits, never raises for the database."""
        entry = clean(entry)
        self._rows.labels(entry.outcome.partition(":")[0]).add()
        if entry.unpriced:
            self._unpriced.add()
        self._waiting.append(entry)
        self._bytes += size_bytes(entry)
        while self._bytes > self._most_bytes and self._waiting:
            self._spill(self._waiting.popleft())
        self._came.set()
        if len(self._waiting) >= _BATCH:
            self._full.set()

    def served(self, payer: Payer, provider: str) -> None:
        """An answer that was kept: it is counted in the daily sums, and has no row."""
        who = (payer.tenant, payer.user, payer.key, payer.model, provider)
        count = self._served.get(who, 0)
        self._served[who] = count + 1
        if not count:
            self._came.set()

    def start(self, supervisor: Supervisor) -> None:
        """Begin to write."""
        supervisor.spawn("llm ledger", lambda: self._work(supervisor.stopping))
        supervisor.every("llm ledger retention", 3_600.0, self.forget)

    async def stop(self) -> None:
        """Write everything that waits, as far as the database answers now."""
        if not await self.flush():
            logger.error("%d rows of the llm ledger are lost: %s", self.waiting, self.problem)

    async def flush(self) -> bool:
        """Write everything that waits; whether all is written."""
        while self.waiting or self._served or self._spilled_sums:
            if not await self._write_one():
                return False
        return True

    async def forget(self) -> None:
        """Delete rows beyond their days, in small pieces; daily sums stay."""
        now_s = self._clock.wall()
        before_ms = int((now_s - self._keep_days * _DAY_S) * 1000)
        while await self._store.forget(before_ms, _AT_ONCE) >= _AT_ONCE:
            pass
        await self._store.forget_batches(int((now_s - _DAY_S) * 1000))

    async def finding(self) -> Finding:
        """For health: degraded while rows cannot be written, and once any were spilled."""
        facts = {"waiting": self.waiting, "spilled": self.spilled}
        if self.spilled:
            return Finding("degraded", f"{self.spilled} rows were dropped; their sums are kept", facts)
        if self.problem:
            return Finding("degraded", f"{self.waiting} rows wait: {self.problem}", facts)
        return Finding(facts=facts)

    # -- reports ---------------------------------------------------------------------------------------

    async def spend(self, dimension: str, days: int, most: int = 100) -> list[tuple[str, Sum]]:
        """What each id of a dimension has come to in the last `days`, today included; the dearest first."""
        return await self._store.by_id(dimension, self._since(days), most)

    async def daily(self, dimension: str, days: int, most: int = 1_000) -> list[tuple[str, str, Sum]]:
        """(day, id, sum) of the last `days`."""
        return await self._store.by_day(dimension, self._since(days), most)

    async def newest(self, most: int = 100) -> Sequence[Entry]:
        """The newest rows."""
        return await self._store.newest(0, most)

    def _since(self, days: int) -> str:
        return day_before(int(self._clock.wall() * 1000), max(0, days - 1), self._zone)

    # -- the writer ------------------------------------------------------------------------------------

    async def _work(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await _either(stopping, self._came)
            self._came.clear()
            await _either(stopping, self._full, timeout_s=_EVERY_S)
            self._full.clear()
            while self.waiting or self._served or self._spilled_sums:
                if not await self._write_one():
                    await _either(stopping, timeout_s=_RETRY_S)
                if stopping.is_set():
                    return

    async def _write_one(self) -> bool:
        """One batch; whether it is written. One that was not keeps its id and is tried again as it was."""
        async with self._writing:
            return await self._write_batch()

    async def _write_batch(self) -> bool:
        if not (self._under_way or self._waiting or self._served or self._spilled_sums):
            return True  # another has written it meanwhile
        if self._under_way is None:
            entries = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            sums = add_up(entries, self._zone)
            today = day_of(int(self._clock.wall() * 1000), self._zone)
            merge(sums, served_sums(self._served, today), _MOST_SUMS + len(sums))
            self._served = {}
            merge(sums, self._spilled_sums, _MOST_SUMS + len(sums))
            self._spilled_sums = {}
            self._under_way = _Batch(self._new_id(), entries, sums)
        batch = self._under_way
        started = self._clock.monotonic()
        try:
            await self._store.write(batch.id, int(self._clock.wall() * 1000), batch.entries, batch.sums)
        except Unavailable as error:
            self.problem = error.line()
            return False
        except Exception as error:  # noqa: BLE001 - a row that cannot be written must not stop those behind it
            return self._give_up(batch, error)
        self._seconds.observe(self._clock.monotonic() - started)
        self._done(batch)
        self.problem = ""
        return True

    def _give_up(self, batch: "_Batch", error: Exception) -> bool:
        """The database refuses the rows themselves: the sums are tried alone, then nothing is."""
        self.problem = f"{type(error).__name__}: {error}"
        logger.exception("%d rows of the llm ledger were refused by the database", len(batch.entries))
        self._done(batch)
        self.spilled += len(batch.entries)
        self._spills.add(len(batch.entries))
        if batch.entries:
            merge(self._spilled_sums, batch.sums, _MOST_SUMS)
        return False

    def _done(self, batch: "_Batch") -> None:
        self._bytes -= sum(size_bytes(entry) for entry in batch.entries)
        self._under_way = None

    def _spill(self, entry: Entry) -> None:
        self._bytes -= size_bytes(entry)
        if not self.spilled:
            logger.error("the llm ledger is full and drops rows, keeping their sums: %s", self.problem)
        self.spilled += 1
        self._spills.add()
        merge(self._spilled_sums, add_up((entry,), self._zone), _MOST_SUMS)


class _Batch:
    """Rows and sums on their way, under the id that makes writing them twice harmless."""

    __slots__ = ("entries", "id", "sums")

    def __init__(self, id: str, entries: Sequence[Entry], sums: dict[Place, Sum]) -> None:
        self.id = id
        self.entries = entries
        self.sums = sums


async def _either(*events: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait until one of the events is set, or the time is over."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
