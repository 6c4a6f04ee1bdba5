"""The room's commands: limits list, limits explain."""

import argparse
from collections.abc import Sequence

from holdfast.kernel.room import Verb
from holdfast.rooms.limits.engine.explaining import Asked, Explainer
from holdfast.rooms.limits.rules.explain import told


class Verbs:
    """The commands, run by the CLI after the rooms have started."""

    def __init__(self, explainer: Explainer, *, enabled: bool) -> None:
        self._explainer = explainer
        self._enabled = enabled

    def all(self) -> Sequence[Verb]:
        return (
            Verb("limits list", "every action's limit and what it comes to now, by tier", self.list_limits),
            Verb(
                "limits explain",
                "how a limit comes about: table, tier, hour, load, algorithm, key",
                self.explain,
                _explain_arguments,
            ),
        )

    async def list_limits(self, options: argparse.Namespace) -> int:
        found = self._explainer.overview()
        tiers = list(found["policies"][0]["now"]) if found["policies"] else []
        rows = [("action", "limit", "by", "algorithm", "priority", *tiers)]
        for policy in found["policies"]:
            limit = f"{policy['quota']}/{policy['window_s']:g} s +{policy['burst']}"
            now = [f"{policy['now'][tier]['quota']} +{policy['now'][tier]['burst']}" for tier in tiers]
            by = ", ".join(policy["by"])
            rows.append((policy["action"], limit, by, policy["algorithm"], str(policy["priority"]), *now))
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        print(f"now: hour x {found['hour_factor']:g} ({found['zone']}), load {found['load']:g}")
        self._say_if_off()
        return 0

    async def explain(self, options: argparse.Namespace) -> int:
        asked = Asked(
            options.action,
            options.user,
            options.tier,
            options.at,
            options.load,
            options.ip,
        )
        for found in await self._explainer.explain(asked):
            print("\n".join(told(found)))
        self._say_if_off()
        return 0

    def _say_if_off(self) -> None:
        if not self._enabled:
            print("limits are off (limits.enabled = false): nothing of this is charged")


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--action", required=True, metavar="ACTION", help="e.g. ai_generation")
    parser.add_argument("--user", default="", metavar="USER", help="who asks; none: counted by address")
    parser.add_argument("--tier", default="", metavar="TIER", help="FREE, PREMIUM, ADMIN or one of yours")
    parser.add_argument("--at", default="", metavar="TIME", help="2026-11-21T10:00 in the zone; default now")
    parser.add_argument("--load", type=float, metavar="LOAD", help="0 idle to 1 full; default what it is")
    parser.add_argument("--ip", default="", metavar="ADDRESS", help="the caller's address")
