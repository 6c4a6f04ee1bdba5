"""Budgets over the shared store, by the scripts of `budget_scripts.py`."""

import asyncio
from collections.abc import Sequence

from holdfast.ports.shared import Part, Shared
from holdfast.rooms.llm.rules.limits import ROLLING, Limit
from holdfast.rooms.llm.rules.settling import Answer, Charge, Seed, Settlement, Stand
from holdfast.rooms.llm.store.budget_scripts import BEAT, LEASES, NODES, PREFIX, RESERVE, SETTLE

_DONE_MS = 3_600_000
"""How long a settled reservation is remembered, so that telling it again changes nothing."""
_SPARE_MS = 3_600_000
"""How long a count outlives its period: calls that began in it are settled, and its node may lag."""


class RedisBudgets:
    """The Store of `engine/shared_counts.py` over Redis or Valkey. Raises SharedDown, SharedRefused."""

    def __init__(self, shared: Shared, node_id: str, *, nodes: int = 1, silent_after_s: float = 5.0) -> None:
        self._shared = shared
        self._node_id = node_id
        self._at_least = max(1, nodes)
        self._silent_ms = int(silent_after_s * 1000)

    @property
    def is_up(self) -> bool:
        return self._shared.is_up

    def now_s(self) -> float:
        """The server's time, which all processes agree on."""
        return self._shared.clock_us() / 1e6

    async def reserve(self, id: str, charges: Sequence[Charge], lease_s: float) -> Answer:
        """All or nothing, in one round trip."""
        arguments: list[Part] = [PREFIX, id, int(lease_s * 1000)]
        for charge in charges:
            arguments += (
                _form(charge.limit),
                charge.limit.amount,
                charge.amount,
                charge.mark,
                _ttl_ms(charge.ends_in_s),
                charge.seed,
            )
        keys = [LEASES, _record(id), *(_count(charge.limit) for charge in charges)]
        reply = await self._shared.script(RESERVE, keys, arguments)
        stands = tuple(
            Stand(reply[at] == 1, int(reply[at + 1]), int(reply[at + 2]), int(reply[at + 3]))
            for at in range(2, len(reply), 4)
        )
        return Answer(reply[0] == 1, stands, int(reply[1]))

    async def settle(self, settlements: Sequence[Settlement], seed: Seed) -> None:
        """Each by itself, all in one write; raises when one failed: all may be told again."""
        calls = []
        for settlement in settlements:
            arguments: list[Part] = [settlement.id, _DONE_MS]
            for use in settlement.uses:
                arguments += (
                    _form(use.limit),
                    use.limit.amount,
                    use.mark,
                    _ttl_ms(use.ends_in_s),
                    use.reserved,
                    use.actual,
                    seed(use.limit, use.mark),
                )
            keys = [LEASES, _record(settlement.id), *(_count(use.limit) for use in settlement.uses)]
            calls.append(self._shared.script(SETTLE, keys, arguments))
        failures = [
            each
            for each in await asyncio.gather(*calls, return_exceptions=True)
            if isinstance(each, BaseException)
        ]
        if failures:
            raise failures[0]

    async def beat(self) -> int:
        """Say that this node lives; how many do."""
        heard = await self._shared.script(BEAT, [NODES], [self._node_id, self._silent_ms, "1"])
        return max(self._at_least, int(heard))

    async def leave(self) -> None:
        """Say that this node goes."""
        await self._shared.script(BEAT, [NODES], [self._node_id, self._silent_ms, "0"])


def _record(id: str) -> str:
    return f"{PREFIX}r:{id}"


def _count(limit: Limit) -> str:
    return f"{PREFIX}c:{limit.key}"


def _form(limit: Limit) -> str:
    return "r" if limit.period == ROLLING else "c"


def _ttl_ms(ends_in_s: float) -> int:
    return int(max(0.0, ends_in_s) * 1000) + _SPARE_MS
