"""The admin addresses of money: keys and spend. `http.py` includes `routes(admin)` among the room's own."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.kernel.route import Answer, Call, Route
from holdfast.rooms.llm.engine.ledger import Ledger
from holdfast.rooms.llm.engine.report import Days, Spend, spend_report
from holdfast.rooms.llm.engine.virtual_keys import VirtualKeys
from holdfast.rooms.llm.rules.virtual_keys import NewKey, VirtualKey

NO_STORE = (("cache-control", "no-store"),)


class Keys(msgspec.Struct, frozen=True):
    """Every key, without the keys themselves."""

    keys: list[VirtualKey]


class Created(msgspec.Struct, frozen=True):
    """A new key. `secret` is the key itself, shown this once."""

    key: VirtualKey
    secret: str


class SpendQuery(msgspec.Struct, frozen=True):
    """Which report."""

    by: str = "model"
    days: Days = 30
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class MoneyHttp:
    """Parse, ask, encode."""

    def __init__(self, keys: VirtualKeys, ledger: Ledger) -> None:
        self._keys = keys
        self._ledger = ledger

    async def list_keys(self, call: Call) -> Answer:
        return Answer(Keys(list(await self._keys.all())), headers=NO_STORE)

    async def create_key(self, call: Call) -> Answer:
        key, secret = await self._keys.create(call.body)
        return Answer(Created(key, secret), status=201, headers=NO_STORE)

    async def revoke_key(self, call: Call) -> Answer:
        return Answer(await self._keys.revoke(call.params["id"]), headers=NO_STORE)

    async def spend(self, call: Call) -> Answer:
        query: SpendQuery = call.query
        return Answer(await spend_report(self._ledger, query.by, query.days, query.limit), headers=NO_STORE)


def routes(http: MoneyHttp) -> Sequence[Route]:
    """All ask for the admin token outside development."""
    return (
        Route("GET", "/admin/llm/keys", http.list_keys, "Every virtual key.", answer=Keys, public=False),
        Route(
            "POST",
            "/admin/llm/keys",
            http.create_key,
            "Make a virtual key; the answer shows it this once.",
            body=NewKey,
            answer=Created,
            status=201,
            public=False,
        ),
        Route(
            "DELETE",
            "/admin/llm/keys/{id}",
            http.revoke_key,
            "Revoke a virtual key for good.",
            answer=VirtualKey,
            public=False,
        ),
        Route(
            "GET",
            "/admin/llm/spend",
            http.spend,
            "What was spent in the last days, by model, user, tenant, key or provider.",
            query=SpendQuery,
            answer=Spend,
            public=False,
        ),
    )
