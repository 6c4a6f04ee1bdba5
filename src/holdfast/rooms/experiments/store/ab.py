"""Experiments, their metrics and their looks in the database."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, func, select, update

from holdfast.kernel.codec import encode_json
from holdfast.ports.storage import Row, Sql, Transaction
from holdfast.ports.upsert import insert_ignore, upsert
from holdfast.rooms.experiments.rules.ab.lives import Life, Stored
from holdfast.rooms.experiments.rules.ab.told import Told
from holdfast.rooms.experiments.rules.experiments import Experiment, Metric
from holdfast.rooms.experiments.rules.statistics.results import Analysis
from holdfast.rooms.experiments.store.ab_tables import experiments, looks, metrics

_e, _m, _l = experiments.c, metrics.c, looks.c
_ROW = (_e.definition, _e.status, _e.phase, _e.generation, _e.state)

ADD = insert_ignore(experiments, key=("name",))
CHANGE = (
    update(experiments)
    .where(_e.name == bindparam("which"), _e.generation == bindparam("from_generation"))
    .values(
        definition=bindparam("to_definition"),
        status=bindparam("to_status"),
        phase=bindparam("to_phase"),
        generation=_e.generation + 1,
        state=bindparam("to_state"),
        changed_ms=bindparam("to_changed_ms"),
    )
)
DROP = experiments.delete().where(
    _e.name == bindparam("which"), _e.generation == bindparam("from_generation")
)
ONE = select(*_ROW).where(_e.name == bindparam("which"))
ALL = select(*_ROW).order_by(_e.name)
ACTIVE = select(*_ROW).where(_e.status.in_(("collecting", "running"))).order_by(_e.name)
VERSION = select(
    func.count(), func.coalesce(func.sum(_e.generation), 0), func.coalesce(func.max(_e.changed_ms), 0)
)
NAMES = select(_e.name).order_by(_e.name)
PUT_METRIC = upsert(metrics, key=("name",), update=("definition", "changed_ms"))
DROP_METRIC = metrics.delete().where(_m.name == bindparam("which"))
METRICS = select(_m.definition).order_by(_m.name)
ADD_LOOK = insert_ignore(looks)
LOOKS = (
    select(_l.number, _l.slot, _l.at_ms, _l.who, _l.units, _l.fraction, _l.last, _l.told)
    .where(_l.experiment == bindparam("which"), _l.phase == bindparam("phase"))
    .order_by(_l.number)
)
RESULT = select(_l.result).where(
    _l.experiment == bindparam("which"), _l.phase == bindparam("phase"), _l.number == bindparam("number")
)

_experiment_of = msgspec.json.Decoder(Experiment)
_life_of = msgspec.json.Decoder(Life)
_metric_of = msgspec.json.Decoder(Metric)
_analysis_of = msgspec.json.Decoder(Analysis)
_told_of = msgspec.json.Decoder(Told)


class LookRow(msgspec.Struct, frozen=True):
    """A look as it is kept."""

    number: int
    slot: str
    """What it was for: a day's own look is taken once, whoever takes it."""
    at_ms: int
    who: str
    units: int
    fraction: float | None
    last: bool
    told: Told


class AbStore:
    """Definitions, states and looks of experiments."""

    def __init__(self, sql: Sql) -> None:
        self.sql = sql

    async def one(self, name: str, within: Transaction | None = None) -> Stored | None:
        """The experiment of this name."""
        rows = await (within or self.sql).fetch(ONE, {"which": name})
        return _stored(rows[0]) if rows else None

    async def all(self) -> list[Stored]:
        """Every one, by name."""
        return [_stored(row) for row in await self.sql.fetch(ALL)]

    async def active(self) -> list[Stored]:
        """Those that take in what happens."""
        return [_stored(row) for row in await self.sql.fetch(ACTIVE)]

    async def version(self) -> tuple[int, ...]:
        """Another one after every change of any experiment."""
        return tuple(int(part) for part in (await self.sql.fetch(VERSION))[0])

    async def names(self) -> list[str]:
        """Every name."""
        return [str(row[0]) for row in await self.sql.fetch(NAMES)]

    async def add(self, stored: Stored, now_ms: int) -> bool:
        """False when there is one of this name."""
        row = {
            "name": stored.experiment.name,
            "definition": encode_json(stored.experiment).decode(),
            "status": stored.status,
            "phase": stored.phase,
            "generation": 1,
            "state": encode_json(stored.life).decode(),
            "changed_ms": now_ms,
        }
        return bool(await self.sql.run(ADD, row))

    async def change(self, tx: Transaction, stored: Stored, now_ms: int) -> bool:
        """Write it as it is now, one generation on; False when somebody else changed it since."""
        row = {
            "which": stored.experiment.name,
            "from_generation": stored.generation,
            "to_definition": encode_json(stored.experiment).decode(),
            "to_status": stored.status,
            "to_phase": stored.phase,
            "to_state": encode_json(stored.life).decode(),
            "to_changed_ms": now_ms,
        }
        return bool(await tx.run(CHANGE, row))

    async def drop(self, tx: Transaction, stored: Stored) -> bool:
        """Remove its row; False when somebody else changed it since. Its looks and sums are not touched."""
        row = {"which": stored.experiment.name, "from_generation": stored.generation}
        return bool(await tx.run(DROP, row))

    async def put_metric(self, metric: Metric, now_ms: int) -> None:
        """Keep the definition; experiments that run keep the one they began with."""
        row = {"name": metric.name, "definition": encode_json(metric).decode(), "changed_ms": now_ms}
        await self.sql.run(PUT_METRIC, row)

    async def drop_metric(self, name: str) -> bool:
        """False when there is none."""
        return bool(await self.sql.run(DROP_METRIC, {"which": name}))

    async def metrics(self) -> list[Metric]:
        """Those made over the API, by name."""
        return [_metric_of.decode(row[0]) for row in await self.sql.fetch(METRICS)]

    async def add_look(self, experiment: str, phase: int, look: LookRow, analysis: Analysis) -> bool:
        """False when this number or this slot is taken: somebody else looked in between."""
        row = {
            "experiment": experiment,
            "phase": phase,
            **msgspec.structs.asdict(look),
            "last": int(look.last),
            "told": encode_json(look.told).decode(),
            "result": encode_json(analysis).decode(),
        }
        return bool(await self.sql.run(ADD_LOOK, row))

    async def looks(self, experiment: str, phase: int) -> Sequence[LookRow]:
        """Every look of this phase, in order, without what it showed."""
        rows = await self.sql.fetch(LOOKS, {"which": experiment, "phase": phase})
        return [
            LookRow(n, slot, at, who, units, share, bool(last), _told_of.decode(told))
            for n, slot, at, who, units, share, last, told in rows
        ]

    async def shown(self, experiment: str, phase: int, number: int) -> Analysis:
        """What a look showed."""
        asked = {"which": experiment, "phase": phase, "number": number}
        return _analysis_of.decode((await self.sql.fetch(RESULT, asked))[0][0])


def _stored(row: Row) -> Stored:
    definition, status, phase, generation, state = row
    return Stored(_experiment_of.decode(definition), status, phase, generation, _life_of.decode(state))
