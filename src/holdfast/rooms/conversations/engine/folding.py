"""Keeps a conversation's state in step with its log, extractively at once, by a model perhaps later.

Nothing here may fail a turn: a state that lags behind takes in what it has missed the next time.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Problem
from holdfast.kernel.guard.expiry import Expiry
from holdfast.kernel.guard.timeouts import phase
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.model import Ask, Model, NoModel, Turn
from holdfast.rooms.conversations.engine.figures import Figures
from holdfast.rooms.conversations.rules.graphemes import shorten
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
        self._fresh: OrderedDict[str, tuple[int, State]] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    async def advance(self, kept: Kept, exchange: Exchange) -> None:
        """Take the exchange into the state and store it. A conversation erased meanwhile stays erased."""
        lock = self._locks.setdefault(kept.id, asyncio.Lock())
        self._waiting[kept.id] = self._waiting.get(kept.id, 0) + 1
        try:
            async with lock:
                await self._advance(self._freshest(kept), exchange)
        finally:
            self._waiting[kept.id] -= 1
            if not self._waiting[kept.id]:
                del self._waiting[kept.id], self._locks[kept.id]

    async def current(self, kept: Kept, *newer: Exchange) -> State:
        """The state with everything in it that has ended, whatever was stored."""
        kept = self._freshest(kept)
        known = [*exchanges(kept.messages), *newer]
        missed = [one for one in known if one.seq > kept.state.seq]
        if not missed:
            return kept.state
        if missed[0].seq > kept.state.seq + 2:
            # It lags by more than was read with it: a crash, or states of a process that could not write.
            after = max(0, kept.state.seq - 2 * WINDOW)
            rows = await self._store.messages(kept.id, after, 1_000)
            known = [*exchanges(rows), *(one for one in newer if one.seq > (rows[-1].seq if rows else 0))]
        return catch_up(kept.state, known)

    async def _advance(self, now: Kept | None, exchange: Exchange) -> None:
        name = now.id if now is not None else ""
        for _ in range(_TRIES):
            if now is None:
                await self._store.erase([name])
                return
            if now.state.seq >= exchange.seq:
                return
            state = await self.current(now, exchange)
            if await self._keep(now, state):
                self._figures.folds.labels("extractive").add(max(0, state.folded - now.state.folded))
                self._summarise_later(name, now.state, state)
                return
            now = await self._store.open(name)

    async def _keep(self, kept: Kept, state: State) -> bool:
        now_ms = int(self._clock.wall() * 1000)
        ends_ms = now_ms + int(self._config.ttl_days * 86_400_000)
        fitted, packed = packed_within(state, self._config.state_bytes)
        # Known before it is stored: the next turn of this process need not derive it again.
        self._remember(kept.id, kept.version + 1, fitted)
        is_kept = False
        try:
            is_kept = await self._store.keep_state(kept.id, kept.version, packed, now_ms, ends_ms)
        finally:
            if not is_kept:
                self._fresh.pop(kept.id, None)
        self._figures.state_bytes.observe(len(packed))
        return is_kept

    def _remember(self, conversation_id: str, version: int, state: State) -> None:
        self._fresh[conversation_id] = (version, state)
        self._fresh.move_to_end(conversation_id)
        if len(self._fresh) > _REMEMBERED:
            self._fresh.popitem(last=False)

    def _freshest(self, kept: Kept) -> Kept:
        """The conversation with the state that this process has just derived, where that is newer."""
        version, state = self._fresh.get(kept.id, (-1, kept.state))
        return msgspec.structs.replace(kept, version=version, state=state) if version > kept.version else kept

    # -- by a model, later ---------------------------------------------------------------------

    def _summarise_later(self, conversation_id: str, before: State, after: State) -> None:
        every = self._config.summarise_every
        due = every and after.folded > before.folded and (after.folded - after.modelled) % every == 0
        if not due or isinstance(self._model(), NoModel):
            return
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
        kept = await self._store.open(conversation_id)
        if kept is None or kept.state.folded <= kept.state.modelled:
            return False
        text = await self._asked_for(kept.state, kept.owner, await self._folded(kept.id, kept.state))
        if not text:
            return False
        read: Kept | None = kept
        for _ in range(_TRIES):
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
            read = await self._store.open(conversation_id)
        return False

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
