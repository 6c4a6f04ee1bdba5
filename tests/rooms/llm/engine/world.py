"""A client over scripted providers, with a cache in a dictionary and a ledger in a list."""

import random
from collections.abc import Sequence
from datetime import UTC
from itertools import count
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock, ManualClock
from holdfast.kernel.ids import IdSource
from holdfast.ports.cache import NoCache
from holdfast.ports.services import NoEventLog, NoMeter
from holdfast.rooms.llm.engine.accounts import Accounts
from holdfast.rooms.llm.engine.answers import Answers
from holdfast.rooms.llm.engine.budgets import Budgets
from holdfast.rooms.llm.engine.client import LlmClient
from holdfast.rooms.llm.engine.degraded import Degraded
from holdfast.rooms.llm.engine.figures import Figures
from holdfast.rooms.llm.engine.memory_counts import MemoryCounts
from holdfast.rooms.llm.providers.extractive import Extractive
from holdfast.rooms.llm.rules.asking import Request
from holdfast.rooms.llm.rules.budgets import BudgetSetting, Declared
from holdfast.rooms.llm.rules.payer import Payer
from holdfast.rooms.llm.rules.prices import Prices, PriceSetting
from holdfast.rooms.llm.rules.settings import Config, Deployment
from tests.rooms.llm.engine.scripted import Scripted, paths

NOON = 1_750_075_200.0


class DictCache(NoCache):
    """A Cache that forgets nothing."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def get(self, key, *, kind="default", otherwise=None):
        return self.kept.get(key, otherwise)

    async def set(self, key, value, *, kind="default", ttl_s=None, tags=()):
        self.kept[key] = value


class Rows(list):
    """What the ledger was told."""

    def __init__(self):
        super().__init__()
        self.free = []
        """Who was given an answer that was kept."""

    def write(self, entry):
        self.append(entry)

    def served(self, payer, provider):
        self.free.append((payer.user, provider))

    def outcomes(self):
        return [row.outcome for row in self]


class World:
    """One client and everything about it that a test looks at."""

    def __init__(
        self,
        config: Config | None = None,
        budgets: Sequence[BudgetSetting] = (),
        clock: Clock | None = None,
        **providers: Scripted,
    ) -> None:
        config = config or Config(first_wait_s=0.0)
        if not config.deployments:
            made = {
                name: Deployment(base_url="x", model="scripted", serves=("m",), priority=at)
                for at, name in enumerate(providers)
            }
            config = msgspec.structs.replace(config, deployments=made)
        self.clock = clock or ManualClock(wall_s=NOON)
        self.paths, self.providers = paths(config, self.clock, **providers)
        self.rows, self.cache = Rows(), DictCache()
        self.counts = MemoryCounts(self.clock, UTC)
        numbers = count(1)
        self.accounts = Accounts(
            Budgets(Declared(budgets), self.counts, NoMeter()),
            self.rows,
            Prices({"scripted": PriceSetting(input_per_million=1.0, output_per_million=2.0)}),
            Figures(NoMeter()),
            NoEventLog(),
            clock=self.clock,
            new_id=lambda: f"row-{next(numbers)}",
        )
        self.client = LlmClient(
            config,
            self.paths,
            answers=Answers(self.cache, config.cache, self.clock),
            accounts=self.accounts,
            meaning=None,
            degraded=Degraded(Extractive(self.clock), self.clock, IdSource()),
            clock=self.clock,
            rng=random.Random(7),
        )


def request(prompt: str = "안녕", **more: Any) -> Request:
    """At temperature 0: its answer may be kept."""
    body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, **more.pop("body", {})}
    return Request(**{"body": body, "model": "m", "payer": Payer(user="지민", model="m"), **more})


async def told(streamed) -> list[dict[str, Any]]:
    """Every chunk of a stream."""
    try:
        return [chunk async for chunk in streamed]
    finally:
        await streamed.aclose()


def words(chunks) -> str:
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices") or ()
    )
