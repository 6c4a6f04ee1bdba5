"""The tables of experiments: what is asked, what each unit did, and the sums that looks read.

`ab_units` has one row for each unit and experiment, whatever the phase: so a unit that is seen in two arms
or two phases is found under one lock. `ab_cells` holds the sums of units' totals; `ab_bins` the same as
histograms, for quantiles. Only the taking-in reads units; a look reads cells and bins.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Float, Index, MetaData, Table, Text, text

from holdfast.kernel.room import Migration
from holdfast.rooms.experiments.rules.statistics.sums import FIELDS

SUMS = tuple(name for name in FIELDS if name != "n")
"""Sums over units of a metric's total `y`, what it is divided by `d`, and of the unit's past `x`."""

_meta = MetaData()


def _whole(name: str) -> "Column[int]":
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _word(name: str, default: str = "") -> "Column[str]":
    return Column(name, Text, nullable=False, server_default=text(f"'{default}'"))


def _key(*names: str) -> "list[Column[Any]]":
    whole = {"phase", "bin", "number"}
    return [
        Column(name, BigInteger if name in whole else Text, primary_key=True, autoincrement=False)
        for name in names
    ]


experiments = Table(
    "ab_experiments",
    _meta,
    *_key("name"),
    Column("definition", Text, nullable=False),
    Column("status", Text, nullable=False),
    _whole("phase"),
    _whole("generation"),
    _word("state", "{}"),
    _whole("changed_ms"),
)

metrics = Table(
    "ab_metrics",
    _meta,
    *_key("name"),
    Column("definition", Text, nullable=False),
    _whole("changed_ms"),
)

units = Table(
    "ab_units",
    _meta,
    *_key("experiment", "unit"),
    _whole("phase"),
    _word("arm"),
    _word("state"),
    _whole("first_ms"),
    _word("cuts", "[]"),
    _word("totals", "{}"),
    _word("past", "{}"),
    _word("crossed", "[]"),
)

links = Table("ab_links", _meta, *_key("experiment", "user_id"), _word("unit"))
"""Of experiments whose unit is no user: which unit a user was exposed as."""

cells = Table(
    "ab_cells",
    _meta,
    *_key("experiment", "phase", "attribute", "value", "arm", "metric"),
    _whole("n"),
    *(Column(name, Float, nullable=False, server_default=text("0")) for name in SUMS),
)

"""`n` stands in the row without a metric alone: a unit that has done nothing touches no metric's row."""

bins = Table(
    "ab_bins",
    _meta,
    *_key("experiment", "phase", "attribute", "value", "arm", "metric", "bin"),
    _whole("n"),
)
"""Units whose total is not zero, by the bin of their total; the others are what is left of `n`."""

looks = Table(
    "ab_looks",
    _meta,
    *_key("experiment", "phase", "number"),
    Column("slot", Text, nullable=False),
    _whole("at_ms"),
    _word("who"),
    _whole("units"),
    Column("fraction", Float),
    _whole("last"),
    Column("told", Text, nullable=False),
    Column("result", Text, nullable=False),
    Index("ab_looks_slot", "experiment", "phase", "slot", unique=True),
)
"""`told` is what later looks and the timeline need; `result` is all that was shown, read one at a time."""

writers = Table("ab_writers", _meta, *_key("writer"), _whole("seq"), _whole("changed_ms"))
"""The last batch of each process: one that is sent twice counts once."""

visitors = Table(
    "ab_visitors",
    _meta,
    *_key("unit"),
    _whole("first_ms"),
    _whole("seen_day"),
    Index("ab_visitors_seen", "seen_day"),
)
"""When a user was first heard of, whatever the experiment: `new` or `returning`. `seen_day` is the last day,
since the epoch and to within a week, on which anything was heard: who stays away for long is forgotten."""


def _create(op: Any) -> None:
    _meta.create_all(op.get_bind())


MIGRATION = Migration(3, "experiments: their units, sums and looks", _create)
