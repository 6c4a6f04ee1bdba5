"""What code of the service takes into its hands: a charge, a decorator, a dependency."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from holdfast.kernel.context import Ctx, current_ctx
from holdfast.rooms.limits.engine.admission import LimitsAdmission
from holdfast.rooms.limits.engine.ledger import Ledger
from holdfast.rooms.limits.engine.terms import Line
from holdfast.rooms.limits.engine.who import who
from holdfast.rooms.limits.rules.charge import Charge, Verdict, bounded
from holdfast.rooms.limits.rules.policy import KINDS, unknown_kind
from holdfast.rooms.limits.rules.problems import NobodyToCount, unknown_action

P = ParamSpec("P")
T = TypeVar("T")


class Taken:
    """What was charged. Work whose cost shows afterwards settles it; work that did not happen refunds."""

    __slots__ = ("_charges", "_ledger", "cost", "remaining", "reset_s")

    def __init__(self, ledger: Ledger, charges: Sequence[Charge], cost: int, verdict: Verdict | None) -> None:
        self._ledger = ledger
        self._charges = tuple(charges)
        self.cost = cost
        """Units charged so far."""
        self.remaining = verdict.remaining if verdict is not None else 0
        self.reset_s = verdict.reset_s if verdict is not None else 0.0

    def settle(self, used: int) -> None:
        """The work took `used` units in the end: the rest goes back, what is more is debited unasked."""
        _checked(used)
        if used != self.cost:
            difference = self.cost - used
            self._ledger.refund([Charge(each.limit, each.identity, difference) for each in self._charges])
            self.cost = used

    def refund(self) -> None:
        """The work did not happen: everything goes back."""
        self.settle(0)


class Limits:
    """`hold.limits`: charge an action from anywhere in the service. On the event loop only."""

    def __init__(self, admission: LimitsAdmission, actions: Sequence[str], *, enabled: bool = True) -> None:
        self._admission = admission
        self._actions = list(actions)
        self._enabled = enabled

    async def take(
        self,
        action: str,
        *,
        cost: int = 1,
        by: str | Sequence[str] | Callable[[Ctx | None], str] = (),
        identity: str = "",
        tier: str | None = None,
    ) -> Taken:
        """Charge `cost` units of `action`; raises TooManyRequests (429) when the limit is used up.

        Counted is `identity` where one is given (`user:7`; needed outside a request), else what `by`
        says: `user`, `key`, `tenant`, `ip`, `route`, a function of the request's Ctx that returns an
        identity, or, unless given, what the policy says. `tier` is the caller's unless given.
        """
        self._known(action)
        cost = _checked(cost)
        admission, ctx = self._admission, current_ctx()
        if not self._enabled or cost == 0:
            return Taken(admission.ledger, (), cost, None)
        if callable(by):
            identity, by = identity or by(ctx), ()
        lines = admission.plans.lines_of(action, by=_kinds(by))
        if identity:
            lines, names = lines[:1], [bounded(identity)]
        else:
            names = _names(lines, ctx)
        asked = tier if tier is not None else ctx.event.tier if ctx is not None else ""
        terms = [admission.terms_of(line, asked) for line in lines]
        charges = [Charge(each.limit, name, cost) for each, name in zip(terms, names, strict=True)]
        found = admission.ledger.charge(charges)
        verdict = found if isinstance(found, Verdict) else await found
        problem = admission.settle(ctx, lines, terms, verdict)
        if problem is not None:
            raise problem
        return Taken(admission.ledger, charges, cost, verdict)

    def limit(
        self,
        action: str,
        *,
        cost: int | Callable[..., int] = 1,
        by: str | Sequence[str] | Callable[..., str] = (),
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
        """Decorator of an `async def`: charged before it runs.

        `cost` and `by` may be functions of its arguments; such a `by` returns the identity (`order:7`),
        in and outside of requests.
        """
        self._known(action)
        if not callable(by):
            by = _kinds(by)

        def around(handler: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
            if not inspect.iscoroutinefunction(handler):
                name = getattr(handler, "__name__", repr(handler))
                raise TypeError(
                    f"limit({action!r}) decorates an async def, and {name} is none: use the dependency"
                )

            @functools.wraps(handler)
            async def limited(*args: P.args, **kwargs: P.kwargs) -> T:
                units = cost(*args, **kwargs) if callable(cost) else cost
                if callable(by):
                    await self.take(action, cost=units, identity=by(*args, **kwargs))
                else:
                    await self.take(action, cost=units, by=by)
                return await handler(*args, **kwargs)

            return limited

        return around

    def dependency(
        self,
        action: str,
        *,
        cost: int = 1,
        by: str | Sequence[str] | Callable[[Ctx | None], str] = (),
    ) -> Callable[[], Awaitable[Taken]]:
        """For `Depends(...)`: a plain callable without parameters, for handlers of any kind."""
        self._known(action)
        _checked(cost)
        if not callable(by):
            by = _kinds(by)

        async def charged() -> Any:
            return await self.take(action, cost=cost, by=by)

        return charged

    def _known(self, action: str) -> None:
        if action not in self._actions:
            raise unknown_action(action, self._actions)


def _names(lines: Sequence[Line], ctx: Ctx | None) -> list[str]:
    if ctx is None:
        raise NobodyToCount(
            "outside a request nobody is there to be counted",
            hint="give identity='user:7', or what else it is",
        )
    scope = getattr(ctx, "scope", None) or {}
    return [who(line.by, scope, ctx, "") for line in lines]


def _kinds(by: str | Sequence[str]) -> tuple[str, ...]:
    kinds = (by,) if isinstance(by, str) else tuple(by)
    if unknown := unknown_kind(kinds):
        raise ValueError(f"cannot count by {unknown!r}: use {', '.join(sorted(KINDS))} or a function")
    return kinds


def _checked(cost: int) -> int:
    if isinstance(cost, bool) or not isinstance(cost, int) or cost < 0:
        raise ValueError(f"a cost of {cost!r}: it is a whole number of units, 0 or more")
    return cost
