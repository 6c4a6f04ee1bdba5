"""What money and keys refuse, and what to do about each."""

from typing import Any

from holdfast.kernel.errors import NotFound, Problem, Unauthorized
from holdfast.rooms.llm.rules.counts import Refusal
from holdfast.rooms.llm.rules.limits import COST, PERIODS, UNITS
from holdfast.rooms.llm.rules.prices import dollars


class BudgetExceeded(Problem):
    """The budget is used up."""

    code = "budget-exceeded"
    status = 429
    retryable = True


class UnknownKey(Unauthorized):
    """The API key is not known."""

    code = "unknown-key"


class KeyExpired(Unauthorized):
    """The API key has expired."""

    code = "key-expired"


class KeyDisabled(Unauthorized):
    """The API key has been revoked."""

    code = "key-disabled"


class ModelNotAllowed(Problem):
    """The API key may not use this model."""

    code = "model-not-allowed"
    status = 403


class NoSuchKey(NotFound):
    """There is no virtual key of this id."""

    code = "no-such-key"


def exceeded(refusal: Refusal) -> BudgetExceeded:
    """The 429 that names the budget and says when it has room again."""
    limit = refusal.limit
    members: dict[str, Any] = {
        "budget": limit.name,
        "scope": limit.scope,
        "unit": UNITS[limit.unit],
        "period": PERIODS[limit.period],
        "limit": _shown(limit.unit, limit.amount),
        "left": _shown(limit.unit, refusal.left),
        "asked": _shown(limit.unit, refusal.asked),
    }
    left, asked = _words(limit.unit, refusal.left), _words(limit.unit, refusal.asked)
    said = f"{limit.name}: {left} left, {asked} asked for"
    if refusal.retry_after_s is None:
        return BudgetExceeded(
            f"{said}; the limit is {_words(limit.unit, limit.amount)}",
            hint="ask for less in one call (a shorter prompt, a smaller max_tokens), or raise the budget",
            retryable=False,
            **members,
        )
    seconds = max(1, -int(-refusal.retry_after_s // 1))
    hint = f"it has room again in {seconds} s"
    if refusal.is_held:
        hint = f"calls under way hold the rest; come back in {seconds} s"
    return BudgetExceeded(said, hint=hint, retry_after_s=refusal.retry_after_s, **members)


def _shown(unit: int, amount: int) -> float:
    return dollars(amount) if unit == COST else amount


def _words(unit: int, amount: int) -> str:
    return f"${dollars(amount):.6g}" if unit == COST else f"{amount:,} {UNITS[unit]}"
