"""What every action means for every tier at this hour and load, computed once and kept."""

import math
from collections.abc import Mapping, Sequence
from datetime import tzinfo

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import Fields
from holdfast.rooms.limits.rules import headers
from holdfast.rooms.limits.rules.algorithms import TOLERANCE_S
from holdfast.rooms.limits.rules.charge import GCRA, Limit, namespace, share
from holdfast.rooms.limits.rules.factors import (
    Band,
    hour_factor,
    load_factor,
    load_step,
    local_hour,
    same_until,
    tier_of,
    until_next_quarter_s,
)
from holdfast.rooms.limits.rules.policy import Policy, scaled

LOOK_S = 30.0
"""The wall clock is read at least this often: how long a step of it may go unnoticed."""
_TIERS_KEPT = 64
_CACHE_KEPT = 4096
_STATES_KEPT = 1024
ALMOST = 1 - 1e-6
"""What is added before rounding down, to round up all but what rounding itself has added."""

Header = tuple[bytes, bytes]


class Terms(msgspec.Struct, gc=False):
    """One limit as it stands for one tier now, with everything that a decision would else compute."""

    limit: Limit
    """What this process charges: its share, where the counts are not shared."""
    promised: Limit
    """What the caller is told: the whole limit."""
    cost_s: float
    """What the line's cost is worth, in seconds of GCRA debt."""
    whole_s: float
    """What the capacity is worth."""
    limit_s: float
    """The same, with what rounding may add."""
    units: float
    """The capacity in units, with what rounding may take."""
    near: float
    """Units left below which it is worth a word on the record."""
    near_s: float
    """The same as a debt: worth a word above it."""
    rate: float
    """Units per second."""
    policy: Header
    """The RateLimit-Policy field."""
    form: bytes
    """The RateLimit field's form."""
    fine: float
    """Slots per second of debt, within each of which the field's numbers stay the same; 0 for none."""
    states: dict[int, Fields]
    """Both fields by slot, as far as they were needed lately."""
    untouched: Fields | None
    """Both fields for a caller that owes nothing yet; None where already that is worth a word, or refused."""
    user_key: str
    """What the key of a user begins with."""
    key: str
    """What any key begins with; the identity follows."""
    priority: int
    reduced: bool
    """Whether the load has lowered it."""

    def fields(self, debt_s: float) -> Fields:
        """Both fields at this debt, written anew and kept for all others in its slot."""
        slot = -1
        if self.fine:
            slot = int(debt_s * self.fine + ALMOST)
            debt_s = slot / self.fine
        left = max(0, int(self.units - debt_s * self.rate))
        state = self.form % (left, math.ceil(debt_s - TOLERANCE_S))
        found = Fields((self.policy, (headers.STATE, state)))
        if slot >= 0:
            if len(self.states) >= _STATES_KEPT:
                self.states.clear()
            self.states[slot] = found
        return found


class Line:
    """One limit that requests of one kind are held against: a policy, a cost and who is counted."""

    __slots__ = (
        "by",
        "by_address",
        "by_user",
        "cost",
        "is_gcra",
        "keys",
        "name",
        "near",
        "passed",
        "policy",
        "priority",
        "refused",
        "terms",
    )

    def __init__(
        self, policy: Policy, *, name: str, by: str, cost: int = 1, priority: int | None = None
    ) -> None:
        self.policy = policy
        self.name = name
        self.by = by
        self.by_user = by == "user"
        self.by_address = by in ("user", "ip")
        """Whether a caller without a name is counted by address."""
        self.cost = cost
        self.priority = policy.priority if priority is None else priority
        self.is_gcra = policy.algorithm == GCRA
        self.keys: dict[str, str] = {}
        """By address: where a caller without a name is counted. For the short way, which fills it."""
        self.terms: dict[str, Terms] = {}
        """By tier as callers carry it; replaced when the hour or the load changes."""
        self.passed = 0
        self.refused = 0


class Book:
    """The lines, and their terms for the hour and the load it is. `turn` brings them up to date."""

    def __init__(
        self,
        *,
        clock: Clock,
        zone: tzinfo,
        tiers: Mapping[str, float],
        bands: Sequence[Band],
        nodes: int = 1,
        near: float = 0.1,
        by_load: bool = True,
    ) -> None:
        self.zone = zone
        self.tiers = tiers
        self.bands = bands
        self.nodes = nodes
        self.lines: list[Line] = []
        self._clock = clock
        self._near = near
        self.by_load = by_load
        self._cache: dict[tuple[int, float, int], dict[str, Terms]] = {}
        self.hour_factor = 1.0
        self.step = 0
        self.until = float("-inf")
        """Monotonic seconds up to which the hour's factor holds."""
        self.load_from, self.load_to = same_until(0)
        """The loads between which the terms hold."""

    def add(self, line: Line) -> Line:
        self.lines.append(line)
        line.terms = self._of_now(len(self.lines) - 1)
        return line

    def turn(self, now: float, load: float) -> None:
        """Look at the clock and the load, and give every line its terms for them."""
        wall_s = self._clock.wall()
        self.until = now + min(LOOK_S, until_next_quarter_s(wall_s))
        self.hour_factor = hour_factor(self.bands, local_hour(wall_s, self.zone))
        self.step = load_step(load) if self.by_load else 0
        if self.by_load:
            self.load_from, self.load_to = same_until(self.step)
        else:
            self.load_from, self.load_to = float("-inf"), float("inf")
        for index, line in enumerate(self.lines):
            line.terms = self._of_now(index)

    def terms(self, line: Line, tier: str) -> Terms:
        """The line's terms for a tier as the caller carries it; kept for the next time."""
        found = line.terms.get(tier)
        if found is None:
            name = tier_of(self.tiers, tier)
            found = line.terms.get(name)
            if found is None:
                found = line.terms[name] = self._compute(line, name)
            if len(line.terms) < _TIERS_KEPT:
                line.terms[tier] = found
        return found

    def _of_now(self, index: int) -> dict[str, Terms]:
        if len(self._cache) > _CACHE_KEPT:
            self._cache.clear()
        return self._cache.setdefault((index, self.hour_factor, self.step), {})

    def _compute(self, line: Line, tier: str) -> Terms:
        policy = line.policy
        by_load = load_factor(line.priority, self.step)
        promised = scaled(policy, self.tiers[tier] * self.hour_factor * by_load, line.name)
        limit = share(promised, self.nodes)
        interval_s = limit.window_s / limit.quota
        key = namespace(limit.name, limit.algorithm)
        terms = Terms(
            limit=limit,
            promised=promised,
            cost_s=interval_s * line.cost,
            whole_s=interval_s * limit.capacity,
            limit_s=interval_s * limit.capacity + TOLERANCE_S,
            units=limit.capacity + 1e-6,
            near=limit.capacity * self._near,
            near_s=interval_s * limit.capacity * (1 - self._near),
            rate=1 / interval_s,
            policy=(headers.POLICY, headers.policy_item(promised, policy.unit)),
            form=headers.state_form(line.name),
            fine=headers.slots_per_second(limit),
            states={},
            untouched=None,
            user_key=f"{key}user:",
            key=key,
            priority=line.priority if tier == "FREE" else max(0, line.priority - 1),
            reduced=by_load < 1,
        )
        if terms.cost_s <= min(terms.limit_s, terms.near_s):
            terms.untouched = terms.fields(terms.cost_s)
        return terms
