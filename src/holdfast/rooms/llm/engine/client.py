"""The stack around every call: exact cache, single flight, budget, attempts, account. One deadline over all.

    request -> cache -> flight -> budget -> attempts (breaker, bulkhead, limits, retry, fallback) -> account
       ^        |         |                                                            |
       |      fresh     joined                                                     keep, settle
       +--------+---------+-------------- answer ---------------------------------------+

Whole answers and streams take the same way: a stream is a flight whose parts are passed on as they come.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import current_ctx
from holdfast.kernel.errors import Problem
from holdfast.kernel.guard import Budget, Retry, TimedOut
from holdfast.ports.model import ModelFailed, ModelTimedOut
from holdfast.rooms.llm.engine.accounts import Account, Accounts
from holdfast.rooms.llm.engine.answers import Answers, Kept
from holdfast.rooms.llm.engine.attempts import (
    Attempt,
    Limits,
    Opened,
    all_chunks,
    ask_vectors,
    ask_whole,
    open_stream,
)
from holdfast.rooms.llm.engine.degraded import Degraded
from holdfast.rooms.llm.engine.flights import Flight, Flights
from holdfast.rooms.llm.engine.meaning import Meaning
from holdfast.rooms.llm.engine.paths import Path, Paths
from holdfast.rooms.llm.engine.streaming import Replay, Streamed
from holdfast.rooms.llm.engine.telling import broken_off, too_late
from holdfast.rooms.llm.engine.tries import Tries
from holdfast.rooms.llm.rules.asking import Answered, Body, Request
from holdfast.rooms.llm.rules.assembly import Assembly
from holdfast.rooms.llm.rules.denials import BudgetExceeded
from holdfast.rooms.llm.rules.failures import ProviderFailed
from holdfast.rooms.llm.rules.keys import is_cacheable, is_storable, request_key
from holdfast.rooms.llm.rules.problems import unknown_model
from holdfast.rooms.llm.rules.settings import EXTRACTIVE, Config

logger = logging.getLogger("holdfast.llm")

Air = Flight[Answered, Body]


class Work:
    """One kind of whole answer, and how it is asked for."""

    __slots__ = ("ask", "name")

    def __init__(self, name: str, ask: Callable[[Path, Body, Limits, Attempt], Awaitable[Body]]) -> None:
        self.name = name
        self.ask = ask


CHAT = Work("chat", ask_whole)
VECTORS = Work("vectors", ask_vectors)


class Voyage:
    """What one flight carries: how long it may take, and what is known of its answer so far."""

    __slots__ = ("limits", "told")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.told = Answered(source="fresh")


class LlmClient:
    """Answers requests, whole or as streams. Raises Problem for whatever nobody could answer."""

    def __init__(
        self,
        config: Config,
        paths: Paths,
        *,
        answers: Answers,
        accounts: Accounts,
        meaning: Meaning | None,
        degraded: Degraded,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.config = config
        self.paths = paths
        self._answers = answers
        self._accounts = accounts
        self._meaning = meaning
        self._degraded = degraded
        self._clock = clock
        self._rng = rng
        self._flights: Flights[Answered, Body] = Flights()
        self._number = 0
        self._budgets: dict[str, Budget] = {}
        self._retry = Retry(
            on=ProviderFailed,
            attempts=1_000,
            first_s=config.first_wait_s,
            longest_s=config.longest_wait_s,
            longest_hint_s=config.longest_retry_after_s,
        )

    @property
    def under_way(self) -> int:
        return len(self._flights)

    def model_of(self, asked: str) -> str:
        """The public model that a name means; raises UnknownModel."""
        public = self.paths.public
        if asked in public:
            return asked
        default = self.config.default_model or next(iter(self.config.deployments), EXTRACTIVE)
        if default not in public:
            default = next(iter(public))
        takes_any = self.config.any_model
        if not asked or (not self.config.deployments if takes_any is None else takes_any):
            return default
        raise unknown_model(asked, list(public))

    async def close(self) -> None:
        """Stop what nobody waits for any more, before the ledger closes."""
        await self._flights.close()

    # -- whole answers ---------------------------------------------------------------------------

    async def whole(self, request: Request, work: Work) -> Answered:
        """The whole answer."""
        key, kept, known = await self._known(request, work)
        if known is not None:
            return known
        limits = self._limits(request)
        while True:
            flight, joined = self._join(
                f"{work.name}:{key}", partial(self._produce_whole, work), request, key, limits
            )
            try:
                with limits.patience():
                    answered = await flight.answer()
            except BudgetExceeded:
                if not joined:
                    raise
                continue  # it was another's budget: this caller's own may do
            except TimedOut as late:
                return await self._instead(request, kept, too_late(late))
            except (ModelFailed, ModelTimedOut) as problem:
                return await self._instead(request, kept, problem)
            if not joined:
                return answered
            mine = msgspec.structs.replace(answered, source="coalesced", cost=0)
            self._accounts.free(request, mine)
            return mine

    async def _produce_whole(self, work: Work, request: Request, key: str, flight: Air) -> Answered:
        settings, limits = self.config.settings_of(request.model), flight.about.limits
        account = await self._accounts.open(request)
        try:
            answer, made = await self._tries(request, account).run(
                partial(_asked, work, request.body), limits, settings.hedge_s
            )
            answered = account.settle(answer, made)
        except BaseException:
            account.abandon()
            raise
        await self._keep(key, request, answered, work, made.path)
        return answered

    # -- streams ---------------------------------------------------------------------------------

    async def stream(self, request: Request) -> Streamed:
        """The answer as a stream that has begun: its first content is here. To be closed by the caller."""
        key, kept, known = await self._known(request, CHAT)
        if known is not None:
            return Streamed(known, Replay(known.body))
        limits = self._limits(request)
        while True:
            flight, joined = self._join(f"s:{key}", self._produce_stream, request, key, limits)
            try:
                with limits.patience():
                    listening = await flight.begun()
            except BudgetExceeded:
                if not joined:
                    raise
                continue
            except TimedOut as late:
                found = await self._instead(request, kept, too_late(late))
                return Streamed(found, Replay(found.body))
            except (ModelFailed, ModelTimedOut) as problem:
                found = await self._instead(request, kept, problem)
                return Streamed(found, Replay(found.body))
            told: Answered = flight.about.told
            if joined:
                told = msgspec.structs.replace(told, source="coalesced", cost=0)
                self._accounts.free(request, told)
            return Streamed(told, listening, limits)

    async def _produce_stream(self, request: Request, key: str, flight: Air) -> Answered:
        settings, limits, told = (
            self.config.settings_of(request.model),
            flight.about.limits,
            flight.about.told,
        )
        account = await self._accounts.open(request)
        whole = Assembly()
        try:
            if settings.rescue == "restart":
                chunks, made = await self._tries(request, account).run(
                    partial(_chunks, request.body), limits, settings.hedge_s
                )
                self._begin(told, made, account)
                for chunk in chunks:
                    whole.add(chunk)
                    flight.emit(chunk)
            else:
                opened, made = await self._tries(request, account).run(partial(_opened, request.body), limits)
                self._begin(told, made, account)
                await self._pass_on(opened, whole, flight, account, made)
            answered = account.settle(whole.answer(), made, told)
        except BaseException:
            account.abandon()
            raise
        await self._keep(key, request, answered, CHAT, made.path)
        return answered

    def _begin(self, told: Answered, made: Attempt, account: Account) -> None:
        told.provider, told.deployment = made.path.provider.name, made.path.name
        told.attempts, told.upstream_s = account.attempts + 1, made.seconds

    async def _pass_on(
        self, opened: Opened, whole: Assembly, flight: Air, account: Account, made: Attempt
    ) -> None:
        """Chunks as they come; what breaks off is charged for what has come, and told in band."""
        try:
            async for chunk in opened:
                whole.add(chunk)
                flight.emit(chunk)
        except BaseException as caught:
            made.failed = caught
            account.broke_off(made, whole.answer())
            if isinstance(caught, ProviderFailed):
                raise broken_off(caught) from caught
            raise
        finally:
            await opened.aclose()

    # -- the parts of both -----------------------------------------------------------------------

    def _join(
        self,
        name: str,
        produce: Callable[[Request, str, Air], Awaitable[Answered]],
        request: Request,
        key: str,
        limits: Limits,
    ) -> tuple[Air, bool]:
        """The flight of that name, and whether it was under way: then it plans for this one's time too."""
        flight, joined = self._flights.join(name, partial(produce, request, key))
        if joined:
            flight.about.limits.extend(limits.until)
        else:
            flight.about = Voyage(limits.of_flight())
        return flight, joined

    async def _known(self, request: Request, work: Work) -> tuple[str, Kept | None, Answered | None]:
        """The key of the flight, what is kept that might stand in, and the answer where there is one now."""
        answers = self._answers
        if not answers.enabled or not is_cacheable(request.body, self.config.cache.sampled):
            self._number += 1
            return f"#{self._number}", None, None
        key = request_key({**request.body, "model": request.model}, request.payer.tenant, request.template)
        if not request.reads_cache:
            return key, None, None
        kept = await answers.find(key)
        if kept is None:
            return key, None, await self._meant(request, key) if work is CHAT else None
        fresh = answers.freshness(kept, request.purpose)
        if fresh == "old":
            return key, kept, None
        if fresh == "stale":
            self._refresh(request, key, work)
        known = answers.of(kept, "cached" if fresh == "fresh" else "stale")
        self._accounts.free(request, known)
        return key, kept, known

    async def _meant(self, request: Request, key: str) -> Answered | None:
        """The answer to a question that means the same, where that is asked for."""
        if self._meaning is None:
            return None
        same = self._meaning.find(request, key)
        if not same:
            return None
        kept = await self._answers.find(same)
        if kept is None or self._answers.freshness(kept, request.purpose) == "old":
            return None
        known = self._answers.of(kept, "semantic")
        self._accounts.free(request, known)
        return known

    def _refresh(self, request: Request, key: str, work: Work) -> None:
        """Make a new answer behind the caller's back, unless somebody does."""
        total_s = self.config.settings_of(request.model).total_s
        limits = Limits(self._clock, self._clock.monotonic() + total_s)
        produce = partial(self._produce_whole, work)
        flight, joined = self._join(f"{work.name}:{key}", produce, request, key, limits)
        if not joined:
            flight.pin()

    async def _instead(self, request: Request, kept: Kept | None, problem: Problem) -> Answered:
        """What is served when no answer can be had: an older one, a stand-in, or the problem."""
        if not problem.retryable:
            raise problem
        if kept is not None and self._answers.stands_in(kept, request.purpose):
            found = self._answers.of(kept, "stale")
        else:
            settings = self.config.settings_of(request.model)
            instead = await self._degraded.answer(request, settings.degraded)
            if instead is None:
                raise problem
            found = instead
        self._accounts.free(request, found)
        return found

    async def _keep(self, key: str, request: Request, answered: Answered, work: Work, path: Path) -> None:
        if key.startswith("#") or not request.writes_cache:
            return
        models = path.answers_as(request.model)
        if not is_storable(answered.body, models):
            if is_storable(answered.body):
                _estranged(path, answered.model)
            return
        await self._answers.keep(key, request, answered)
        if self._meaning is not None and work is CHAT:
            other = self._meaning.add(request, key)
            known = await self._answers.find(other) if other else None
            if known is not None:
                self._meaning.judge(other, answered.body, known.answered.body)

    def _tries(self, request: Request, account: Account) -> Tries:
        budget = self._budgets.get(request.model)
        if budget is None:
            budget = self._budgets[request.model] = Budget(self.config.retries, self.config.retries_floor)
        return Tries(
            self.paths.of(request.model),
            self._retry,
            budget,
            clock=self._clock,
            chance=self._rng.random,
            told=account.attempted,
        )

    def _limits(self, request: Request) -> Limits:
        """By the model's setting, the caller's wish and the request's deadline, whichever is first."""
        now, total_s = self._clock.monotonic(), self.config.settings_of(request.model).total_s
        ends = until = now + total_s
        if request.total_s is not None:
            until = min(until, now + request.total_s)
        ctx = current_ctx()
        remaining_s = None if ctx is None else ctx.remaining_s()
        if remaining_s is not None:
            until = min(until, now + remaining_s)
        return Limits(self._clock, until, ends=ends, first_token_s=request.first_token_s)


def _asked(work: Work, body: Body, path: Path, limits: Limits, made: Attempt) -> Awaitable[Body]:
    return work.ask(path, body, limits, made)


def _opened(body: Body, path: Path, limits: Limits, made: Attempt) -> Awaitable[Opened]:
    return open_stream(path, body, limits, made)


def _chunks(body: Body, path: Path, limits: Limits, made: Attempt) -> Awaitable[list[Body]]:
    return all_chunks(path, body, limits, made)


def _estranged(path: Path, model: str) -> None:
    """Say once that answers are not kept because another model gave them."""
    if path.stranger != model:
        path.stranger = model
        logger.warning(
            "%s answers as %.100r, not as %.100r: its answers are not kept; "
            "if that is as it should be, name it in llm.deployments.%s.answers_as",
            *(path.name, model, path.upstream, path.name.partition("#")[0]),
        )
