"""The account of every call: what is reserved for it, what each attempt cost, whose it was, and what is told.

A row for each attempt that may have been charged: failed ones, cancelled ones and losers of hedges too, with
an estimate where the provider said nothing. Whoever gets an answer for nothing (kept, or shared with another
call) has a row of cost 0.
"""

from collections.abc import Callable
from typing import Any

from holdfast.kernel.clock import Clock, Stamps
from holdfast.kernel.event import LlmCall
from holdfast.ports.services import EventLog
from holdfast.rooms.llm.engine.attempts import Attempt
from holdfast.rooms.llm.engine.budgets import Budgets, Reservation
from holdfast.rooms.llm.engine.figures import Figures
from holdfast.rooms.llm.engine.ledger import Ledger
from holdfast.rooms.llm.engine.paths import Path
from holdfast.rooms.llm.rules.asking import Answered, Body, Request, most_tokens
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.ledger import CACHED, CANCELLED, COALESCED, HEDGE_LOST, OK, Entry, failed
from holdfast.rooms.llm.rules.prices import Prices, Tokens, price_of
from holdfast.rooms.llm.rules.tokens import Calibration, answer_tokens, prompt_tokens

_ANSWER_TOKENS = 1_024
"""Reserved for an answer whose length the caller does not bound."""
_MOST_TOKENS = 1_000_000_000
"""In one answer: no model has so many, and every store counts them."""
_UNCHARGED = frozenset(
    {
        Kind.CONNECTION, Kind.RATE_LIMITED, Kind.QUOTA, Kind.OVERLOADED, Kind.SERVER, Kind.AUTH,
        Kind.NOT_FOUND, Kind.CONTEXT_LENGTH, Kind.TOO_LARGE, Kind.BAD_REQUEST,
    }
)  # fmt: skip
"""Failures that no provider charges for: it refused, or never got to the prompt."""


