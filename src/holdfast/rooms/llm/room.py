"""Wiring of the llm room."""

import random
from collections.abc import Sequence
from typing import ClassVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import IdSource
from holdfast.kernel.room import Check, Finding, Migration, Room, Verb
from holdfast.kernel.route import Route
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.cache import Cache
from holdfast.ports.guards import Guards
from holdfast.ports.services import EventLog, Meter
from holdfast.ports.shared import Shared
from holdfast.ports.storage import Sql
from holdfast.rooms.llm.engine.accounts import Accounts
from holdfast.rooms.llm.engine.answers import Answers
from holdfast.rooms.llm.engine.client import LlmClient
from holdfast.rooms.llm.engine.degraded import Degraded
from holdfast.rooms.llm.engine.figures import Figures, LlmFigures
from holdfast.rooms.llm.engine.meaning import Meaning
from holdfast.rooms.llm.engine.model import ClientModel
from holdfast.rooms.llm.engine.money import MIGRATIONS, Money
from holdfast.rooms.llm.engine.paths import Paths
from holdfast.rooms.llm.http import Gateway, routes
from holdfast.rooms.llm.providers.making import maker
from holdfast.rooms.llm.rules.settings import EXTRACTIVE, Config, check

__all__ = ["Config", "LlmRoom"]


class LlmRoom(Room):
    """Models behind one stack: `model` for other rooms, /v1 for OpenAI's clients."""

    name: ClassVar[str] = "llm"
    migrations: ClassVar[Sequence[Migration]] = MIGRATIONS

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        ids: IdSource,
        meter: Meter,
        log: EventLog,
        supervisor: Supervisor,
        guards: Guards,
        cache: Cache,
        sql: Sql,
        shared: Shared | None,
        nodes: int,
        production: bool,
        rng: random.Random,
    ) -> None:
        check(config)
        self.config = config
        self._clock = clock
        self.paths = Paths(config, guards, clock, maker(clock, ids))
        self.figures = Figures(meter)
        self.money = Money(
            *(config,),
            clock=clock,
            ids=ids,
            meter=meter,
            sql=sql,
            shared=shared,
            supervisor=supervisor,
            nodes=nodes,
        )
        accounts = Accounts(
            self.money.budgets,
            self.money.ledger,
            self.money.prices,
            self.figures,
            log,
            clock=clock,
            new_id=lambda: ids.sortable(clock.wall()),
        )
        self.paths.probed = accounts.probed
        self._meaning = Meaning(config.semantic, meter, rng) if config.semantic.enabled else None
        self.client = LlmClient(
            config,
            self.paths,
            answers=Answers(cache, config.cache, clock),
            accounts=accounts,
            meaning=self._meaning,
            degraded=Degraded(self.paths.providers[EXTRACTIVE], clock, ids),
            clock=clock,
            rng=rng,
        )
        self.model = ClientModel(self.client)
        required = production if config.keys_required is None else config.keys_required
        self._gateway = Gateway(self.client, self.money.keys, self._page, clock, keys_required=required)

    async def start(self) -> None:
        await self.money.start()

    async def stop(self) -> None:
        await self.client.close()
        await self.paths.close()
        await self.money.stop()

    def routes(self) -> Sequence[Route]:
        return (*routes(self._gateway), *self.money.routes())

    def checks(self) -> Sequence[Check]:
        return (Check("llm", self._finding, engine=True), *self.money.checks())

    def verbs(self) -> Sequence[Verb]:
        return self.money.verbs()

    def _page(self) -> LlmFigures:
        false_hits = None if self._meaning is None else self._meaning.store.false_hit_rate
        now = self._clock.monotonic()
        return self.figures.page(self.paths, now, self.client.under_way, false_hits)

    async def _finding(self) -> Finding:
        """Degraded while any deployment is held back; down when all that are configured are."""
        now = self._clock.monotonic()
        configured = [path for path in self.paths.all if path.provider.name != EXTRACTIVE]
        held = [path.name for path in configured if path.guard.breaker.next_s(now) > 0]
        facts = {"deployments": [path.name for path in self.paths.all], "held_back": held}
        if not held:
            return Finding(facts=facts)
        status = "down" if len(held) == len(configured) else "degraded"
        return Finding(status, f"held back after failures: {', '.join(held)}", facts)
