"""Answers what a limit is and how things stand: for the command line and the admin addresses."""

from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.rooms.limits.engine.admission import LimitsAdmission
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.engine.terms import Line
from holdfast.rooms.limits.rules.charge import Charge, bounded, share
from holdfast.rooms.limits.rules.explain import Case, Explanation, counted, explain, moment
from holdfast.rooms.limits.rules.keys import by_address
from holdfast.rooms.limits.rules.policy import scaled
from holdfast.rooms.limits.rules.problems import NobodyToCount, unknown_action


class Asked(msgspec.Struct, frozen=True):
    """What `explain` is asked, as it comes from outside."""

    action: str
    user: str = ""
    tier: str = ""
    at: str = ""
    """ISO 8601; empty means now."""
    load: float | None = None
    """None means what it is."""
    ip: str = ""


class Explainer:
    """Looks at policies and counts without changing any."""

    def __init__(self, admission: LimitsAdmission, local: LocalLedger, clock: Clock) -> None:
        self._admission = admission
        self._local = local
        self._clock = clock

    async def explain(self, asked: Asked) -> list[Explanation]:
        """One explanation for each thing the action is counted by; raises UnknownAction, BadMoment."""
        book = self._admission.book
        wall_s = moment(asked.at, book.zone) if asked.at else self._clock.wall()
        load = self._admission.load if asked.load is None else asked.load
        found = []
        for line in self._lines(asked.action):
            case = Case(
                line.policy,
                line.name,
                line.priority,
                asked.tier,
                wall_s,
                load if book.by_load else 0.0,
                _identity(line.by, asked),
                book.nodes,
            )
            explained = explain(case, tiers=book.tiers, bands=book.bands, zone=book.zone)
            limit = scaled(
                line.policy,
                explained.tier_factor * explained.hour_factor * explained.load_factor,
                line.name,
            )
            charge = Charge(share(limit, book.nodes), case.identity, 0)
            found.append(counted(explained, await self._admission.ledger.peek([charge])))
        return found

    def overview(self) -> dict[str, Any]:
        """Policies with what they come to now by tier, the table, and what has been refused."""
        admission = self._admission
        book = admission.book
        policies = []
        for action, lines in sorted(admission.plans.lines_of_action.items()):
            policy = lines[0].policy
            now = {tier: admission.terms_of(lines[0], tier).promised for tier in book.tiers}
            policies.append(
                {
                    "action": action,
                    "quota": policy.quota,
                    "window_s": policy.window_s,
                    "burst": policy.burst,
                    "by": list(policy.by),
                    "priority": policy.priority,
                    "algorithm": policy.algorithm,
                    "now": {
                        tier: {"quota": limit.quota, "burst": limit.burst} for tier, limit in now.items()
                    },
                    "passed": sum(line.passed for line in book.lines if line.policy is policy),
                    "refused": sum(line.refused for line in book.lines if line.policy is policy),
                }
            )
        return {
            "policies": policies,
            "zone": str(book.zone),
            "hour_factor": book.hour_factor,
            "load": round(admission.load, 3),
            "counts": "local" if admission.ledger is self._local else "shared",
            "nodes": book.nodes,
            "table": {
                "entries": len(self._local),
                "max_entries": self._local.max_entries,
                "shared_uses": self._local.shared_uses,
            },
        }

    def reset(self, identity: str, action: str = "") -> int:
        """Give the identity its whole limits back; how many limits were touched."""
        if not identity:
            raise NobodyToCount(
                "reset needs an identity", hint="name it as explain does: user:7, ip:192.0.2.1"
            )
        lines = self._lines(action) if action else self._admission.book.lines
        charges = {}
        for line in lines:
            limit = self._admission.terms_of(line, "").limit
            # Twice the capacity is more than any state holds, of any tier at any hour.
            whole = 2 * max(self._admission.terms_of(line, tier).limit.capacity for tier in self._tiers())
            charges[line.name] = Charge(limit, bounded(identity), whole)
        self._admission.ledger.refund(list(charges.values()))
        return len(charges)

    def _tiers(self) -> list[str]:
        return list(self._admission.book.tiers)

    def _lines(self, action: str) -> list[Line]:
        known = self._admission.plans.lines_of_action
        if action not in known:
            raise unknown_action(action, list(known))
        return known[action]


def _identity(by: str, asked: Asked) -> str:
    """Who would be counted, of what the question tells."""
    parts = [
        f"user:{asked.user}" if each in ("user", "key", "tenant") and asked.user else by_address(asked.ip)
        for each in by.split("+")
        if each != "route"
    ]
    return bounded("+".join(parts or [f"route:{asked.action}"]))
