"""Training: collect the log, let a process of its own fit and judge, then swap in one transaction."""

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.ports.services import Meter
from holdfast.ports.storage import Row, Sql
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.fitting import LOG, ORDER, OUTCOME, Order, Outcome
from holdfast.rooms.recommend.models.backtest import Budget
from holdfast.rooms.recommend.rules.problems import NoPrevious
from holdfast.rooms.recommend.rules.promotion import is_due

logger = logging.getLogger("holdfast.recommend")

USERS_A_PAGE = 100
"""Users whose events are read at once: a page of tuples becomes an array within about a millisecond."""
LEASE_S = 1_800.0
"""After this long another process may train: the one that took the lease is taken for dead."""


class TrainingFailed(Problem):
    """The training process did not finish."""

    code = "recommend-training-failed"


class TrainingRuns(Problem):
    """A training is running already."""

    code = "recommend-training-runs"
    status = 409
    retryable = True


class Rules(msgspec.Struct, frozen=True):
    """When to train, and what the result has to reach."""

    after_events: int
    after_s: float
    min_events: int
    tolerance: float
    budget: Budget


class Trainer:
    """Trains for all processes that share the database: one at a time holds the lease."""

    def __init__(self, *, sql: Sql, clock: Clock, meter: Meter, folder: Path, rules: Rules) -> None:
        self._sql = sql
        self._clock = clock
        self._folder = folder
        self._rules = rules
        self._trainings = meter.counter(
            "holdfast_recommend_trainings_total", "Trainings by what became of the model", ("outcome",)
        )
        self._seconds = meter.histogram(
            "holdfast_recommend_training_seconds", "Time of one training, reading the log included"
        ).labels()

    async def due(self) -> str:
        """Why to train now; empty when there is no reason."""
        newest = await self._sql.fetch(store.NEWEST_ARTEFACT)
        since_ms = newest[0][_TRAINED] if newest else 0
        most = max(self._rules.after_events, self._rules.min_events)
        new = (await self._sql.fetch(store.NEW_EVENTS, {"since_ms": since_ms, "most": most}))[0][0]
        if not new:
            return ""
        return is_due(
            new_events=new,
            age_s=self._clock.wall() - since_ms / 1000 if newest else None,
            after_events=self._rules.after_events,
            after_s=self._rules.after_s,
            min_events=self._rules.min_events,
            events=self._rules.min_events if newest else new,
        )

    async def train(self) -> Outcome:
        """One training from the log to the swap; raises TrainingRuns when another process is at it."""
        now_ms = self._now_ms()
        lease = {"now_ms": now_ms, "until_ms": now_ms + int(LEASE_S * 1000)}
        if not await self._sql.run(store.TAKE_TRAINING, lease):
            raise TrainingRuns("another process is training", hint="wait for it", retry_after_s=30.0)
        started = self._clock.monotonic()
        try:
            outcome = await self._fit(save=True)
            await self._swap(outcome, now_ms)
        except BaseException:
            self._trainings.labels("failed").add()
            raise
        finally:
            await self._sql.run(store.END_TRAINING)
        self._seconds.observe(self._clock.monotonic() - started)
        self._trainings.labels("promoted" if outcome.verdict.promoted else "refused").add()
        logger.info("recommend: %s; %s", outcome.reason, outcome.verdict.reason)
        return outcome

    async def evaluate(self) -> Outcome:
        """The back-test alone: nothing is written, nothing swapped."""
        return await self._fit(save=False)

    async def rollback(self) -> str:
        """Make the previous model current and this one previous; the name of what serves now."""
        async with self._sql.transaction() as tx:
            await tx.run(store.BUMP, {"counter": "models", "by": 1})
            rows = {row[_STANDING]: row for row in await tx.fetch(store.SERVING)}
            if "previous" not in rows:
                raise NoPrevious("there is no previous model", hint="train twice, then there is one")
            for standing, row in rows.items():
                becomes = "current" if standing == "previous" else "previous"
                await tx.run(store.SET_STANDING_OF, {"number": row[0], "becomes": becomes})
        previous = rows["previous"]
        return f"{previous[_MODEL]} {previous[_ARTEFACT][:12]}"

    async def _fit(self, *, save: bool) -> Outcome:
        users = await self._counter("next_user")
        log = await self._read_log(users)
        serving = {row[_STANDING]: row for row in await self._sql.fetch(store.SERVING)}
        order = Order(
            users=users,
            items=await self._counter("next_item"),
            models=str(self._folder),
            budget=self._rules.budget,
            tolerance=self._rules.tolerance,
            current=serving["current"][_ARTEFACT] if "current" in serving else "",
            save=save,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".training-", dir=self._folder) as folder:
            return await _in_a_process(Path(folder), order, log)

    async def _read_log(self, users: int) -> NDArray[np.float64]:
        pages = [np.zeros((0, 4))]
        for start in range(0, users, USERS_A_PAGE):
            span = {"from_no": start, "to_no": start + USERS_A_PAGE}
            rows = await self._sql.fetch(store.EVENTS_OF_USERS, span)
            if rows:
                pages.append(np.asarray(rows, np.float64))
        return np.concatenate(pages)

    async def _swap(self, outcome: Outcome, now_ms: int) -> None:
        async with self._sql.transaction() as tx:
            await tx.run(store.BUMP, {"counter": "models", "by": 1})
            version = (await tx.fetch(store.NEXT_ARTEFACT))[0][0]
            if outcome.verdict.promoted:
                await tx.run(store.SET_STANDING, {"was": "previous", "becomes": "retired"})
                await tx.run(store.SET_STANDING, {"was": "current", "becomes": "previous"})
            await tx.run(store.ADD_ARTEFACT, _row(version, outcome, now_ms))

    async def _counter(self, name: str) -> int:
        value: int = (await self._sql.fetch(store.READ_COUNTER, {"counter": name}))[0][0]
        return value

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)


