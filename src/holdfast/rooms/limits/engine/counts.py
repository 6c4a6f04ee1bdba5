"""Hands the room's counts to the meter, from time to time: no decision pays for a metric."""

from functools import partial

from holdfast.ports.services import Meter
from holdfast.rooms.limits.engine.admission import LimitsAdmission
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.engine.shared import SharedLedger

_SHARED = (
    ("holdfast_limits_shared_round_trips", "round_trips", "Calls of the shared store since the start."),
    ("holdfast_limits_shared_by_memory", "by_memory", "Decisions by a lease or a remembered refusal."),
    ("holdfast_limits_shared_by_share", "by_share", "Decisions by this node's share: the store was away."),
    ("holdfast_limits_shared_owed", "owed", "Charges that the shared store has not been told of yet."),
    ("holdfast_limits_nodes", "nodes", "Nodes that share the limits, as last known."),
)


class Counts:
    """Takes the plain numbers that decisions leave behind; `flush` tells the meter what is new."""

    def __init__(
        self, meter: Meter, admission: LimitsAdmission, local: LocalLedger, shared: SharedLedger | None = None
    ) -> None:
        self._admission = admission
        self._local = local
        self._decisions = meter.counter(
            "holdfast_limits_decisions_total", "Charges by action and outcome.", ("action", "outcome")
        )
        self._refusals = meter.counter(
            "holdfast_limits_refusals_total",
            "Requests refused, by the policy that refused them.",
            ("policy",),
        )
        self._sources = meter.counter(
            "holdfast_limits_sources_total", "Decisions by where they were made.", ("source",)
        )
        self._overflow = meter.counter(
            "holdfast_limits_shared_buckets_total",
            "Charges of identities that share one count, because the table is full.",
        )
        meter.watch(
            "holdfast_limits_table_entries",
            "Identities counted in process memory.",
            lambda: float(len(local)),
        )
        if shared is not None:
            for metric, key, meaning in _SHARED:
                meter.watch(metric, meaning, partial(_figure, shared, key))
        self._told: dict[tuple[str, ...], int] = {}

    def flush(self) -> None:
        """Tell the meter what has come since it was last told."""
        admission = self._admission
        for line in admission.book.lines:
            action, name = line.policy.action, line.name
            passed = self._new(("passed", name, line.by, str(line.cost), str(line.priority)), line.passed)
            refused = self._new(("refused", name, line.by, str(line.cost), str(line.priority)), line.refused)
            if passed:
                self._decisions.labels(action, "allowed").add(passed)
            if refused:
                self._decisions.labels(action, "refused").add(refused)
                self._refusals.labels(name).add(refused)
        for source, total in {**admission.sources, "local": admission.local_decisions}.items():
            if fresh := self._new(("source", source), total):
                self._sources.labels(source).add(fresh)
        if fresh := self._new(("overflow",), self._local.shared_uses):
            self._overflow.labels().add(fresh)

    async def flush_now(self) -> None:
        """The same, as background work."""
        self.flush()

    def _new(self, key: tuple[str, ...], total: int) -> int:
        fresh = total - self._told.get(key, 0)
        if fresh:
            self._told[key] = total
        return fresh


def _figure(ledger: SharedLedger, key: str) -> float:
    return float(ledger.state()[key])
