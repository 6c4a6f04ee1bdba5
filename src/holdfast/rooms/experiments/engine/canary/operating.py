"""What an operator does to a release: define, start, pause, resume, promote, roll back; each in the audit.

A draft may be removed too. What has run stays, with its reports.
"""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from holdfast.kernel.clock import Clock
from holdfast.rooms.experiments.engine.canary import moves
from holdfast.rooms.experiments.engine.canary.committing import Committing
from holdfast.rooms.experiments.engine.canary.moves import Move
from holdfast.rooms.experiments.engine.canary.telling import Telling
from holdfast.rooms.experiments.engine.flags.rulebook import Rulebook
from holdfast.rooms.experiments.rules.canary.checks import check_actions, check_release
from holdfast.rooms.experiments.rules.problems import BadDefinition, Stale, WrongState, unknown
from holdfast.rooms.experiments.rules.releases import AT_REST, Release
from holdfast.rooms.experiments.store.release_rows import Standing
from holdfast.rooms.experiments.store.releases import ReleaseStore

_TRIES = 20
"""A controller moves the row once a second: nobody loses to it so often."""
Step = Callable[[Standing, int], Awaitable[Move]]


class Operating:
    """Does what somebody asks for."""

    def __init__(
        self,
        store: ReleaseStore,
        committing: Committing,
        telling: Telling,
        rulebook: Rulebook,
        clock: Clock,
    ) -> None:
        self._store = store
        self._committing = committing
        self._telling = telling
        self._rulebook = rulebook
        self._clock = clock

    async def define(self, release: Release, actor: str = "") -> Standing:
        """Keep the definition; one that is at work keeps the one it was started with."""
        check_release(release)
        async with self._store.sql.transaction() as tx:
            await self._store.add(tx, release, self._now_ms())

        async def step(was: Standing, now_ms: int) -> Move:
            if was.status not in AT_REST and was.definition != release:
                raise WrongState(
                    f"{was.name} is {was.status}", hint="its definition is settled until it has ended"
                )
            return Move(now=replace(was, definition=release, changed_ms=now_ms))

        return await self._take(release.name, step, actor)

    async def drop(self, name: str) -> None:
        """Remove a draft."""
        was = await self._known(name)
        if was.status != "draft":
            raise WrongState(f"{name} has run, so it cannot be removed", hint="its reports stay")
        if not await self._store.drop(was):
            raise Stale(f"{name} was changed in between", hint="read it again, then remove it")

    async def start(self, name: str, actor: str = "", *, force: bool = False) -> Standing:
        """The first stage. `force` takes up a version that was rolled back before."""
        await self._rulebook.refresh()

        async def step(was: Standing, now_ms: int) -> Move:
            if was.status not in AT_REST:
                raise WrongState(f"{name} is {was.status}", hint="one release of a name runs at a time")
            await self._check(was.definition, force)
            if was.told < was.generation:
                # Its last run ended in a process that died before the report was out: now or never.
                await self._telling.tell(was)
            flag = self._rulebook.ruleset.flags.get(name)
            period = max(was.period, flag.phase if flag is not None else 0) + 1
            return moves.started(was, period, now_ms)

        return await self._take(name, step, actor)

    async def pause(self, name: str, actor: str = "", reason: str = "") -> Standing:
        """Go no further; it is still rolled back if it must be."""
        return await self._take(name, self._if(("running",), moves.paused, reason), actor)

    async def resume(self, name: str, actor: str = "", reason: str = "") -> Standing:
        """Go on after a pause or a hold."""
        return await self._take(name, self._if(("paused", "held"), moves.resumed, reason), actor)

    async def promote(self, name: str, actor: str = "", reason: str = "", *, fully: bool = False) -> Standing:
        """The next stage, or everybody, whatever the evidence says."""
        move = moves.promoted if fully else moves.stepped_up
        return await self._take(name, self._if(("running", "paused", "held"), move, reason), actor)

    async def roll_back(self, name: str, actor: str = "", reason: str = "") -> Standing:
        """Everybody gets control. Once more does no harm."""
        standing = await self._known(name)
        if standing.status == "rolled_back":
            return standing
        alive = ("running", "paused", "held", "promoted")
        try:
            return await self._take(name, self._if(alive, moves.rolled_back, reason or "by hand"), actor)
        except WrongState:
            # The controller may have been faster with the same.
            standing = await self._known(name)
            if standing.status != "rolled_back":
                raise
            return standing

    async def _take(self, name: str, step: Step, actor: str) -> Standing:
        for _ in range(_TRIES):
            was = await self._known(name)
            move = await step(was, self._now_ms())
            if await self._committing.commit(was, move, actor or "operator"):
                if move.did:
                    await self._telling.tell(move.now)
                return await self._known(name)
        raise Stale(f"{name} is moved by others all the time", hint="try again")

    async def _check(self, release: Release, force: bool) -> None:
        check_release(release)
        named = [gate.action for gate in release.gates if gate.of == "event"]
        if named and not all([await self._store.is_tracked(action) for action in named]):
            check_actions(release, await self._store.actions())
        flag = self._rulebook.ruleset.flags.get(release.name)
        if flag is not None and flag.kind != "release":
            raise BadDefinition(
                f"there is a flag {release.name!r} already, and it is no release's",
                hint="give the release another name, or remove the flag",
            )
        if force:
            return
        if flag is not None and not flag.enabled:
            raise WrongState(
                f"the flag {release.name!r} is switched off, and a start would switch it on",
                hint="restore the flag first, or set force",
            )
        why = await self._store.rejected(release.name, release.version)
        if why is not None:
            version = f" {release.version!r}" if release.version else ""
            raise WrongState(
                f"{release.name}{version} was rolled back: {why}",
                hint="name another `version`, or set force to take it up again",
            )

    def _if(self, states: tuple[str, ...], move: Callable[[Standing, str, int], Move], reason: str) -> Step:
        async def step(was: Standing, now_ms: int) -> Move:
            if was.status not in states:
                raise WrongState(
                    f"{was.name} is {was.status.replace('_', ' ')}", hint=f"this asks for {', '.join(states)}"
                )
            return move(was, reason, now_ms)

        return step

    async def _known(self, name: str) -> Standing:
        found = await self._store.one(name)
        if found is None:
            raise unknown("release", name, [each.name for each in await self._store.all()])
        return found

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)
