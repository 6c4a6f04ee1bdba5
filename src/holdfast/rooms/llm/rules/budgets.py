"""Declared budgets: `[[llm.budgets]]`, and which limits they mean for a payer."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.rules.limits import (
    COST,
    MOST,
    PERIODS,
    REQUESTS,
    TOKENS,
    Limit,
    limit_of,
)
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.rules.prices import nanos_of

EACH = "*"
_REMEMBERED = 16_384

Whole = Annotated[int, Meta(ge=0)]
Dollars = Annotated[float, Meta(ge=0)]
Period = Literal["minute", "hour", "day", "month", "rolling-minute"]


class BudgetSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One budget, `[[llm.budgets]]`: at least one of tokens, cost and requests."""

    scope: Annotated[
        Literal["everything", "tenant", "user", "key", "model"],
        Meta(description="whose calls are counted together"),
    ]
    period: Annotated[
        Period, Meta(description="minute, hour, day, month of the team's time zone; or rolling-minute")
    ]
    id: Annotated[str, Meta(description='one of them; "*": each, unless it has a budget of its own')] = EACH
    tokens: Annotated[Whole | None, Meta(description="input and output tokens")] = None
    cost: Annotated[Dollars | None, Meta(description="dollars")] = None
    requests: Annotated[Whole | None, Meta(description="calls")] = None

    def amounts(self) -> list[tuple[int, int]]:
        """(unit, amount) of each limit it sets."""
        found = [(TOKENS, self.tokens), (REQUESTS, self.requests)]
        found.append((COST, None if self.cost is None else nanos_of(self.cost)))
        return [(unit, amount) for unit, amount in found if amount is not None]


class Declared:
    """All declared budgets. `limits(payer)` is a look-up once a payer is known."""

    def __init__(self, settings: Sequence[BudgetSetting] = ()) -> None:
        """Raises Misconfigured for a budget that limits nothing, twice the same, or beyond counting."""
        self._each: dict[tuple[str, int, int], int] = {}
        self._one: dict[tuple[str, str], dict[tuple[int, int], int]] = {}
        for setting in settings:
            _check(setting)
            for unit, amount in setting.amounts():
                self._add(setting, unit, amount)
        self._known: dict[tuple[str, str, str, str], tuple[Limit, ...]] = {}

    def limits(self, payer: Payer) -> tuple[Limit, ...]:
        """Every limit that applies to the payer, each count once; the key's own included."""
        if self._each or self._one:
            who = (payer.tenant, payer.user, payer.key, payer.model)
            found = self._known.get(who)
            if found is None:
                if len(self._known) >= _REMEMBERED:  # users are many: remembering is bounded
                    self._known.clear()
                found = self._known[who] = tuple(self._find(payer))
            return _both(found, payer.own) if payer.own else found
        return payer.own

    def _add(self, setting: BudgetSetting, unit: int, amount: int) -> None:
        period = PERIODS.index(setting.period)
        where = f"llm.budgets: {setting.scope} {setting.id!r} per {setting.period}"
        if amount > MOST:
            raise Misconfigured(
                f"{where} is beyond what is counted exactly", hint="at most a million dollars"
            )
        if setting.scope != "everything" and setting.id == EACH:
            place, table = (setting.scope, period, unit), self._each
            known = place in table
            table[place] = amount
        else:
            id = "" if setting.scope == "everything" else setting.id
            one = self._one.setdefault((setting.scope, id), {})
            known = (period, unit) in one
            one[period, unit] = amount
        if known:
            raise Misconfigured(f"{where} is declared twice", hint="keep one of them")

    def _find(self, payer: Payer) -> Iterable[Limit]:
        ids = {
            "everything": "",
            "tenant": payer.tenant,
            "user": payer.user,
            "key": payer.key,
            "model": payer.model,
        }
        for scope, id in ids.items():
            if scope == "key" and not id:
                continue  # a call without a key is on nobody's key
            own = self._one.get((scope, id), {})
            each = {
                (period, unit): amount for (of, period, unit), amount in self._each.items() if of == scope
            }
            for (period, unit), amount in {**each, **own}.items():
                yield limit_of(scope, id, period, unit, amount)


def _both(declared: tuple[Limit, ...], own: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """A count that both limit has the lower limit."""
    found = {limit.key: limit for limit in declared}
    for limit in own:
        other = found.get(limit.key)
        if other is None or limit.amount < other.amount:
            found[limit.key] = limit
    return tuple(found.values())


def _check(setting: BudgetSetting) -> None:
    if not setting.amounts():
        raise Misconfigured(
            f"llm.budgets: {setting.scope} {setting.id!r} per {setting.period} limits nothing",
            hint="give it tokens, cost or requests",
        )
    if setting.scope == "everything" and setting.id not in (EACH, ""):
        raise Misconfigured(
            f"llm.budgets: everything has no id {setting.id!r}", hint="leave id out, or name another scope"
        )
