"""Changes flags and what they rest on: each change one transaction, and known everywhere at once."""

from collections.abc import Awaitable, Callable, Container, Mapping
from typing import Any, TypeVar

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.ports.storage import Transaction
from holdfast.rooms.experiments.engine.flags.rulebook import Rulebook
from holdfast.rooms.experiments.rules.assigning import described, somebody
from holdfast.rooms.experiments.rules.evaluating import Steps, explain
from holdfast.rooms.experiments.rules.flags import Change, Flag, Holdout, Layer, Segment
from holdfast.rooms.experiments.rules.problems import BadDefinition, WrongState, unknown
from holdfast.rooms.experiments.store.rules import RuleStore

T = TypeVar("T")


class Editor:
    """What operators may do to flags. Raises Stale, BadDefinition, UnknownName, WrongState."""

    def __init__(
        self,
        store: RuleStore,
        rulebook: Rulebook,
        clock: Clock,
        internal: Container[str] = (),
    ) -> None:
        """`internal`: users who take no part, whatever the rules say."""
        self.store = store
        self.rulebook = rulebook
        self._clock = clock
        self._internal = internal

    def flag(self, name: str) -> Flag:
        """The flag as this process goes by it."""
        return _of(self.rulebook.ruleset.flags, "flag", name)

    def segment(self, name: str) -> Segment:
        """The segment as this process goes by it."""
        return _of(self.rulebook.ruleset.segments, "segment", name)

    def layer(self, name: str) -> Layer:
        """The layer as this process goes by it."""
        return _of(self.rulebook.ruleset.layers, "layer", name)

    async def put_flag(self, flag: Flag, actor: str) -> Flag:
        """Make it, or replace the one of the generation that it names."""
        if flag.kind != "flag":
            raise WrongState(
                f"a flag of kind {flag.kind!r} is made by its {flag.kind}",
                hint=f"start the {flag.kind}",
            )
        _refuse_owned(self.rulebook.ruleset.flags.get(flag.name))
        return await self._changed(lambda tx: self.store.put_flag(tx, flag, actor, self._now()))

    async def change_flag(self, name: str, fields: Mapping[str, Any], actor: str) -> Flag:
        """Set these fields. With `generation` among them, only on that one."""

        def change(flag: Flag) -> Flag:
            _refuse_owned(flag)
            return msgspec.structs.replace(flag, **fields)

        return await self._change(name, change, actor)

    async def switch(self, name: str, on: bool, actor: str) -> Flag:
        """The kill switch: off gives everybody what the flag gives while it is off. Of any kind of flag."""
        return await self._change(name, lambda flag: msgspec.structs.replace(flag, enabled=on), actor)

    async def delete_flag(self, name: str, generation: int | None, actor: str) -> None:
        """Remove it with its overrides; code that still asks for it gets what it does by itself."""
        # Asked of the flag as it is stored: another process may have started its experiment just now.
        await self._changed(
            lambda tx: self.store.delete_flag(tx, name, actor, self._now(), generation, check=_refuse_owned)
        )

    async def override(self, name: str, unit: str, variant: str | None, actor: str) -> str:
        """Let a unit have a variant, or, with None, what the rules give."""
        who = await self.store.override(name, unit, variant, actor, self._now())
        await self.rulebook.changed()
        return who

    async def put_segment(self, segment: Segment, actor: str) -> Segment:
        """Make it, or replace the one of the generation that it names."""
        return await self._changed(lambda tx: self.store.put_segment(tx, segment, actor, self._now()))

    async def delete_segment(self, name: str, generation: int | None, actor: str) -> None:
        """Refused while a flag asks for it."""
        await self._changed(lambda tx: self.store.delete_segment(tx, name, actor, self._now(), generation))

    async def put_layer(self, layer: Layer, actor: str) -> Layer:
        """Make it, or replace the one of the generation that it names."""
        return await self._changed(lambda tx: self.store.put_layer(tx, layer, actor, self._now()))

    async def delete_layer(self, name: str, generation: int | None, actor: str) -> None:
        """Refused while a flag lies in it."""
        await self._changed(lambda tx: self.store.delete_layer(tx, name, actor, self._now(), generation))

    async def put_holdout(self, holdout: Holdout, actor: str) -> Holdout:
        """Replace the one of the generation that it names."""
        return await self._changed(lambda tx: self.store.put_holdout(tx, holdout, actor, self._now()))

    async def history(self, name: str) -> list[Change]:
        """Who changed the flag and its overrides; of one that is gone too."""
        found = await self.store.history(name)
        if not found:
            raise unknown("flag", name, list(self.rulebook.ruleset.flags))
        return found

    def explain(self, name: str, unit: str, attributes: Mapping[str, Any]) -> Steps:
        """What the unit gets, and why; no exposure."""
        kind = self.flag(name).unit
        if kind == "user" and (who := somebody(unit)) in self._internal:
            return Steps(self.rulebook.decider.off(name, who), "an internal user")
        whom = described(kind, unit, attributes)
        return explain(self.rulebook.ruleset, name, unit, whom, self._now())

    async def _change(self, name: str, change: Callable[[Flag], Flag], actor: str) -> Flag:
        return await self._changed(lambda tx: self.store.change_flag(tx, name, change, actor, self._now()))

    async def _changed(self, change: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self.store.sql.transaction() as tx:
            done = await change(tx)
        await self.rulebook.changed()
        return done

    def _now(self) -> int:
        return int(self._clock.wall() * 1000)


def attributes_of(pairs: list[str]) -> dict[str, Any]:
    """`tier=pro` and `age=30` as attributes: what is JSON is read as such, all else is text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise BadDefinition(f"{pair!r} is no attribute", hint="write name=value")
        try:
            found[name] = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            found[name] = text
    return found


def _of(there: Mapping[str, T], kind: str, name: str) -> T:
    found = there.get(name)
    if found is None:
        raise unknown(kind, name, list(there))
    return found


def _refuse_owned(flag: Flag | None) -> None:
    if flag is not None and flag.kind != "flag":
        raise WrongState(
            f"flag {flag.name!r} belongs to the {flag.kind} of that name",
            hint=f"change the {flag.kind}; kill, restore and overrides work on the flag itself",
        )
