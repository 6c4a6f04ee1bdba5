"""The settings of money within `[llm]`; the room's Config inherits them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.rooms.llm.rules.budgets import BudgetSetting
from holdfast.rooms.llm.rules.prices import PriceSetting


class MoneySettings(msgspec.Struct, frozen=True):
    """Prices, budgets and what is kept of them."""

    prices: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=200)], PriceSetting],
        Meta(description='dollars per million tokens, before the built-in table: [llm.prices."<model>"]'),
    ] = {}
    budgets: Annotated[
        list[BudgetSetting], Meta(description="limits on tokens, cost and requests: [[llm.budgets]]")
    ] = []
    budget_store: Annotated[
        Literal["auto", "memory", "shared", "database"],
        Meta(description="where budgets are counted; auto: the shared store, else PostgreSQL, else memory"),
    ] = "auto"
    reservation_s: Annotated[
        float, Meta(gt=0, description="after which the reservation of a call that vanished is given back")
    ] = 600.0
    time_zone: Annotated[str, Meta(description="whose midnight begins a day of budgets and reports")] = "UTC"
    ledger_days: Annotated[
        int, Meta(ge=1, le=3650, description="days that single rows are kept; daily sums stay")
    ] = 90
    ledger_waiting_bytes: Annotated[
        int, Meta(ge=65_536, description="memory for rows while the database is away")
    ] = 16 * 1024 * 1024
