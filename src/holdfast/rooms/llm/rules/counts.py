"""One count of one limit: what is used up, what is reserved, and whether more fits.

The same decisions whichever store keeps the numbers; the Redis script in `store/budget_scripts.py` says
them once more in Lua, and one suite holds all of them to it.
"""

import msgspec

from holdfast.rooms.llm.rules.limits import ROLLING, ROLLING_S, Limit

EPSILON = 1e-6
"""What rounding may add to a level that drains."""


class Count:
    """What is used and held of one limit. `mark`: when its period began; of a rolling one, when last seen."""

    __slots__ = ("held", "mark", "used")

    def __init__(self, mark: float = 0, used: float = 0, held: int = 0) -> None:
        self.mark = mark
        self.used = used
        """Settled; of a rolling limit everything that has not drained yet, reserved or settled."""
        self.held = held
        """Reserved and not settled yet; a rolling limit has none."""


def turn(count: Count, limit: Limit, mark: float) -> None:
    """Bring the count up to `mark`: a new period begins at nothing, a rolling one has drained."""
    if mark <= count.mark:
        return
    if limit.period == ROLLING:
        count.used = max(0.0, count.used - (mark - count.mark) * limit.amount / ROLLING_S)
    else:
        count.used = count.held = 0
    count.mark = mark


def fits(count: Count, limit: Limit, amount: int) -> bool:
    """Whether `amount` more is within the limit."""
    return count.used + count.held + amount <= limit.amount + EPSILON


def settle(count: Count, limit: Limit, mark: float, reserved: int, actual: int) -> None:
    """Use `actual` instead of what was reserved at `mark`; a period that is over is not charged any more."""
    if limit.period == ROLLING:
        count.used = max(0.0, count.used + actual - reserved)
    elif count.mark == mark:
        count.held = max(0, count.held - reserved)
        count.used += actual


class Refusal(msgspec.Struct, frozen=True):
    """Which limit does not allow it, and when to come back."""

    limit: Limit
    left: int
    """What the limit still allowed."""
    asked: int
    retry_after_s: float | None
    """None: this much is never allowed at once."""
    is_held: bool = False
    """Whether only calls under way stand in the way, whose estimate may turn out too high."""


HELD_RETRY_S = 1.0
"""When to come back where calls under way hold the rest: they end at any time."""


def refusal(limit: Limit, used: float, held: float, asked: int, ends_in_s: float) -> Refusal:
    """The refusal of `asked`; `ends_in_s`: until the calendar period is over."""
    left = max(0, int(limit.amount - used - held + EPSILON))
    if asked > limit.amount:
        return Refusal(limit, left, asked, None)
    if limit.period == ROLLING:
        drained_in_s = (used + asked - limit.amount) * ROLLING_S / limit.amount
        return Refusal(limit, left, asked, max(0.001, drained_in_s))
    if used + asked <= limit.amount:
        return Refusal(limit, left, asked, min(HELD_RETRY_S, max(0.001, ends_in_s)), is_held=True)
    return Refusal(limit, left, asked, max(0.001, ends_in_s))


def worst(refusals: list[Refusal]) -> Refusal:
    """The one to tell: whoever comes back before its time is refused again."""
    return max(refusals, key=lambda each: float("inf") if each.retry_after_s is None else each.retry_after_s)
