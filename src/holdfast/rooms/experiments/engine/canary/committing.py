"""Writes a move: the row, the flag's rollout, audit, incident and path, all in one transaction or nothing.

So a controller that is killed has either decided and acted, or neither. Of all who judged the same turn one
writes; the others find the row moved on, and let theirs go.
"""

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import encode_json
from holdfast.ports.storage import Transaction
from holdfast.rooms.experiments.engine.canary.moves import Move
from holdfast.rooms.experiments.engine.flags.rulebook import Rulebook
from holdfast.rooms.experiments.rules.flags import BUCKETS, Flag, Lane, Rule, Split
from holdfast.rooms.experiments.rules.problems import BadDefinition, UnknownName
from holdfast.rooms.experiments.rules.releases import CONTROL, TREATMENT, Release
from holdfast.rooms.experiments.store.release_rows import AuditLine, Incident, Run, Standing
from holdfast.rooms.experiments.store.releases import ReleaseStore
from holdfast.rooms.experiments.store.rules import RuleStore

ROOM = ""
"""The actor of what the room does by itself."""


class Committing:
    """Carries moves out."""

    def __init__(self, store: ReleaseStore, rules: RuleStore, rulebook: Rulebook, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._rulebook = rulebook
        self._clock = clock

    async def commit(self, was: Standing, move: Move, actor: str = ROOM) -> bool:
        """False when somebody else has moved the release since `was` was read: then nothing is written."""
        now_ms = int(self._clock.wall() * 1000)
        async with self._store.sql.transaction() as tx:
            if not await self._store.move(tx, was, move.now):
                return False
            if move.share is not None:
                await self._set_share(tx, move, actor, now_ms)
            if move.did:
                await self._write_down(tx, move, actor, now_ms)
            await self._path(tx, move)
        if move.share is not None:
            await self._rulebook.changed()
        return True

    async def _set_share(self, tx: Transaction, move: Move, actor: str, now_ms: int) -> None:
        now, share = move.now, move.share or 0
        if move.begins:
            known = self._rulebook.ruleset.flags.get(now.name)
            flag = flag_of(now.definition, share, now.period)
            flag = replace(flag, generation=known.generation if known is not None else 0)
            await self._rules.put_flag(tx, flag, actor, now_ms)
            return
        rule = ended_rule(now.definition, share) if move.ends else split_rule(now.definition, share)
        change: Callable[[Flag], Flag] = partial(_ruled, rule=rule, phase=now.period)
        try:
            await self._rules.change_flag(tx, now.name, change, actor, now_ms)
        except UnknownName:
            if share:
                raise
            # Whoever removed the flag gave everybody control already.

    async def _write_down(self, tx: Transaction, move: Move, actor: str, now_ms: int) -> None:
        now = move.now
        share = move.share
        if share is None:
            share = now.definition.stages[now.stage].share
        line = AuditLine(
            generation=now.generation,
            run=now.run,
            at_ms=now_ms,
            actor=actor,
            did=move.did,
            reason=move.reason,
            status=now.status,
            stage=now.stage,
            share=share,
            verdict="" if actor else now.verdict,
        )
        await self._store.write_down(tx, now.name, line)
        if move.begins:
            kept = encode_json(now.definition).decode()
            begun = Run(run=now.run, version=now.definition.version, started_ms=now_ms, definition=kept)
            await self._store.begin_run(tx, now.name, begun)
        if move.ends:
            await self._store.end_run(tx, now.name, now.run, now.status, move.reason, now_ms)
        if move.opens:
            opened = Incident(
                id=now.incident, run=now.run, stage=now.stage, opened_ms=now_ms, reason=move.reason
            )
            await self._store.open_incident(tx, now.name, opened)
        if move.closes:
            await self._store.close_incident(tx, move.closes, actor or move.did, now_ms)

    async def _path(self, tx: Transaction, move: Move) -> None:
        now, point = move.now, move.point
        if point is not None:
            await self._store.keep_point(tx, now.name, now.run, point)
            if move.thin is not None:
                await self._store.thin(tx, now.name, now.run, point.stage, move.thin)


def flag_of(release: Release, share: int, phase: int) -> Flag:
    """The flag by which a release parts its units."""
    return Flag(
        name=release.name,
        variants=dict(release.values),
        off=CONTROL,
        rules=(split_rule(release, share),),
        kind="release",
        unit=release.unit,
        phase=phase,
        routes=release.routes,
        description=release.description,
    )


def split_rule(release: Release, share: int) -> Rule:
    """Parts units while the release is at work; each use is counted."""
    split = Split(lanes=(Lane(TREATMENT, BUCKETS),), rollout=share, rest=CONTROL)
    return Rule(when=release.when, split=split)


def ended_rule(release: Release, share: int) -> Rule:
    """Serves one variant, and nobody's use is an exposure any more: there is nothing left to compare."""
    return Rule(when=release.when, variant=TREATMENT) if share else Rule(variant=CONTROL)


def _ruled(flag: Flag, *, rule: Rule, phase: int) -> Flag:
    if flag.kind != "release":
        raise BadDefinition(f"the flag {flag.name} is not a release's any more", hint="roll it back by hand")
    return replace(flag, rules=(rule,), phase=max(phase, flag.phase))