class Accounts:
    """Opens an account a call. What it learns of estimates it keeps by upstream model."""

    def __init__(
        self,
        budgets: Budgets,
        ledger: Ledger,
        prices: Prices,
        figures: Figures,
        log: EventLog,
        *,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self.figures = figures
        self._budgets = budgets
        self._ledger = ledger
        self.prices = prices
        self._log = log
        self._clock = clock
        self._stamps = Stamps()
        self._new_id = new_id
        self._calibrations: dict[str, Calibration] = {}

    async def open(self, request: Request) -> "Account":
        """Reserve what the call may cost; raises BudgetExceeded."""
        counted = prompt_tokens(request.body)
        estimate = self.calibrated(request.model, counted)
        wanted = Tokens(estimate, most_tokens(request.body, _ANSWER_TOKENS))
        price = self.prices.of(request.model)
        held = await self._budgets.reserve(request.payer, tokens=wanted.total, cost=price_of(price, wanted))
        return Account(self, request, held, estimate, counted)

    def probed(
        self, path: Path, body: Body, began: float, answer: Body | None, error: BaseException | None
    ) -> None:
        """A probe of ours: it costs like any call, and goes on nobody's account."""
        made = Attempt(path, 1, began)
        made.failed = error
        request = Request(body=body, model=path.upstream, purpose="probe")
        counted = prompt_tokens(body)
        Account(self, request, Reservation(None, None), counted, counted).probed(made, answer)

    def free(self, request: Request, answered: Answered) -> None:
        """An answer that cost nothing: kept, shared, or a stand-in. One that was simply kept has no row."""
        self.figures.answer(request.model, answered.source)
        if answered.source == "cached":
            self._ledger.served(request.payer, answered.provider)
            return
        outcome = COALESCED if answered.source == "coalesced" else CACHED
        self._ledger.write(
            self.entry(
                request,
                outcome=outcome,
                provider=answered.provider,
                deployment=answered.deployment,
                upstream_model=answered.model,
                tokens_in=answered.input_tokens,
                tokens_out=answered.output_tokens,
                attempt=0,
                paid_by=answered.row,
            )
        )

    def entry(self, request: Request, **more: Any) -> Entry:
        """The row of a request; `more`: what became of it, by the row's names."""
        payer = request.payer
        return Entry(
            id=self._new_id(),
            at_ms=int(self._clock.wall() * 1000),
            request_id=request.request_id,
            trace_id=request.trace_id,
            tenant=payer.tenant,
            user=payer.user,
            key_id=payer.key,
            model=request.model,
            purpose=request.purpose,
            **more,
        )

    def calibrated(self, model: str, estimate: int) -> int:
        known = self._calibrations.get(model)
        return estimate if known is None else known.apply(estimate)

    def learn(self, model: str, estimated: int, actual: int) -> None:
        """What the provider counted for what we had estimated; of a bounded number of models."""
        if len(self._calibrations) < 1_000 or model in self._calibrations:
            self._calibrations[model] = self._calibrations.get(model, Calibration()).observe(
                estimated, actual
            )

    def seconds_since(self, began: float) -> float:
        return self._clock.monotonic() - began

    def record(self, request: Request, entry: Entry, seconds: float, error: BaseException | None) -> None:
        """The row in the ledger, and the call on the event log."""
        self._ledger.write(entry)
        self._log.append(
            LlmCall(
                timestamp=self._stamps.iso(self._clock.wall()),
                trace_id=request.trace_id,
                request_id=request.request_id,
                user_id=request.payer.user,
                provider=entry.provider,
                model=entry.model,
                input_tokens=entry.tokens_in,
                output_tokens=entry.tokens_out,
                cost=entry.cost / 1e9,
                duration_ns=int(seconds * 1e9),
                outcome=entry.outcome,
                error_type=type(error).__name__ if error is not None else "",
                error_message=str(error)[:500] if error is not None else "",
                facts={"deployment": entry.deployment, "attempt": entry.attempt, "purpose": entry.purpose},
            )
        )


class Account:
    """One call's account: told of each attempt, then settled or abandoned; both give the reservation back."""

    __slots__ = ("_accounts", "_counted", "_estimate", "_held", "_lost", "_request", "attempts")

    def __init__(
        self, accounts: Accounts, request: Request, held: Reservation, estimate: int, counted: int
    ) -> None:
        self._accounts = accounts
        self._request = request
        self._held = held
        self._estimate = estimate
        self._counted = counted
        """The same before what was learned of the model."""
        self._lost = (0, 0)
        """Tokens and nano-dollars of attempts that failed and may have been charged all the same."""
        self.attempts = 0
        """How many have failed."""

    def attempted(self, made: Attempt) -> None:
        """An attempt that gave no answer. One that was never sent, because too many are, has no row."""
        self.attempts += 1
        error = made.failed
        if isinstance(error, ProviderFailed) and error.kind is Kind.BUSY:
            self._accounts.figures.attempt(made.path, Kind.BUSY.value, made.number, self._request.model)
            return
        if isinstance(error, ProviderFailed) and error.partial is not None:
            self.broke_off(made, error.partial)
            return
        charged = made.sent and not (isinstance(error, ProviderFailed) and _is_free(error))
        self._row(made, Tokens(self._estimate if charged else 0), made.path.upstream, estimated=charged)

    def probed(self, made: Attempt, answer: Body | None) -> None:
        """One row, and nothing to settle."""
        if answer is None:
            self.attempted(made)
        else:
            tokens, estimated = self._tokens(answer)
            self._row(made, tokens, str(answer.get("model") or made.path.upstream), estimated=estimated)

    def broke_off(self, made: Attempt, partial: Body) -> None:
        """A stream that ended before it was whole: charged for what has come of it."""
        tokens, estimated = self._tokens(partial)
        self._row(made, tokens, str(partial.get("model") or made.path.upstream), estimated=estimated)

    def settle(self, answer: Body, made: Attempt, told: Answered | None = None) -> Answered:
        """The answer and what it came to; `told` is filled in where a caller holds it already."""
        tokens, estimated = self._tokens(answer)
        model = str(answer.get("model") or made.path.upstream)
        cost, row = self._row(made, tokens, model, estimated=estimated)
        self._held.settle(self._lost[0], self._lost[1])
        accounts, request = self._accounts, self._request
        if not estimated:
            accounts.learn(request.model, self._counted, tokens.input)
        accounts.figures.answer(request.model, "fresh")
        accounts.figures.took(made.path, made.seconds, first=told is not None, trace_id=request.trace_id)
        found = told if told is not None else Answered(source="fresh")
        found.provider, found.deployment, found.model = made.path.provider.name, made.path.name, model
        found.attempts, found.upstream_s, found.body = made.number, made.seconds, answer
        found.input_tokens, found.output_tokens = tokens.input, tokens.output
        found.estimated, found.cost, found.row = estimated, cost, row
        return found

    def abandon(self) -> None:
        """There is no answer: what failed attempts may have been charged stays, the rest goes back."""
        self._held.settle(self._lost[0], self._lost[1])

    def _row(self, made: Attempt, tokens: Tokens, model: str, *, estimated: bool) -> tuple[int, str]:
        """One attempt's row; its cost in nano-dollars, and its id."""
        accounts, path = self._accounts, made.path
        price = accounts.prices.of(model, path.upstream, self._request.model)
        cost = price_of(price, tokens)
        self._lost = (self._lost[0] + tokens.total, self._lost[1] + cost)
        outcome = _outcome(made)
        seconds = made.seconds or accounts.seconds_since(made.began)
        entry = accounts.entry(
            self._request,
            provider=path.provider.name,
            deployment=path.name,
            upstream_model=model,
            outcome=outcome,
            attempt=made.number,
            tokens_in=tokens.input,
            tokens_out=tokens.output,
            tokens_cached=tokens.cached,
            estimated=estimated,
            cost=cost,
            unpriced=not price.priced,
            latency_ms=int(seconds * 1000),
        )
        accounts.record(self._request, entry, seconds, made.failed)
        accounts.figures.attempt(path, outcome.partition(":")[2] or outcome, made.number, self._request.model)
        accounts.figures.spent(path, tokens.input, tokens.output, cost)
        return cost, entry.id

    def _tokens(self, answer: Body) -> tuple[Tokens, bool]:
        """As the provider counted, else as we estimate, and whether it is an estimate."""
        usage = answer.get("usage")
        if isinstance(usage, dict) and isinstance(usage.get("prompt_tokens"), int):
            details = usage.get("prompt_tokens_details")
            cached = details.get("cached_tokens") if isinstance(details, dict) else 0
            counts = (usage["prompt_tokens"], usage.get("completion_tokens"), cached)
            return Tokens(*map(_count, counts)), bool(usage.get("estimated"))
        return Tokens(self._estimate, answer_tokens(answer)), True


def _count(told: object) -> int:
    """A number of tokens as a provider tells it; nonsense is none, and none is beyond counting."""
    if isinstance(told, bool) or not isinstance(told, int):
        return 0
    return min(max(0, told), _MOST_TOKENS)


def _is_free(failed: ProviderFailed) -> bool:
    """Whether no provider charges for it."""
    return failed.kind in _UNCHARGED or failed.phase in ("connect", "wait")


def _outcome(made: Attempt) -> str:
    error = made.failed
    if error is None:
        return OK
    if isinstance(error, ProviderFailed):
        return failed(error.kind.value)
    if isinstance(error, Exception):
        return failed("unknown")
    return HEDGE_LOST if made.lost else CANCELLED
