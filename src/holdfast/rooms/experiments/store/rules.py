"""Flags, segments, layers, the holdout and overrides in SQL, of one version, every change written down.

    lock the version -> read what stands -> fresh? -> whole? -> write -> history -> raise the version

all in one transaction, which may be the caller's: a release moves its flag together with its own state. The
lock makes changes one after another, so none is checked against what another is about to replace.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import bindparam, delete, insert, literal, select, union_all, update

from holdfast.ports.storage import Row, Sql, Transaction
from holdfast.ports.upsert import upsert
from holdfast.rooms.experiments.rules.assigning import BadUnit, normalise
from holdfast.rooms.experiments.rules.checking import (
    check_flag,
    check_holdout,
    check_layer,
    check_override,
    check_segment,
    layer_in_use,
    segment_in_use,
)
from holdfast.rooms.experiments.rules.flags import Change, Flag, Holdout, Layer, Ruleset, Segment
from holdfast.rooms.experiments.rules.problems import BadDefinition, Stale, unknown
from holdfast.rooms.experiments.store import rules_tables as tables

logger = logging.getLogger("holdfast.experiments")
Noun = TypeVar("Noun", Flag, Segment, Layer, Holdout)

FLAG, SEGMENT, LAYER, HOLDOUT, OVERRIDE = "flag", "segment", "layer", "holdout", "override"
VERSION, MADE = "version", "made"
MOST_OVERRIDES = 10_000
"""Of one flag: every process holds them all."""

_d, _o, _v, _h = tables.definitions.c, tables.overrides.c, tables.version.c, tables.history.c
LOOK = select(_v.version, _h.at_ms).outerjoin_from(
    tables.version, tables.history, _h.version == _v.version
).where(_v.id == 1)  # fmt: skip
LOCK = select(_v.version).where(_v.id == 1).with_for_update()
RAISE = update(tables.version).where(_v.id == 1).values(version=bindparam("to"))
# One statement, so that PostgreSQL too shows all of it as of one moment.
EVERYTHING = union_all(
    select(literal(VERSION).label("kind"), literal("").label("name"), literal("").label("unit"),
           _v.version.label("number"), literal("").label("body")).where(_v.id == 1),
    select(literal(MADE), literal(""), literal(""), _h.at_ms, literal(""))
    .where(_v.id == 1, _h.version == _v.version),
    select(_d.kind, _d.name, literal(""), _d.generation, _d.body),
    select(literal(OVERRIDE), _o.flag, _o.unit, literal(0), _o.variant),
)  # fmt: skip
SAVE = upsert(tables.definitions, key=("kind", "name"), update=("generation", "body"))
REMOVE = delete(tables.definitions).where(_d.kind == bindparam("of_kind"), _d.name == bindparam("of_name"))
OVERRIDE_SAVE = upsert(tables.overrides, key=("flag", "unit"), update=("variant",))
OVERRIDE_REMOVE = delete(tables.overrides).where(_o.flag == bindparam("of"), _o.unit == bindparam("of_unit"))
OVERRIDES_REMOVE = delete(tables.overrides).where(_o.flag == bindparam("of"))
WRITE_DOWN = insert(tables.history)
_columns = (_h.version, _h.kind, _h.name, _h.actor, _h.at_ms, _h.before, _h.after)
HISTORY = (
    select(*_columns)
    .where(_h.kind.in_(bindparam("kinds", expanding=True)), _h.name == bindparam("of_name"))
    .order_by(_h.version.desc())
    .limit(bindparam("most"))
)


def new_salt() -> str:
    """64 random bits, as text."""
    return secrets.token_hex(8)


class RuleStore:
    """What decides assignment, kept. `tx` is a transaction of the caller's, opened on the same database."""

    def __init__(self, sql: Sql, draw: Callable[[], str] = new_salt) -> None:
        self.sql = sql
        self.offered: dict[str, tuple[str, ...]] = {}
        """What code of this process can serve; releases and experiments of anything else are refused."""
        self._draw = draw

    async def stamp(self) -> tuple[int, int]:
        """The version that stands, and when it was made; cheap."""
        rows = await self.sql.fetch(LOOK)
        version, made_ms = rows[0]
        return int(version), int(made_ms or 0)

    async def load(self) -> Ruleset:
        """Everything, as of one version."""
        return _ruleset(await self.sql.fetch(EVERYTHING))

    async def put_flag(self, tx: Transaction, flag: Flag, actor: str, at_ms: int) -> Flag:
        """Store it as it is given; its `generation` names the one it goes by, 0 for a new flag.

        Raises Stale, BadDefinition. Gives it as stored: salt drawn, generation raised.
        """
        known = await self._locked(tx)
        return await self._put_flag(tx, known, flag, actor, at_ms)

    async def change_flag(
        self, tx: Transaction, name: str, change: Callable[[Flag], Flag], actor: str, at_ms: int
    ) -> Flag:
        """Store what `change` makes of the flag as it stands now; nothing happens where that is the same."""
        known = await self._locked(tx)
        before = known.flags.get(name)
        if before is None:
            raise unknown("flag", name, list(known.flags))
        after = change(before)
        return before if after == before else await self._put_flag(tx, known, after, actor, at_ms)

    async def delete_flag(
        self,
        tx: Transaction,
        name: str,
        actor: str,
        at_ms: int,
        generation: int | None = None,
        *,
        check: Callable[[Flag], None] | None = None,
    ) -> None:
        """Remove it with its overrides; what stays is its history. `check` may refuse it as it stands now."""
        known = await self._locked(tx)
        before = _found(known.flags, FLAG, name, generation)
        if check is not None:
            check(before)
        await tx.run(OVERRIDES_REMOVE, {"of": name})
        await self._remove(tx, known, FLAG, name, before, actor, at_ms)

    async def put_segment(self, tx: Transaction, segment: Segment, actor: str, at_ms: int) -> Segment:
        """As `put_flag`."""
        known = await self._locked(tx)
        check_segment(segment)
        before = known.segments.get(segment.name)
        return await self._save(tx, known, SEGMENT, segment.name, before, segment, actor, at_ms)

    async def delete_segment(
        self, tx: Transaction, name: str, actor: str, at_ms: int, generation: int | None = None
    ) -> None:
        """Refused while a flag asks for it."""
        known = await self._locked(tx)
        before = _found(known.segments, SEGMENT, name, generation)
        segment_in_use(name, known)
        await self._remove(tx, known, SEGMENT, name, before, actor, at_ms)

    async def put_layer(self, tx: Transaction, layer: Layer, actor: str, at_ms: int) -> Layer:
        """As `put_flag`."""
        known = await self._locked(tx)
        before = known.layers.get(layer.name)
        layer = msgspec.structs.replace(layer, salt=self._salt(layer, before))
        check_layer(layer)
        return await self._save(tx, known, LAYER, layer.name, before, layer, actor, at_ms)

    async def delete_layer(
        self, tx: Transaction, name: str, actor: str, at_ms: int, generation: int | None = None
    ) -> None:
        """Refused while a flag lies in it."""
        known = await self._locked(tx)
        before = _found(known.layers, LAYER, name, generation)
        layer_in_use(name, known)
        await self._remove(tx, known, LAYER, name, before, actor, at_ms)

    async def put_holdout(self, tx: Transaction, holdout: Holdout, actor: str, at_ms: int) -> Holdout:
        """As `put_flag`; there is one."""
        known = await self._locked(tx)
        before = known.holdout if known.holdout.generation else None
        holdout = msgspec.structs.replace(holdout, salt=self._salt(holdout, before))
        check_holdout(holdout)
        return await self._save(tx, known, HOLDOUT, "", before, holdout, actor, at_ms)

    async def override(self, flag: str, unit: object, variant: str | None, actor: str, at_ms: int) -> str:
        """Let `unit` have `variant` from now on; None: what the rules give. Gives the normalised unit."""
        who = _somebody(unit)
        async with self.sql.transaction() as tx:
            known = await self._locked(tx)
            there = _found(known.flags, FLAG, flag, None)
            standing = known.overrides.get(flag, {})
            before = standing.get(who)
            if variant == before:
                return who
            if variant is None:
                await tx.run(OVERRIDE_REMOVE, {"of": flag, "of_unit": who})
            else:
                check_override(there, variant)
                if len(standing) >= MOST_OVERRIDES and before is None:
                    raise BadDefinition(
                        f"{flag!r} has {MOST_OVERRIDES} overrides", hint="use a segment or an attribute"
                    )
                await tx.run(OVERRIDE_SAVE, {"flag": flag, "unit": who, "variant": variant})
            was, now = _override(who, before), _override(who, variant)
            await self._wrote(tx, known, OVERRIDE, flag, was, now, actor, at_ms)
        return who

    async def history(self, name: str, kind: str = FLAG, most: int = 100) -> list[Change]:
        """What was changed of it, the latest first; of a flag its overrides as well."""
        kinds = [FLAG, OVERRIDE] if kind == FLAG else [kind]
        rows = await self.sql.fetch(HISTORY, {"kinds": kinds, "of_name": name, "most": most})
        return [
            Change(version, of_kind, of_name, actor, at_ms, _read(before), _read(after))
            for version, of_kind, of_name, actor, at_ms, before, after in rows
        ]

    async def _put_flag(self, tx: Transaction, known: Ruleset, flag: Flag, actor: str, at_ms: int) -> Flag:
        before = known.flags.get(flag.name)
        flag = msgspec.structs.replace(flag, salt=self._salt(flag, before))
        _fresh(FLAG, flag.name, before, flag.generation)
        check_flag(flag, known, before, self.offered)
        for unit, variant in known.overrides.get(flag.name, {}).items():
            if variant not in flag.variants:
                raise BadDefinition(
                    f"an override gives {unit!r} the variant {variant!r}, which would be gone",
                    hint="remove the override first",
                )
        return await self._save(tx, known, FLAG, flag.name, before, flag, actor, at_ms)

    async def _locked(self, tx: Transaction) -> Ruleset:
        await tx.fetch(LOCK)
        return _ruleset(await tx.fetch(EVERYTHING))

    def _salt(self, noun: "Flag | Layer | Holdout", before: "Flag | Layer | Holdout | None") -> str:
        return noun.salt or (before.salt if before is not None else self._draw())

    async def _save(
        self,
        tx: Transaction,
        known: Ruleset,
        kind: str,
        name: str,
        before: Noun | None,
        after: Noun,
        actor: str,
        at_ms: int,
    ) -> Noun:
        _fresh(kind, name, before, after.generation)
        stored = msgspec.structs.replace(after, generation=after.generation + 1)
        body = _text(stored)
        await tx.run(SAVE, {"kind": kind, "name": name, "generation": stored.generation, "body": body})
        was = None if before is None else _text(before)
        await self._wrote(tx, known, kind, name, was, body, actor, at_ms)
        return stored

    async def _remove(
        self, tx: Transaction, known: Ruleset, kind: str, name: str, before: Any, actor: str, at_ms: int
    ) -> None:
        await tx.run(REMOVE, {"of_kind": kind, "of_name": name})
        await self._wrote(tx, known, kind, name, _text(before), None, actor, at_ms)

    async def _wrote(
        self,
        tx: Transaction,
        known: Ruleset,
        kind: str,
        name: str,
        before: str | None,
        after: str | None,
        actor: str,
        at_ms: int,
    ) -> None:
        # A transaction may change several things: each makes a version of its own.
        version = known.version + 1
        await tx.run(
            WRITE_DOWN,
            {"version": version, "kind": kind, "name": name, "actor": actor, "at_ms": at_ms,
             "before": before, "after": after},
        )  # fmt: skip
        await tx.run(RAISE, {"to": version})


