"""Whose jobs are taken next: by priority, and within one by turns among tenants.

A *lane* is priority and tenant in one text, in the order in which it is served.
"""

from collections.abc import Mapping, Sequence

import msgspec

from holdfast.rooms.jobs.rules.problems import BadEnqueue

HIGHEST = 100
LOWEST = -100


def lane_of(priority: int, tenant: str) -> str:
    """The lane of a job: three digits that sort the highest priority first, then the tenant.

    >>> lane_of(100, "acme"), lane_of(0, ""), lane_of(-100, "acme")
    ('000acme', '100', '200acme')
    """
    if not LOWEST <= priority <= HIGHEST:
        raise BadEnqueue(f"priority {priority}", hint=f"give {LOWEST} to {HIGHEST}; a higher one goes first")
    return f"{HIGHEST - priority:03d}{tenant}"


def priority_of(lane: str) -> int:
    """The priority that `lane_of` put in."""
    return HIGHEST - int(lane[:3])


def tenant_of(lane: str) -> str:
    """The tenant that `lane_of` put in."""
    return lane[3:]


class Shares(msgspec.Struct, frozen=True):
    """Who gets how many slots, and whose turn was last in each priority."""

    given: dict[str, int]
    """Slots by lane, in the order of service; lanes that get none are left out."""
    last: dict[str, str]
    """For the next call."""


def share(
    slots: int,
    lanes: Sequence[str],
    last: Mapping[str, str] | None = None,
    waiting: Mapping[str, int] | None = None,
) -> Shares:
    """Share free slots among lanes that have work.

    Lanes of a higher priority are served in full before any of a lower one. Within a priority slots go round
    by tenant, beginning behind the one that was served last, as `last` of the call before says: with fewer
    slots than tenants everyone has a turn. `waiting` says how many jobs a lane has, where that is known; a
    lane gets no more, and the rest goes on to others.
    """
    given: dict[str, int] = {}
    turns = dict(last or {})
    left = slots
    for level in _levels(lanes):
        order = _behind(level, turns.get(level[0][:3], ""))
        want = {lane: (waiting or {}).get(lane, slots) for lane in order}
        while left > 0 and order:
            for lane in order[:left]:
                given[lane] = given.get(lane, 0) + 1
                turns[lane[:3]] = lane
            left -= min(left, len(order))
            order = [lane for lane in order if given[lane] < want[lane]] if left else []
    return Shares(given, turns)


def _levels(lanes: Sequence[str]) -> list[list[str]]:
    levels: dict[str, list[str]] = {}
    for lane in sorted(set(lanes)):
        levels.setdefault(lane[:3], []).append(lane)
    return list(levels.values())


def _behind(level: list[str], last: str) -> list[str]:
    at = next((at for at, lane in enumerate(level) if lane > last), 0)
    return level[at:] + level[:at]
