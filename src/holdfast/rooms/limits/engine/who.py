"""Who is counted, from what the edge found out about the caller."""

import hashlib
from collections.abc import Mapping
from typing import Any

from holdfast.kernel.context import Ctx
from holdfast.rooms.limits.rules.charge import bounded
from holdfast.rooms.limits.rules.keys import by_address


def who(by: str, scope: Mapping[str, Any], ctx: Ctx, route: str) -> str:
    """The identity by `by`: `user`, `key`, `tenant`, `ip`, `route`, or several joined by `+`.

    A caller without such a name is counted by address. `ctx.client_ip` is the edge's finding: a
    forwarded address is believed from trusted proxies only.
    """
    if "+" in by:
        return bounded("+".join(_one(each, scope, ctx, route) for each in by.split("+")))
    return _one(by, scope, ctx, route)


def _one(by: str, scope: Mapping[str, Any], ctx: Ctx, route: str) -> str:
    if by == "user":
        user = ctx.event.user_id
        return f"user:{user}" if user else by_address(ctx.client_ip)
    if by == "route":
        return bounded(f"route:{route or scope.get('path', '')}")
    if by == "key":
        return _key(scope) or _one("user", scope, ctx, route)
    if by == "tenant":
        tenant = getattr(scope.get("holdfast.identity"), "tenant", "")
        return bounded(f"tenant:{tenant}") if tenant else _one("user", scope, ctx, route)
    return by_address(ctx.client_ip)


def _key(scope: Mapping[str, Any]) -> str:
    """A digest of the API key that was found good; a key nobody knows would be a new name each time."""
    if getattr(scope.get("holdfast.identity"), "source", "") != "api_key":
        return ""
    given = scope.get("holdfast.credentials") or {}
    values = given.get(b"x-api-key") or [
        value.partition(b" ")[2].strip() for value in given.get(b"authorization", ())
    ]
    return "key:" + hashlib.sha256(values[-1]).hexdigest()[:24] if values else ""