_DECODERS: Mapping[str, "msgspec.json.Decoder[Any]"] = {
    FLAG: msgspec.json.Decoder(Flag),
    SEGMENT: msgspec.json.Decoder(Segment),
    LAYER: msgspec.json.Decoder(Layer),
    HOLDOUT: msgspec.json.Decoder(Holdout),
}


def _ruleset(rows: list[Row]) -> Ruleset:
    found: dict[str, dict[str, Any]] = {FLAG: {}, SEGMENT: {}, LAYER: {}, HOLDOUT: {}}
    overrides: dict[str, dict[str, str]] = {}
    version = made_ms = 0
    for kind, name, unit, number, body in rows:
        if kind == VERSION:
            version = number
        elif kind == MADE:
            made_ms = number
        elif kind == OVERRIDE:
            overrides.setdefault(name, {})[unit] = body
        else:
            try:
                found[kind][name] = _DECODERS[kind].decode(body)
            except (msgspec.MsgspecError, KeyError) as error:
                # One that a newer release wrote must not keep the others from being read.
                logger.error("%s %r cannot be read and is left out: %s", kind, name, error)
    holdout = found[HOLDOUT].get("", Holdout())
    return Ruleset(version, found[FLAG], found[SEGMENT], found[LAYER], holdout, overrides, made_ms)


def _fresh(kind: str, name: str, before: Any, generation: int) -> None:
    standing = 0 if before is None else before.generation
    if generation == standing:
        return
    raise Stale(
        f"{kind} {name!r} stands at generation {standing}, the change goes by {generation}",
        hint="read it again, and make the change on what stands" if standing else "it is gone, or never was",
        generation=standing,
    )


def _found(there: Mapping[str, Noun], kind: str, name: str, generation: int | None) -> Noun:
    found = there.get(name)
    if found is None:
        raise unknown(kind, name, list(there))
    if generation is not None:
        _fresh(kind, name, found, generation)
    return found


def _somebody(unit: object) -> str:
    try:
        who = normalise(unit)
    except BadUnit as error:
        raise BadDefinition(str(error)) from None
    if not who:
        raise BadDefinition("an override is for somebody", hint="name the unit")
    return who


def _override(unit: str, variant: str | None) -> str | None:
    return None if variant is None else _text({"unit": unit, "variant": variant})


def _text(noun: Any) -> str:
    return msgspec.json.encode(noun).decode()


def _read(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
