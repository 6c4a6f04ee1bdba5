"""Which deployment a call goes to, in which order, and what comes after a failure. Pure."""

from collections.abc import Sequence
from math import inf, log

import msgspec

from holdfast.kernel.guard.backoff import Retry, wait_s
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed


class Candidate(msgspec.Struct, frozen=True):
    """One deployment with one key, as far as choosing is concerned."""

    index: int
    """Where it stands among all that the call may go to."""
    model: str
    """The model's name there: what is too long for it is too long wherever it runs."""
    rank: int
    """Which model of the fallback chain it belongs to: 0 is what was asked for."""
    priority: int
    weight: float
    attempts: int
    """How often one call may try it."""


def in_order(candidates: Sequence[Candidate], chances: Sequence[float]) -> list[Candidate]:
    """By rank and priority; within one, a weighted draw without replacement.

    `chances` in [0, 1), one each. (Efraimidis and Spirakis 2006: the largest u^(1/w) comes first.)
    """

    if len(candidates) == 1:
        return list(candidates)

    def place(at: int) -> tuple[int, int, float]:
        chosen = candidates[at]
        return chosen.rank, chosen.priority, -log(max(chances[at], 1e-300)) / chosen.weight

    return [candidates[at] for at in sorted(range(len(candidates)), key=place)]


class Step(msgspec.Struct, frozen=True):
    """What to do next: ask `index` after `wait_s`; or nothing more, where `index` is negative."""

    index: int = -1
    wait_s: float = 0.0
    retry: bool = False
    """Whether it is the same candidate again: that is paid for by the budget of retries."""


NOTHING = Step()


class Standing(msgspec.Struct):
    """One candidate during one call."""

    candidate: Candidate
    held_s: float = 0.0
    """Seconds until its breaker lets a call in; inf while others are to be asked instead."""
    tried: int = 0
    last: ProviderFailed | None = None
    """What its last attempt ended with."""

    @property
    def is_out(self) -> bool:
        """Whether this call is done with it for good."""
        if self.last is None:
            return False
        return not self.last.policy.again or self.tried >= self.candidate.attempts


def first_step(standings: Sequence[Standing], left_s: float) -> Step:
    """Where a call begins: the first that is ready, else the one that is held back the shortest."""
    for standing in standings:
        if standing.held_s <= 0:
            return Step(standing.candidate.index)
    soonest = min(standings, key=lambda each: each.held_s, default=None)
    if soonest is None or soonest.held_s >= left_s:
        return NOTHING
    return Step(soonest.candidate.index, soonest.held_s)


def next_step(
    standings: Sequence[Standing], failed: ProviderFailed, retry: Retry, chance: float, left_s: float
) -> Step:
    """What follows a failure, within the `left_s` seconds that remain.

    Another candidate at once, as long as there is one that has not been tried; then the soonest of those that
    may be tried again: after their backoff, never before the Retry-After, or when the breaker lets one in.
    """
    if not failed.policy.elsewhere:
        return NOTHING
    too_long = {each.candidate.model for each in standings if _is_too_long(each.last)}
    open_to_us = [each for each in standings if not each.is_out and each.candidate.model not in too_long]
    for standing in open_to_us:
        if not standing.tried and standing.held_s <= 0:
            return Step(standing.candidate.index)
    best, best_s = None, inf
    for standing in open_to_us:
        asked_s = standing.last.retry_after_s if standing.last is not None else None
        if asked_s is not None and asked_s > retry.longest_hint_s:
            continue
        pause_s = wait_s(retry, standing.tried, chance, asked_s) if standing.tried else 0.0
        pause_s = max(pause_s, standing.held_s)
        if pause_s < best_s:
            best, best_s = standing, pause_s
    if best is None or best_s >= left_s:
        return NOTHING
    return Step(best.candidate.index, best_s, retry=best.tried > 0)


def _is_too_long(failed: ProviderFailed | None) -> bool:
    return failed is not None and failed.kind in (Kind.CONTEXT_LENGTH, Kind.TOO_LARGE)


def soonest_hint(standings: Sequence[Standing]) -> float | None:
    """When it is worth coming back: the least of what was asked for and of what is held back."""
    hints = [each.held_s for each in standings if 0 < each.held_s < inf]
    hints += [
        each.last.retry_after_s for each in standings if each.last and each.last.retry_after_s is not None
    ]
    return min(hints, default=None)
