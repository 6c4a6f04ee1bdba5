"""From an address to the limits that hold there, found once and remembered."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from holdfast.rooms.limits.engine.terms import Book, Line
from holdfast.rooms.limits.rules.policy import Policy, name_of
from holdfast.rooms.limits.rules.routes import ANY, RouteRule, Table, first_for

T = TypeVar("T")

REMEMBERED = 4096
"""Paths whose plan is kept. When more come (ids in paths, somebody who invents them), all begin anew."""
LONGEST = 256
"""Characters of a path that is kept."""


class Plan:
    """What holds for one kind of request."""

    __slots__ = ("exempt", "first", "lines", "route", "rules", "single", "work")

    def __init__(
        self,
        lines: Sequence[Line] = (),
        *,
        route: str = "",
        work: str = "",
        exempt: bool = False,
        rules: Sequence[RouteRule] | None = None,
    ) -> None:
        self.lines = tuple(lines)
        self.first = self.lines[0] if self.lines else None
        """The most particular: its priority is the request's."""
        self.single = self.first if len(self.lines) == 1 and self.lines[0].is_gcra else None
        """The only limit, where it is GCRA: then the decision takes the short way."""
        self.route = route
        self.work = work or "request"
        self.exempt = exempt
        self.rules = rules
        """The rules among which the method decides; None where it does not matter."""


EXEMPT = Plan(exempt=True)


class Plans:
    """Finds the plan of a request. `known` maps paths to plans: look there first."""

    def __init__(
        self,
        table: Table,
        policies: Mapping[str, Policy],
        everywhere: str,
        book: Book,
        *,
        limited: bool = True,
    ) -> None:
        self.known: dict[str, Plan] = {}
        self._table = table
        self._policies = policies
        self._everywhere = everywhere if limited else ""
        self._limited = limited
        self._book = book
        self._lines: dict[tuple[Any, ...], Line] = {}
        self._by_rule: dict[RouteRule | None, Plan] = {}
        self.lines_of_action: dict[str, list[Line]] = {name: self.lines_of(name) for name in policies}

    def find(self, path: str) -> Plan:
        """The plan at `path`, worked out and remembered."""
        rules = self._table.at(path)
        if self._table.is_exempt(path):
            plan = EXEMPT
        elif all(rule.method == ANY for rule in rules):
            plan = self._of_rule(rules[0] if rules else None)
        else:
            plan = Plan(rules=rules)
        remember(self.known, path, plan)
        return plan

    def of_method(self, plan: Plan, method: str) -> Plan:
        """The plan among `plan.rules` for this method."""
        return self._of_rule(first_for(plan.rules or (), method))

    def lines_of(
        self, action: str, *, by: Sequence[str] = (), cost: int = 1, priority: int | None = None
    ) -> list[Line]:
        """The action's lines, one for each name it is counted by."""
        policy = self._policies[action]
        found = []
        for position, each in enumerate(by or policy.by):
            name = name_of(action, each, position == 0)
            key = (name, each, cost, priority)
            if key not in self._lines:
                self._lines[key] = self._book.add(
                    Line(policy, name=name, by=each, cost=cost, priority=priority)
                )
            found.append(self._lines[key])
        return found

    def _of_rule(self, rule: RouteRule | None) -> Plan:
        plan = self._by_rule.get(rule)
        if plan is None:
            plan = self._by_rule[rule] = self._made(rule)
        return plan

    def _made(self, rule: RouteRule | None) -> Plan:
        lines: list[Line] = []
        actions = rule.actions if rule is not None and self._limited else ()
        if rule is not None:
            for action in actions:
                lines += self.lines_of(action, by=rule.by, cost=rule.cost, priority=rule.priority)
        if self._everywhere and self._everywhere not in actions:
            lines += self.lines_of(self._everywhere)
        return Plan(
            lines,
            route=rule.path if rule is not None else "",
            work=actions[0] if actions else self._everywhere,
        )


def remember(kept: dict[str, T], path: str, value: T) -> None:
    """Keep the value for a path of ordinary length, within a bounded number of them."""
    if len(path) <= LONGEST:
        if len(kept) >= REMEMBERED:
            kept.clear()
        kept[path] = value
