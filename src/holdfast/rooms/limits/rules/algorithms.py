"""The three algorithms: GCRA, the exact sliding window and the sliding-window counter.

Each is three pure functions over a tiny state: `decide` says what a charge comes to, `pay` gives the
state after it, and a state knows when it holds nothing any more. Times are monotonic seconds; a cost
is a whole number of units; refusals are never paid, so they never count.

- **GCRA** (ITU-T I.371; Brandur Leach, "Rate limiting, cells and GCRA"): the state is one number, the
  time at which the whole capacity is back. `quota + burst` at once, refilled at `quota / window_s`.
- **Sliding window**: one stamp a call; at most `quota + burst` units within any `window_s`. Exact.
- **Sliding-window counter** (Cloudflare, "How we built rate limiting"): two counts; takes the calls of
  the window before as evenly spread. Takes up to two windows to drain.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.rooms.limits.rules.charge import GCRA, SLIDING_COUNTER, SLIDING_WINDOW, Limit, Verdict

TOLERANCE_S = 1e-7
"""What rounding may add to a sum of times before it counts: stamps are meant to the microsecond."""
_TOLERANCE = 1e-9
"""The same in units, where counts are weighted."""


class Log:
    """The calls of one identity within the window: `(stamp, cost)`, oldest first."""

    __slots__ = ("calls", "used", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.calls: deque[tuple[float, int]] = deque()
        self.used = 0

    def is_spent(self, now: float) -> bool:
        """Whether it holds nothing that still counts."""
        return not self.calls or self.calls[-1][0] + self.window_s <= now


class Counter:
    """How many calls in the window numbered `index`, and in the one before."""

    __slots__ = ("current", "index", "previous", "window_s")

    def __init__(self, window_s: float, index: int) -> None:
        self.window_s = window_s
        self.index = index
        self.current = 0
        self.previous = 0

    def is_spent(self, now: float) -> bool:
        """Whether both windows have passed or hold nothing."""
        return not (self.current or self.previous) or (self.index + 2) * self.window_s <= now


State = float | Log | Counter
"""What the table holds of one identity; a float is GCRA's."""


def is_spent(state: State, now: float) -> bool:
    """Whether forgetting the state changes no decision."""
    return state <= now if isinstance(state, float) else state.is_spent(now)


# -- GCRA ----------------------------------------------------------------------------------------


def gcra_decide(limit: Limit, state: float | None, now: float, cost: int) -> Verdict:
    """`state` is the time at which the capacity is whole again; None or the past is an untouched limit."""
    interval_s = limit.window_s / limit.quota
    whole_s = interval_s * limit.capacity
    debt_s = 0.0 if state is None or state < now else state - now
    asked_s = debt_s + interval_s * cost
    if asked_s <= whole_s + TOLERANCE_S:
        left = int((whole_s - asked_s + TOLERANCE_S) / interval_s)
        return Verdict(True, left, asked_s)
    left = max(0, int((whole_s - debt_s + TOLERANCE_S) / interval_s))
    wait_s = math.inf if cost > limit.capacity else asked_s - whole_s
    return Verdict(False, left, debt_s, wait_s)


def gcra_pay(limit: Limit, state: float | None, now: float, cost: int) -> float:
    """The state after `cost` units; a cost below zero gives back, down to an untouched limit."""
    start = now if state is None or state < now else state
    return max(now, start + cost * limit.window_s / limit.quota)


# -- the exact sliding window --------------------------------------------------------------------


def window_decide(limit: Limit, state: Log | None, now: float, cost: int) -> Verdict:
    """Counts what came within `(now - window_s, now]`."""
    capacity = limit.capacity
    if state is None:
        used, newest = 0, now
    else:
        _forget(state, now)
        used, newest = state.used, state.calls[-1][0] if state.calls else now
    if used + cost <= capacity:
        reset_s = limit.window_s if cost else max(0.0, newest + limit.window_s - now) if used else 0.0
        return Verdict(True, capacity - used - cost, reset_s)
    wait_s = math.inf
    if cost <= capacity and state is not None:
        excess = used + cost - capacity
        for at, units in state.calls:
            excess -= units
            if excess <= 0:
                wait_s = at + limit.window_s - now
                break
    return Verdict(False, max(0, capacity - used), newest + limit.window_s - now, wait_s)


def window_pay(limit: Limit, state: Log | None, now: float, cost: int) -> Log:
    """The state after `cost` units; a cost below zero takes the newest back first."""
    if state is None:
        state = Log(limit.window_s)
    else:
        _forget(state, now)
    if cost > 0:
        state.calls.append((now, cost))
        state.used += cost
    while cost < 0 and state.calls:
        at, units = state.calls.pop()
        given = min(units, -cost)
        cost += given
        state.used -= given
        if given < units:
            state.calls.append((at, units - given))
    return state


def _forget(state: Log, now: float) -> None:
    calls, edge = state.calls, now - state.window_s + TOLERANCE_S
    while calls and calls[0][0] <= edge:
        state.used -= calls.popleft()[1]


# -- the sliding-window counter ------------------------------------------------------------------


def counter_decide(limit: Limit, state: Counter | None, now: float, cost: int) -> Verdict:
    """Counts this window's calls, and of the window before the share that the sliding one still covers."""
    window_s, capacity = limit.window_s, limit.capacity
    index, elapsed_s = _position(now, window_s)
    previous, current = _rolled(state, index)
    estimate = previous * (1 - elapsed_s / window_s) + current
    if estimate + cost <= capacity + _TOLERANCE:
        left = int(capacity - estimate - cost + _TOLERANCE)
        return Verdict(True, left, _drained_s(previous, current + cost, window_s, elapsed_s))
    room = capacity - cost
    if room < 0:
        wait_s = math.inf
    elif current <= room:
        wait_s = window_s * (1 - (room - current) / previous) - elapsed_s
    else:
        wait_s = window_s * (2 - room / current) - elapsed_s
    left = max(0, int(capacity - estimate + _TOLERANCE))
    return Verdict(False, left, _drained_s(previous, current, window_s, elapsed_s), wait_s)


def counter_pay(limit: Limit, state: Counter | None, now: float, cost: int) -> Counter:
    """The state after `cost` units; a cost below zero is taken from this window, then from the one before."""
    index, _ = _position(now, limit.window_s)
    if state is None:
        state = Counter(limit.window_s, index)
    state.previous, state.current = _rolled(state, index)
    state.index = index
    state.current += cost
    if state.current < 0:
        state.previous = max(0, state.previous + state.current)
        state.current = 0
    return state


def _position(now: float, window_s: float) -> tuple[int, float]:
    index = math.floor(now / window_s)
    return index, now - index * window_s


def _rolled(state: Counter | None, index: int) -> tuple[int, int]:
    """Calls of the window before and of this one, as of window `index`."""
    if state is None or state.index < index - 1:
        return 0, 0
    if state.index == index - 1:
        return state.current, 0
    return state.previous, state.current


def _drained_s(previous: int, current: int, window_s: float, elapsed_s: float) -> float:
    if current:
        return 2 * window_s - elapsed_s
    return window_s - elapsed_s if previous else 0.0


class Algorithm(msgspec.Struct, frozen=True):
    """One algorithm as the ledger uses it."""

    decide: Callable[[Limit, Any, float, int], Verdict]
    pay: Callable[[Limit, Any, float, int], State]


ALGORITHMS = {
    GCRA: Algorithm(gcra_decide, gcra_pay),
    SLIDING_WINDOW: Algorithm(window_decide, window_pay),
    SLIDING_COUNTER: Algorithm(counter_decide, counter_pay),
}
