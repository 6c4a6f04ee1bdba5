"""Keeps a conversation's state in step with its log, extractively at once, by a model perhaps later.

Nothing here may fail a turn: a state that lags behind takes in what it has missed the next time.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.kernel.guard.expiry import Expiry
from holdfast.kernel.guard.timeouts import phase
from holdfast.kernel.tasks import Supervisor
from holdfast.kernel.text.graphemes import shorten
from holdfast.ports.model import Ask, Model, NoModel, Turn
from holdfast.rooms.conversations.engine.figures import Figures
from holdfast.rooms.conversations.rules.sentences import is_korean
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.state import (
    SUMMARY_BYTES,
    WINDOW,
    Exchange,
    State,
    catch_up,
)
from holdfast.rooms.conversations.rules.summary import fold, written
from holdfast.rooms.conversations.rules.turns import exchanges
from holdfast.rooms.conversations.store.packed import packed_within
from holdfast.rooms.conversations.store.store import Kept, Store

logger = logging.getLogger("holdfast.conversations")

TEMPLATE = "conversation-summary/1"
SUMMARY_S = 60.0
_TURN_BYTES = 600
_MOST_EXCHANGES = 40
_TRIES = 4
_AT_ONCE = 2
"""Summaries that models write at the same time, in each process."""
_WAITING = 64
SOON_S = 0.5
"""A state is stored right after its turn, but not more often than this: fast turns share one write."""
_UNSTORED = 32
"""Exchanges that a stored state may lack; who reads it takes them in from the log."""
_REMEMBERED = 1_024
"""States kept in memory, a kilobyte or two each."""
_WISH = {
    "en": "Rewrite the notes on this conversation in at most six short sentences of plain text. "
    "Keep facts, names, numbers, dates, wishes and decisions of the notes and of the new turns. "
    "Newer facts replace older ones.",
    "ko": "이 대화의 메모를 짧은 문장 여섯 개 이내로 다시 쓰세요. "
    "메모와 새 대화에 나온 사실, 이름, 숫자, 날짜, 바람, 결정을 남기고, "
    "새 사실이 옛 사실을 대신합니다.",
}


class Fresh(msgspec.Struct, frozen=True, gc=False):
    """The state that this process has derived last, and what is stored of it."""

    version: int
    """Of what is stored."""
    state: State
    stored: int
    """The newest answer that the stored state knows of."""
    stored_s: float


class Folding:
    """Writes states; compare-and-swap on their version, so that no fold is ever lost."""

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        clock: Clock,
        expiry: Expiry,
        figures: Figures,
        supervisor: Supervisor,
        model: Callable[[], Model],
    ) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._expiry = expiry
        self._figures = figures
        self._supervisor = supervisor
        self._model = model
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._summarising: set[str] = set()
        self._fresh: OrderedDict[str, Fresh] = OrderedDict()
        self._unstored: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    async def advance(self, kept: Kept, exchange: Exchange, every: int | None = None) -> None:
        """Take the exchange into the state; it is stored now, or a moment later when turns come fast.

        `every`: after so many folded exchanges a model rewrites the summary; None: as the settings say.

        Of a conversation that was erased meanwhile nothing is stored, and what was left of it is removed.
        """
        async with self._alone(kept.id):
            now = self.freshest(kept)
            if now.state.seq >= exchange.seq:
                return
            state = await self.current(now, exchange)
            self._figures.folds.labels("extractive").add(max(0, state.folded - now.state.folded))
            if self._may_wait(kept.id, state):
                self._remember(kept.id, now.version, state, self._fresh[kept.id])
                self._store_soon(kept.id)
            else:
                await self._write(kept.id, now.version, state)
        if self._is_due(now.state, state, self._config.summarise_every if every is None else every):
            self._summarise_later(kept.id)

    async def stop(self) -> None:
        """Store what waits to be stored, and wait for what is being stored."""
        if self._flushing is not None:
            await asyncio.wait((self._flushing,))
        await self.flush()

    async def flush(self) -> None:
        """Store every state that waits to be stored."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._unstored:
            await self._flush(self._unstored.popitem()[0])

    async def current(self, kept: Kept, *newer: Exchange) -> State:
        """The state with everything in it that has ended, whatever was stored."""
        kept = self.freshest(kept)
        if not newer and kept.seq <= kept.state.seq:
            return kept.state
        known = [*exchanges(kept.messages), *newer]
        missed = [one for one in known if one.seq > kept.state.seq]
        if not missed:
            return kept.state
        first = missed[0].seq
        if first > kept.state.seq + 2 or known[0].seq > max(2, first - 2 * WINDOW):
            # It lags by more than was read with it: a crash, or a process that has not written it yet.
            after = max(0, kept.state.seq - 2 * WINDOW)
            rows = await self._store.messages(kept.id, after, 1_000)
            known = [*exchanges(rows), *(one for one in newer if one.seq > (rows[-1].seq if rows else 0))]
        return catch_up(kept.state, known)

    def freshest(self, kept: Kept) -> Kept:
        """The conversation with the state that this process has just derived, where that is newer."""
        fresh = self._fresh.get(kept.id)
        if fresh is None or (fresh.version, fresh.state.seq) <= (kept.version, kept.state.seq):
            return kept
        return msgspec.structs.replace(kept, version=fresh.version, state=fresh.state)

    def forget(self, conversation_ids: Iterable[str]) -> None:
        """Drop what is known of erased conversations."""
        for name in conversation_ids:
            self._fresh.pop(name, None)
            self._unstored.pop(name, None)

    # -- storing -------------------------------------------------------------------------------

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """Of those that change the state of one conversation, one at a time."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._locks[name]

    def _may_wait(self, name: str, state: State) -> bool:
        """Whether a state was stored so lately that this one may wait, and a read would make up for it."""
        fresh = self._fresh.get(name)
        return (
            fresh is not None
            and state.seq - fresh.stored < 2 * _UNSTORED
            and self._clock.monotonic() - fresh.stored_s < SOON_S
        )

    def _store_soon(self, name: str) -> None:
        self._unstored[name] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOON_S, self._begin_flush)

    def _begin_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.create_task(self.flush())

    async def _flush(self, name: str) -> None:
        """Store the state of this conversation, if it is not; when that fails, the next turn does it."""
        self._unstored.pop(name, None)
        async with self._alone(name):
            fresh = self._fresh.get(name)
            if fresh is None or fresh.stored >= fresh.state.seq:
                return
            try:
                await self._write(name, fresh.version, fresh.state)
            except Problem as problem:
                logger.warning("a conversation's state could not be stored: %s", problem.line())
            except Exception:
                logger.exception("a conversation's state could not be stored")

    async def _write(self, name: str, version: int, state: State) -> None:
        """Store the state; where somebody was faster, on top of theirs."""
        wanted = state.seq
        self._unstored.pop(name, None)
        for _ in range(_TRIES):
            if await self._keep(name, version, state):
                return
            now = await self._store.open(name)
            if now is None:
                await self._store.erase([name])
                return
            if now.state.seq >= wanted:
                return
            version, state = now.version, await self.current(now)

    async def _keep(self, name: str, version: int, state: State) -> bool:
        now_ms = int(self._clock.wall() * 1000)
        ends_ms = now_ms + int(self._config.ttl_days * 86_400_000)
        fitted, packed = packed_within(state, self._config.state_bytes)
        # Known before it is stored: the next turn of this process need not derive it again.
        self._remember(name, version + 1, fitted)
        is_kept = False
        try:
            is_kept = await self._store.keep_state(name, version, packed, now_ms, ends_ms)
        finally:
            if not is_kept:
                self._fresh.pop(name, None)
        self._figures.state_bytes.observe(len(packed))
        return is_kept

    def _remember(self, name: str, version: int, state: State, base: Fresh | None = None) -> None:
        """Keep what was derived; `base` is what is stored of it, if that is not the same."""
        stored, at_s = (state.seq, self._clock.monotonic()) if base is None else (base.stored, base.stored_s)
        self._fresh[name] = Fresh(version, state, stored, at_s)
        self._fresh.move_to_end(name)
        if len(self._fresh) > _REMEMBERED:
            self._fresh.popitem(last=False)

    # -- by a model, later ---------------------------------------------------------------------

    def _is_due(self, before: State, after: State, every: int) -> bool:
        """Whether a model is to rewrite the summary after this exchange."""
        due = every and after.folded > before.folded and (after.folded - after.modelled) % every == 0
        return bool(due) and not isinstance(self._model(), NoModel)

    def _summarise_later(self, conversation_id: str) -> None:
        if conversation_id not in self._summarising and len(self._summarising) < _WAITING:
            self._summarising.add(conversation_id)
            self._supervisor.spawn("conversations summary", partial(self._summarise, conversation_id))

    async def _summarise(self, conversation_id: str) -> None:
        """Let a model rewrite the summary; whatever fails leaves the extractive one."""
        try:
            if await self._supervisor.pause(self._config.summarise_after_s):
                return
            async with self._turns:
                by = "model" if await self.summarise(conversation_id) else "none"
            self._figures.folds.labels(by).add()
        except Problem as problem:
            self._figures.folds.labels("none").add()
            logger.info("the summary stays extractive: %s", problem.line())
        except Exception:
            self._figures.folds.labels("none").add()
            logger.exception("a conversation's summary was not rewritten; the extractive one stays")
        finally:
            self._summarising.discard(conversation_id)

    async def summarise(self, conversation_id: str) -> bool:
        """Rewrite the summary with the model, now. False when there is nothing to do or it wrote none."""
        kept = await self._stored(conversation_id)
        if kept is None or kept.state.folded <= kept.state.modelled:
            return False
        text = await self._asked_for(kept.state, kept.owner, await self._folded(kept.id, kept.state))
        if not text:
            return False
        for _ in range(_TRIES):
            read = await self._stored(conversation_id)
            if read is None:
                return False
            state = self._with(
                text, read.state, kept.state, await self._folded(kept.id, read.state, kept.state)
            )
            fitted, packed = packed_within(state, self._config.state_bytes)
            # Its age is that of its last message, not of this.
            if await self._store.keep_state(kept.id, read.version, packed, read.updated_ms, read.expires_ms):
                self._remember(kept.id, read.version + 1, fitted)
                return True
        return False

    async def _stored(self, conversation_id: str) -> Kept | None:
        """The conversation with a state that has everything in it that this process knows."""
        await self._flush(conversation_id)
        return await self._store.open(conversation_id)

    async def _folded(self, conversation_id: str, state: State, since: State | None = None) -> list[Exchange]:
        """The exchanges in the summary that no model has summarised; or those folded since another state."""
        first = state.modelled if since is None else since.folded
        first = max(first, state.folded - _MOST_EXCHANGES)
        if state.folded <= first:
            return []
        rows = await self._store.messages(conversation_id, 2 * first, 2 * (state.folded - first))
        return exchanges(rows)

    async def _asked_for(self, state: State, owner: str, turns: Sequence[Exchange]) -> str:
        notes = " ".join(state.summary)
        said = "\n".join(
            f"user: {shorten(one.user, _TURN_BYTES)}\nassistant: {shorten(one.remembered, _TURN_BYTES)}"
            for one in turns
        )
        wish = _WISH["ko" if is_korean(said or notes) else "en"]
        ask = Ask(
            messages=(Turn("system", wish), Turn("user", f"{notes}\n\n{said}")),
            purpose="summary",
            template=TEMPLATE,
            user=owner,
            max_tokens=400,
            total_s=SUMMARY_S,
        )
        with phase("a summary", SUMMARY_S, of="the model", clock=self._clock, expiry=self._expiry):
            reply = await self._model().complete(ask)
        # The extractive model quotes, it does not summarise; a stand-in or half a summary is worse than ours.
        whole = reply.generated_by != "extractive" and not reply.degraded and reply.finish_reason == "stop"
        return reply.text.strip() if whole else ""

    @staticmethod
    def _with(text: str, state: State, base: State, later: Sequence[Exchange]) -> State:
        """The state with the model's text for what `base` had folded, and `later` folds on top of it."""
        summary = written(text, SUMMARY_BYTES)
        for exchange in later:
            summary = fold(summary, exchange.user, exchange.remembered, SUMMARY_BYTES)
        return msgspec.structs.replace(state, summary=summary, modelled=base.folded)