_COLUMNS = [column.name for column in store.artefacts.columns]
_ARTEFACT, _MODEL, _STANDING = (_COLUMNS.index(name) for name in ("artefact", "model", "standing"))
_TRAINED = _COLUMNS.index("trained_ms")


def serving_rows(rows: list[Row]) -> list[tuple[int, str, str]]:
    """(version, artefact, standing) of the current and then the previous model, where there are such."""
    found = [(row[0], row[_ARTEFACT], row[_STANDING]) for row in rows]
    return sorted(found, key=lambda row: row[2])


def _row(version: int, outcome: Outcome, now_ms: int) -> dict[str, object]:
    return {
        "version": version,
        "artefact": outcome.artefact,
        "model": outcome.model,
        "standing": "current" if outcome.verdict.promoted else "refused",
        "ndcg": outcome.ndcg,
        "rival_ndcg": outcome.rival_ndcg,
        "reason": f"{outcome.verdict.reason}; {outcome.reason}",
        "events": outcome.events,
        "through_ms": outcome.through_ms,
        "trained_ms": now_ms,
    }


async def _in_a_process(folder: Path, order: Order, log: NDArray[np.float64]) -> Outcome:
    """Run `fitting` on the order; the process is ended when this task is cancelled."""
    await asyncio.to_thread(np.save, folder / LOG, log)
    (folder / ORDER).write_bytes(msgspec.msgpack.encode(order))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "holdfast.rooms.recommend.engine.fitting",
        str(folder),
        # Nothing else runs in that process, so its matrix products may have every core.
        env={**os.environ, "OPENBLAS_NUM_THREADS": str(os.cpu_count() or 1)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = complaint.decode("utf-8", "replace").strip()[-500:]
        raise TrainingFailed(
            f"the training process ended with {process.returncode}: {said}",
            hint="what serves goes on serving; the next training tries again",
        )
    return msgspec.msgpack.decode((folder / OUTCOME).read_bytes(), type=Outcome)
