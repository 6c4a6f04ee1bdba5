"""Which engine is in force, and what that means for this process: looked at again and again."""

from collections.abc import Sequence

from holdfast.kernel.clock import Clock
from holdfast.rooms.jobs.engine.admin import ENGINE
from holdfast.rooms.jobs.engine.jobs import JobsEngine
from holdfast.rooms.jobs.rules import engines
from holdfast.rooms.jobs.rules.engines import Role, Seen
from holdfast.rooms.jobs.rules.settings import Config
from holdfast.rooms.jobs.store.rows import Worker
from holdfast.rooms.jobs.store.tables import NOT_CELERY


class Switching:
    """Decides the roles of one process."""

    def __init__(
        self, config: Config, *, engine: JobsEngine, kind: str, own: str, clock: Clock, durable: str
    ) -> None:
        self.engine: str = config.engine
        """The engine in force at the last look."""
        self.roles: dict[str, Role] = {}
        self._config = config
        self._jobs = engine
        self.kind = kind
        self.own = own
        self._clock = clock
        self._durable = durable
        self._seen_at: dict[str, float] = {}
        self._since = clock.monotonic()

    async def look(self, alive: Sequence[Worker]) -> dict[str, Role]:
        """What this process does for each queue; `alive` are the workers that live."""
        decided = await self._jobs.upkeep.decision(ENGINE) or None
        self.engine = engines.switched(self._config.engine, decided, self._durable or None)
        self._jobs.rows.published_ms = 0 if self.engine == engines.CELERY else NOT_CELERY
        now = self._clock.monotonic()
        for queue in self._config.known_queues():
            self.roles[queue] = self._role(queue, alive, now)
        return self.roles

    def _role(self, queue: str, alive: Sequence[Worker], now: float) -> Role:
        # Under celery a worker of ours takes nothing; under embedded those of Celery's claim like ours.
        working = ("celery",) if self.engine == engines.CELERY else ("worker", "celery")
        count = sum(
            1
            for worker in alive
            if worker.engine in working and worker.id != self.own and queue in worker.queues.split(",")
        )
        if count:
            self._seen_at[queue] = now
        seen = Seen(
            engine=self.engine,
            is_worker=self.kind != "server",
            serves_jobs=self._config.workers,
            alive=count,
            alone_s=now - self._seen_at.get(queue, self._since),
        )
        return engines.role(seen, self._config.patience_s)
