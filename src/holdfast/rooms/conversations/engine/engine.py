"""The object that users hold: start, say, show, erase. It puts claims, answers, state and log in order."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import current_ctx, note
from holdfast.kernel.guard.expiry import Expiry, expiry_of
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.flags import Flags, NoFlags
from holdfast.ports.model import Model
from holdfast.ports.services import EventLog, Meter, NoEventLog
from holdfast.ports.storage import Sql
from holdfast.ports.telling import Telling
from holdfast.rooms.conversations.engine.answering import Answering, Job
from holdfast.rooms.conversations.engine.figures import Figures
from holdfast.rooms.conversations.engine.folding import Folding
from holdfast.rooms.conversations.engine.lines import Lines
from holdfast.rooms.conversations.engine.preparing import Prepared, Preparing
from holdfast.rooms.conversations.engine.rating import Rater
from holdfast.rooms.conversations.engine.release import Release
from holdfast.rooms.conversations.engine.runs import Run, Runs
from holdfast.rooms.conversations.engine.warm import Warm
from holdfast.rooms.conversations.rules.arms import Arm
from holdfast.rooms.conversations.rules.personas import Persona, chosen
from holdfast.rooms.conversations.rules.problems import (
    Busy,
    Full,
    KeyReused,
    UnknownMessage,
    check_message,
    unknown_conversation,
)
from holdfast.rooms.conversations.rules.ratings import Rating
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.state import State
from holdfast.rooms.conversations.rules.terms import stored, terms
from holdfast.rooms.conversations.rules.turns import (
    ASSISTANT,
    CANCELLED,
    DONE,
    INTERRUPTED,
    PENDING,
    USER,
    Message,
    message_id,
    seq_of,
)
from holdfast.rooms.conversations.store.packed import pack
from holdfast.rooms.conversations.store.ratings import Ratings
from holdfast.rooms.conversations.store.store import ANY_VERSION, NO_REPEAT, Kept, Repeat, Store

LOOK_S = 0.05
"""Between two looks at a conversation that another process is answering in."""
STOP_S = 5.0


class Conversations:
    """Conversations over one database; any number of processes may hold one each."""

    def __init__(
        self,
        config: Config,
        *,
        sql: Sql,
        clock: Clock,
        meter: Meter,
        supervisor: Supervisor,
        model: Model,
        secret: Callable[[], str],
        flags: Flags | None = None,
        log: EventLog | None = None,
    ) -> None:
        self.config = config
        self.release = Release(config, flags or NoFlags())
        telling = Telling(log or NoEventLog(), clock)
        self._rater = Rater(Ratings(sql), config, clock, telling)
        self.model = model
        self.store = Store(sql)
        self.runs = Runs(config.keep_answers, config.keep_answers_bytes)
        self.figures = Figures(meter, lambda: len(self.runs.going))
        self.warm = Warm()
        self.expiry: Expiry = expiry_of(clock)
        self.folding = Folding(
            self.store,
            config,
            clock=clock,
            expiry=self.expiry,
            figures=self.figures,
            supervisor=supervisor,
            model=lambda: self.model,
        )
        self.answering = Answering(
            self.store,
            self.folding,
            self.runs,
            self.warm,
            config,
            clock=clock,
            expiry=self.expiry,
            figures=self.figures,
            model=lambda: self.model,
            telling=telling,
        )
        self.preparing = Preparing(self.store, self.folding, config, clock)
        self._lines = Lines(config.queue)
        self._clock = clock
        self._secret = secret

    def now_ms(self) -> int:
        return int(self._clock.wall() * 1000)

    async def start(self, owner: str, persona: str = "", language: str = "") -> Kept:
        """A new conversation of `owner`; of "", whoever has its id is its owner. Raises UnknownPersona."""
        name, voice = chosen(persona, self.config.personas)
        now_ms = self.now_ms()
        state = State(persona=name)
        kept = Kept(
            id=self._secret(),
            owner=owner,
            persona=name,
            language=language or voice.language,
            created_ms=now_ms,
            updated_ms=now_ms,
            expires_ms=now_ms + int(self.config.ttl_days * 86_400_000),
            version=0,
            state=state,
            state_bytes=len(pack(state)),
        )
        await self.store.add(kept)
        note(conversation={"id": kept.id, "persona": name})
        return kept

    async def open(self, caller: str, conversation_id: str) -> Kept:
        """The conversation, for its owner; what a dead process left pending is marked on the way.

        Raises UnknownConversation (404) when there is none, it has expired, or it is somebody else's.
        """
        now_ms = self.now_ms()
        kept = await self.store.open(conversation_id) if _is_id(conversation_id) else None
        if kept is None or kept.expires_ms <= now_ms or kept.owner not in ("", caller):
            raise unknown_conversation()
        if kept.newest is not None and kept.newest.is_left(now_ms):
            await self.store.leave(conversation_id, now_ms)
            return await self.open(caller, conversation_id)
        return kept

    # -- saying something ----------------------------------------------------------------------

    async def say(self, caller: str, conversation_id: str, text: str, key: str = "") -> Run:
        """Take a message and have it answered; the run starts with `begin`, or has ended when it is a repeat.

        The message is durable when this returns. Raises Busy or Full (409), BadMessage or KeyReused (422),
        MessageTooLarge (413), UnknownConversation (404).
        """
        if self.config.on_concurrent == "queue":
            return await self._in_turn(caller, conversation_id, text, key)
        claim = await self._claimed_warm(caller, conversation_id, text, key, _nothing)
        if claim is None:
            kept = await self.open(caller, conversation_id)
            persona, repeat = self._checked(kept, text, key)
            if key and (known := await self._repeated(conversation_id, repeat)) is not None:
                return known
            claim = await self._claimed(kept, persona, text, repeat, _nothing)
        if claim is None:
            raise self._busy("the conversation is answering another message")
        return claim[0]

    def _checked(self, kept: Kept, text: str, key: str) -> tuple[Persona, Repeat]:
        """The voice of the conversation, once the message can be taken."""
        _, persona = chosen(kept.persona, self.config.personas)
        check_message(text, self.config.message_limit(persona))
        repeat = Repeat(key, hashlib.sha256(text.encode()).hexdigest()) if key else NO_REPEAT
        return persona, repeat

    def _at_hand(self, caller: str, name: str) -> Kept | None:
        """What this process knows of a conversation of the caller; it may be out of date."""
        kept = self.warm.get(name)
        if kept is None or kept.owner not in ("", caller) or kept.expires_ms <= self.now_ms():
            return None
        return self.folding.freshest(kept)

    async def _claimed_warm(
        self, caller: str, name: str, text: str, key: str, ended: Callable[[], None]
    ) -> tuple[Run, bool] | None:
        """As `_claimed`, without a read, by what this process knows; None when the database must be asked."""
        kept = self._at_hand(caller, name)
        if kept is None:
            return None
        persona, repeat = self._checked(kept, text, key)
        is_full = kept.seq + 2 > self.config.length_limit(persona)
        if is_full or self.runs.is_going(name, kept.seq + 2) or not self.warm.is_worth_trying():
            return None
        claimed, make = await self._try_claim(kept, text, repeat, kept.version)
        self.warm.tried(name, held=bool(claimed))
        return (make(ended), True) if claimed else None

    async def _in_turn(self, caller: str, name: str, text: str, key: str) -> Run:
        """Wait for the turn in this process, then for other processes, within one time.

        The place in the line is taken before anything is awaited: it is the order of arrival.
        """
        patience_s = self._patience_s()
        ends = self._clock.monotonic() + patience_s
        turn = self._lines.take(name)
        if turn is None:
            raise self._busy("other messages wait already")
        is_ours = False

        def give_back() -> None:
            self._lines.give_back(name, turn)

        try:
            kept = self._at_hand(caller, name) or await self.open(caller, name)
            persona, repeat = self._checked(kept, text, key)
            if key and (known := await self._repeated(name, repeat)) is not None:
                return known
            if not await self._lines.wait(turn, patience_s):
                raise self._busy("other messages are answered before")
            claim = await self._claimed_warm(caller, name, text, key, give_back)
            while True:
                if claim is None:
                    kept = await self.open(caller, name)
                    claim = await self._claimed(kept, persona, text, repeat, give_back)
                if claim is not None:
                    run, is_ours = claim
                    return run
                if self._clock.monotonic() >= ends:
                    raise self._busy("the conversation is answering another message")
                await asyncio.sleep(LOOK_S)
        finally:
            if not is_ours:
                give_back()  # else the end of the run does

    async def _claimed(
        self, kept: Kept, persona: Persona, text: str, repeat: Repeat, ended: Callable[[], None]
    ) -> tuple[Run, bool] | None:
        """The run of the message, and whether it is a new one; None when the conversation is busy."""
        if kept.newest is not None and kept.newest.status == PENDING:
            return None
        if kept.seq + 2 > self.config.length_limit(persona):
            self.figures.refused.labels("full").add()
            raise Full(
                f"this conversation has its {self.config.length_limit(persona)} messages",
                hint="start a new one with POST /api/v2/conversations/start",
            )
        claimed, make = await self._try_claim(kept, text, repeat)
        if claimed is None:
            raise unknown_conversation()
        if not claimed:
            known = await self._repeated(kept.id, repeat) if repeat.key else None
            return None if known is None else (known, False)
        return make(ended), True

    async def _try_claim(
        self, kept: Kept, text: str, repeat: Repeat, known: int = ANY_VERSION
    ) -> tuple[bool | None, Callable[[Callable[[], None]], Run]]:
        """What the claim came to, and what makes the run of it.

        The arm is asked for here, by the request that says the message: its record is where the use stands.
        """
        known_by = terms(text)
        arm = self.release.arm(kept.owner)
        prepared = await self.preparing.prepare(kept, arm, text, known_by)
        now_ms = self.now_ms()
        seq = kept.seq + 1
        said = Message(seq, USER, text, DONE, now_ms, now_ms, terms=stored(known_by))
        claimed = await self.store.claim(
            kept.id, seq, text, said.terms, now_ms, self._claim_ends_ms(now_ms), repeat, known
        )
        return claimed, partial(self._opened, kept, arm, prepared, said)

    def _opened(
        self, kept: Kept, arm: Arm, prepared: Prepared, said: Message, ended: Callable[[], None]
    ) -> Run:
        """The run of a message that has been claimed."""
        recalled = tuple(source.id for source in prepared.context.recalled)
        self.figures.recalls.add(len(recalled))
        note(conversation={"id": kept.id, "seq": said.seq + 1, "recalled": len(recalled)})
        ask = self.preparing.ask(prepared, kept)
        job = Job(kept, said, ask, kept.persona, recalled, arm)
        return self.answering.open(job, said.seq + 1, ended)

    async def _repeated(self, conversation_id: str, repeat: Repeat) -> Run | None:
        """The run of an earlier message with this key; None when the key is new."""
        found = await self.store.by_key(conversation_id, repeat.key)
        if found is None:
            return None
        digest, answer = found
        if digest != repeat.digest:
            self.figures.refused.labels("key_reused").add()
            raise KeyReused(
                "this idempotency key came with another message before",
                hint="send a new key with a new message",
            )
        if answer.status == PENDING and self.config.on_repeat == "conflict":
            raise self._busy("the conversation is answering this very message")
        return self._run_of(conversation_id, answer, replayed=True)

    def _run_of(self, conversation_id: str, answer: Message, *, replayed: bool) -> Run:
        """An answer as a run: the one that goes on here, one to follow, or what is stored."""
        run = self.runs.get(conversation_id, answer.seq)
        if run is not None:
            return run
        if answer.status == PENDING:
            return self.answering.follow(conversation_id, answer.seq)
        return Run.of(conversation_id, answer, replayed=replayed)

    def _busy(self, why: str) -> Busy:
        self.figures.refused.labels("busy").add()
        return Busy(
            why,
            hint='send it when that answer is there, or set conversations.on_concurrent = "queue"',
            retry_after_s=1.0,
        )

    def _patience_s(self) -> float:
        ctx = current_ctx()
        left_s = ctx.remaining_s() if ctx is not None else None
        return self.config.queue_s if left_s is None else max(0.001, min(left_s, self.config.queue_s))

    def _claim_ends_ms(self, now_ms: int) -> int:
        return now_ms + int(self.config.lease_s * 1000)

    # -- looking -------------------------------------------------------------------------------

    async def listen(self, caller: str, conversation_id: str, name: str) -> Run:
        """The run of an answer by its message id, going on or ended. Raises UnknownMessage (404)."""
        kept = await self.open(caller, conversation_id)
        seq = seq_of(name)
        run = self.runs.get(conversation_id, seq)
        if run is not None:
            return run
        message = next((one for one in kept.messages if one.seq == seq), None)
        message = message or await self.store.message(conversation_id, seq)
        if message is None or message.role != ASSISTANT:
            raise UnknownMessage(
                f"no answer {name[:40]!r} in this conversation",
                hint=f"answers are {message_id(2)}, {message_id(4)} …",
            )
        return self._run_of(conversation_id, message, replayed=True)

    async def log(
        self, caller: str, conversation_id: str, after: int = 0, most: int = 1_000
    ) -> tuple[Kept, list[Message]]:
        """The conversation, and its messages from number `after` on."""
        kept = await self.open(caller, conversation_id)
        return kept, await self.store.messages(conversation_id, after, most)

    async def context(self, caller: str, conversation_id: str, message: str) -> tuple[Kept, Prepared]:
        """What a model would be given for `message` now."""
        kept = await self.open(caller, conversation_id)
        arm = self.release.arm(kept.owner)
        return kept, await self.preparing.prepare(kept, arm, message, terms(message))

    async def rate(
        self, caller: str, conversation_id: str, name: str, score: int, text: str = ""
    ) -> tuple[Rating, bool]:
        """Take what the user thought of an answer, as `Rater.rate` says."""
        kept = await self.open(caller, conversation_id)
        return await self._rater.rate(kept, caller, seq_of(name), score, text)

    # -- erasing and ending --------------------------------------------------------------------

    async def erase(self, caller: str, conversation_id: str) -> None:
        """Remove a conversation with everything in it. Raises UnknownConversation (404)."""
        await self.open(caller, conversation_id)
        await self.remove([conversation_id])

    async def erase_user(self, owner: str) -> int:
        """Remove everything of a user; how many conversations there were."""
        count = 0
        while ids := await self.store.ids_of_owner(owner):
            count += await self.remove(ids)
        return count

    async def sweep(self) -> None:
        """Remove what has expired."""
        while ids := await self.store.expired(self.now_ms()):
            self.figures.expired.add(await self.remove(ids))

    async def remove(self, ids: Sequence[str]) -> int:
        """Remove these, from the database and from memory; their answers on the way are ended."""
        count = await self.store.erase(ids)
        self.preparing.archive.forget(ids)
        self.warm.forget(ids)
        self.folding.forget(ids)
        for run in self.runs.forget(set(ids)):
            self.answering.stop(run, CANCELLED)
        return count

    async def stop(self) -> None:
        """End every answer on its way, and wait until it is written down."""
        for run in self.runs.going:
            self.answering.stop(run, INTERRUPTED)
        if self.answering.tasks:
            await asyncio.wait(self.answering.tasks, timeout=STOP_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self.folding.stop()


def _nothing() -> None:
    return None


def _is_id(name: str) -> bool:
    """Whether it can be an id at all: what a database would refuse is simply not there."""
    return 0 < len(name) <= 128 and name.isascii() and name.isprintable()
