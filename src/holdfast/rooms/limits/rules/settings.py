"""The `[limits]` section, and the policies and routes that come of it."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.rooms.limits.rules.concurrency import Config as Shedding
from holdfast.rooms.limits.rules.factors import BANDS, Band
from holdfast.rooms.limits.rules.leasing import Sharing
from holdfast.rooms.limits.rules.policy import (
    NORMAL,
    POLICIES,
    TIERS,
    Policy,
    faults,
    parse_rate,
    unknown_kind,
)
from holdfast.rooms.limits.rules.routes import EXEMPT, OWN_ROUTES, RouteRule

_Algorithm = Literal["gcra", "sliding_window", "sliding_counter"]
_Names = str | list[str]


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One action's settings; what is left out stays as in the table."""

    limit: Annotated[str, Meta(description="'10/minute', '5 per 10 minutes', '100/60 + 20'")] = ""
    burst: Annotated[int | None, Meta(description="what may come on top at once")] = None
    by: _Names = ""
    priority: int | None = None
    algorithm: _Algorithm | None = None
    unit: Annotated[str, Meta(pattern="^[a-z-]*$")] = ""


class Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}):
    """A band of the local day: `from` 9 `to` 18 is 09:00 up to, not including, 18:00."""

    since: Annotated[int, Meta(ge=0, le=24)]
    until: Annotated[int, Meta(ge=0, le=24)]
    factor: Annotated[float, Meta(gt=0, le=1000)]


class RouteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table of routes; lines are tried in order, then our own addresses."""

    path: Annotated[str, Meta(pattern="^[/*]")]
    action: _Names = ""
    method: str = "*"
    cost: Annotated[int, Meta(ge=1)] = 1
    by: _Names = ""
    priority: Annotated[int, Meta(ge=0, le=3)] | None = None


class Config(msgspec.Struct, frozen=True):
    """Settings of the limits room."""

    enabled: Annotated[bool, Meta(description="limit at all; off: everything is let in, nothing counted")] = (
        True
    )
    timezone: Annotated[
        str, Meta(min_length=1, description="the team's zone for the hours, e.g. Asia/Seoul")
    ] = "UTC"
    algorithm: Annotated[
        _Algorithm, Meta(description="for actions that name none: gcra, sliding_window, sliding_counter")
    ] = "gcra"
    everywhere: Annotated[
        str, Meta(description="the action that every request is, besides its route's; empty: none")
    ] = "api_call"
    actions: Annotated[
        dict[str, Action | str],
        Meta(
            description="by name: a limit ('10/minute + 3') or a table with limit, burst, by, priority, ..."
        ),
    ] = {}
    tiers: Annotated[
        dict[str, Annotated[float, Meta(gt=0)]],
        Meta(description="factor by tier, on top of FREE, PREMIUM and ADMIN"),
    ] = {}
    hours: Annotated[
        list[Hours] | None, Meta(description="factor by local hour; replaces the table's bands")
    ] = None
    by_load: Annotated[bool, Meta(description="lower the limits of what matters less under load")] = True
    routes: Annotated[
        list[RouteSettings], Meta(description="path, method, action, cost, by, priority: the first that fits")
    ] = []
    exempt: Annotated[
        tuple[str, ...], Meta(description="paths that are never limited, with * and {name}")
    ] = tuple(EXEMPT)
    max_entries: Annotated[
        int, Meta(ge=100, description="identities counted in process memory; more share one count")
    ] = 200_000
    near: Annotated[
        float, Meta(ge=0, le=1, description="share of a limit left at which the record mentions it")
    ] = 0.1

    shedding: Annotated[Shedding, Meta(description="how overload is met: concurrency, queue, refusals")] = (
        msgspec.field(default_factory=Shedding)
    )
    sharing: Annotated[Sharing, Meta(description="how several nodes share the counts: leases, outages")] = (
        msgspec.field(default_factory=Sharing)
    )

    def __post_init__(self) -> None:
        """Raises ValueError that names the policy, tier or route that cannot be."""
        known = self.policies()
        for name, factor in self.all_tiers().items():
            if not 0 < factor < float("inf"):
                raise ValueError(f"tiers.{name} = {factor}")
        if self.everywhere and self.everywhere not in known:
            raise ValueError(f"everywhere names {self.everywhere!r}, which no policy limits")
        for route in self.routes:
            where = f"routes: {route.method} {route.path}"
            for action in _names(route.action):
                if action not in known:
                    raise ValueError(f"{where} names {action!r}, which no policy limits")
            if unknown := unknown_kind(_names(route.by)):
                raise ValueError(f"{where} cannot count by {unknown!r}")

    def policies(self) -> dict[str, Policy]:
        """Every action's policy by name: the table, changed and added to by `actions`."""
        found = {
            name: msgspec.structs.replace(policy, algorithm=self.algorithm)
            for name, policy in POLICIES.items()
        }
        for name, given in self.actions.items():
            action = Action(limit=given) if isinstance(given, str) else given
            found[name] = _changed(name, found.get(name), action, self.algorithm)
        return found

    def all_tiers(self) -> Mapping[str, float]:
        """Factor by tier, names in capitals."""
        return {**TIERS, **{name.upper(): factor for name, factor in self.tiers.items()}}

    def bands(self) -> list[Band]:
        """The bands of the local day."""
        if self.hours is None:
            return list(BANDS)
        return [Band(each.since, each.until, each.factor) for each in self.hours]

    def rules(self) -> list[RouteRule]:
        """The table of routes, those of our own addresses last."""
        given = [
            RouteRule(
                each.path,
                _names(each.action),
                each.method.upper(),
                each.cost,
                _names(each.by),
                each.priority,
            )
            for each in self.routes
        ]
        return [*given, *OWN_ROUTES]


def _changed(name: str, was: Policy | None, action: Action, algorithm: str) -> Policy:
    """The policy `was` with what `action` says; a new one needs a limit."""
    quota, window_s, burst = (was.quota, was.window_s, was.burst) if was is not None else (0, 0.0, 0)
    if action.limit:
        try:
            quota, window_s, named = parse_rate(action.limit)
        except ValueError as error:
            raise ValueError(f"action {name}: {error}") from None
        burst = named or 0
    elif was is None:
        raise ValueError(f"action {name}: it needs a limit such as '10/minute'")
    policy = Policy(
        name,
        quota,
        window_s,
        burst if action.burst is None else action.burst,
        _names(action.by) or (was.by if was is not None else ("user",)),
        action.priority if action.priority is not None else was.priority if was is not None else NORMAL,
        action.algorithm or algorithm,
        action.unit or (was.unit if was is not None else ""),
    )
    if said := faults(policy):
        raise ValueError(said)
    return policy


def _names(given: _Names) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,) if given else ()
    return tuple(given)
