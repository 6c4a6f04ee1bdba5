"""Asked once a request: a place from the shedder, then one charge over every limit that holds here.

The ordinary decision (one GCRA limit, counts in this process, a loop that is on time) is one frame, and the
ordinary end of a request another: no call of ours, no coroutine, one small object. Inside a server that
is what counts: some 200 bytecodes for both cost 2 % of the smallest request, and 370, as it once
was, 7 %. So `admit` and `release` do what `LocalLedger.hit`, `Shedder.enter`, `Shedder.leave` and
`Law.observe` would; everything else leaves by a call of its own.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import Ctx
from holdfast.kernel.errors import Problem
from holdfast.kernel.event import Event
from holdfast.ports.services import Scope
from holdfast.rooms.limits.engine.ledger import Ledger
from holdfast.rooms.limits.engine.local import LocalLedger
from holdfast.rooms.limits.engine.plans import Plan, Plans, remember
from holdfast.rooms.limits.engine.shedder import Lane, Place
from holdfast.rooms.limits.engine.terms import ALMOST, Book, Line, Terms
from holdfast.rooms.limits.engine.who import who
from holdfast.rooms.limits.rules import headers
from holdfast.rooms.limits.rules.charge import Charge, Verdict
from holdfast.rooms.limits.rules.keys import by_address
from holdfast.rooms.limits.rules.policy import NORMAL
from holdfast.rooms.limits.rules.problems import refusal


class Shedder(Protocol):
    """Decides how many may be inside at once. Stands before the limits."""

    load: float
    """0 idle, 1 full, more when callers wait."""

    def enter(self, work: str, priority: int, deadline: float | None = None) -> Any:
        """A Place, a Problem (503), or an awaitable of either where the caller has to wait.

        `work` names the class of work (the action): times of different classes are never mixed.
        `priority` is 0 for what is kept longest, 3 for what gives way first. `deadline`: monotonic
        seconds after which nobody waits for the answer. A caller that stops waiting is cancelled in
        the awaitable, which then leaves nothing behind.
        """
        ...

    def leave(self, place: Any, failed: bool = False, sample: bool = True) -> None:
        """The work has ended. A failure, or `sample=False` (a stream), says nothing of how fast we are."""
        ...

    def lane(self, work: str) -> Lane:
        """The class of work itself, for whoever passes it at every request."""
        ...

    def hear(self, told: Callable[[float], None]) -> None:
        """Have `told` called with every new `load`."""
        ...

    def forget(self, place: Any) -> None:
        """The work was never done: refused by a limit, or the client has left."""
        ...


class LimitsAdmission:
    """The Admission of the edge. Event loop only."""

    def __init__(
        self, *, clock: Clock, plans: Plans, book: Book, ledger: Ledger, shedder: Shedder | None = None
    ) -> None:
        self.plans = plans
        self.book = book
        self.ledger = ledger
        self.shedder = shedder
        self.sources: dict[str, int] = {}
        """Decisions that were not the short way's, by where they were made."""
        self._by_charge = 0
        self._monotonic = clock.monotonic
        # The short way: what it needs of the plans, the book and the table, at arm's length.
        self._is_short = isinstance(ledger, LocalLedger)
        local = ledger if isinstance(ledger, LocalLedger) else LocalLedger(clock.monotonic)
        self._hit = local.hit
        self._table = cast("dict[str, float]", local.table)  # `namespace` keeps GCRA's keys to floats
        self._shorts: dict[str, tuple[Line, Lane | None, Plan]] = {}
        self._until = self._load_to = -math.inf
        self._load_from = math.inf
        if shedder is not None:
            shedder.hear(self._hear)

    def admit(self, scope: Scope, ctx: Ctx) -> Problem | Awaitable[Problem | None] | None:
        """None lets the request in; a Problem is its answer; an awaitable of either where it must wait."""
        try:
            line, lane, plan = self._shorts[scope["path"]]
        except KeyError:
            return self._admit_by_plan(scope, ctx)
        read = self._monotonic  # a callable attribute is cheaper read than called in one step
        now = read()
        if now >= self._until or (lane is not None and not lane.pulse.is_calm):
            self._look(now)
        event = ctx.event
        try:
            terms = line.terms[event.tier]
        except KeyError:
            terms = self.book.terms(line, event.tier)
        if lane is not None:
            # What `Shedder.enter` does where there is nothing to consider.
            if lane.pulse.is_calm and lane.inside < lane.places[terms.priority] and scope["type"] == "http":
                lane.inside += 1
                ctx.admitted = Place(lane, now)
            elif (answer := self._enter(scope, ctx, plan, terms.priority)) is not None:
                return answer
        user = event.user_id
        if user and line.by_user:
            key = terms.user_key + user
        elif line.by_address:
            try:
                key = line.keys[ctx.client_ip]
            except KeyError:
                key = self._key_of_address(line, terms, ctx.client_ip)
        else:
            key = terms.key + who(line.by, scope, ctx, plan.route)
        table = self._table
        try:
            full_at = table[key]
        except KeyError:
            debt_s = self._hit(key, terms.cost_s, terms.whole_s, now)
            if debt_s < 0:
                return self._refuse(ctx, line, terms, -debt_s)
        else:
            if full_at <= now and terms.untouched is not None:
                table[key] = now + terms.cost_s
                line.passed += 1
                ctx.headers = terms.untouched
                return None
            debt_s = terms.cost_s if full_at <= now else full_at - now + terms.cost_s
            if debt_s > terms.limit_s:
                return self._refuse(ctx, line, terms, debt_s - terms.whole_s)
            table[key] = now + debt_s
        line.passed += 1
        if debt_s > terms.near_s:
            event.note(limit=line.name, limit_remaining=int(terms.units - debt_s * terms.rate))
        ctx.headers = terms.states.get(int(debt_s * terms.fine + ALMOST)) or terms.fields(debt_s)
        return None

    def _enter(
        self, scope: Scope, ctx: Ctx, plan: Plan, priority: int
    ) -> Problem | Awaitable[Problem | None] | None:
        """A place for the request, on its Ctx; or its answer, or what becomes one after a wait."""
        if self.shedder is None or scope["type"] != "http":
            return None
        place = self.shedder.enter(plan.work, priority, ctx.deadline)
        if place.__class__ is Place:
            ctx.admitted = place
            return None
        return place if isinstance(place, Problem) else self._queue(place, scope, ctx, plan)

    def _key_of_address(self, line: Line, terms: Terms, address: str) -> str:
        """Where an address is counted, remembered for the short way."""
        found = terms.key + by_address(address)
        remember(line.keys, address, found)
        return found

    def release(self, ctx: Ctx) -> None:
        """The request has ended: give its place back. Twice is once."""
        place, event = ctx.admitted, ctx.event
        if place is None:
            return
        ctx.admitted = None
        lane = place.lane
        if lane is None or event.stream or event.ended or not 0 < event.status < 500 or lane.line.size:
            self._leave(place, event)
            return
        # What `Shedder.leave` does where nobody waits and the latency is one of many.
        read, law = self._monotonic, lane.law
        now = read()
        if now >= law.due:
            self._leave(place, event)
            return
        law.latencies.append(now - place.since)
        law.crowd += lane.inside
        lane.inside -= 1

    def _leave(self, place: Any, event: Event) -> None:
        """The place goes back by the shedder: somebody may be waiting for it, or there is more to say."""
        if self.shedder is None:
            return
        if event.stream:
            self.shedder.leave(place, sample=False)  # however it ended: it lasts as long as one listens
        elif event.ended or not event.status:
            self.shedder.forget(place)
        else:
            self.shedder.leave(place, event.status >= 500)

    def terms_of(self, line: Line, tier: str) -> Terms:
        """The line's terms for a tier, at this hour and load."""
        self._look(self._monotonic())
        return self.book.terms(line, tier)

    @property
    def local_decisions(self) -> int:
        """Decisions made in process memory: those of `settle`, and the short way's."""
        passed = sum(line.passed for line in self.book.lines)
        return self.sources.get("local", 0) + passed - self._by_charge

    @property
    def load(self) -> float:
        return 0.0 if self.shedder is None else self.shedder.load

    def _look(self, now: float) -> None:
        """Where the hour or the load has changed: bring the book up to date and keep what it says."""
        book = self.book
        if now < self._until and self._load_from <= self.load < self._load_to:
            return
        book.turn(now, self.load)
        self._until, self._load_from, self._load_to = book.until, book.load_from, book.load_to

    def _hear(self, load: float) -> None:
        """The shedder has weighed the load: let the next request look at it where that changes something."""
        if not self._load_from <= load < self._load_to:
            self._until = -math.inf

    # -- a path met for the first time, several limits, another algorithm, counts kept elsewhere --

    def _admit_by_plan(self, scope: Scope, ctx: Ctx) -> Problem | Awaitable[Problem | None] | None:
        path = scope["path"]
        plan = self.plans.known.get(path) or self.plans.find(path)
        if plan.rules is not None:
            plan = self.plans.of_method(plan, scope.get("method", ""))
        elif plan.single is not None and self._is_short:
            lane = self.shedder.lane(plan.work) if self.shedder is not None else None
            remember(self._shorts, path, (plan.single, lane, plan))
        if plan.exempt:
            return None
        priority = NORMAL if plan.first is None else self.terms_of(plan.first, ctx.event.tier).priority
        answer = self._enter(scope, ctx, plan, priority)
        if answer is not None:
            return answer
        return self._charge(scope, ctx, plan) if plan.lines else None

    async def _queue(self, waiting: Awaitable[Any], scope: Scope, ctx: Ctx, plan: Plan) -> Problem | None:
        """Wait for a place, then be charged like everybody else."""
        place = await waiting
        if isinstance(place, Problem):
            return place
        ctx.admitted = place
        found = self._charge(scope, ctx, plan) if plan.lines else None
        return found if found is None or isinstance(found, Problem) else await found

    def _charge(self, scope: Scope, ctx: Ctx, plan: Plan) -> Problem | Awaitable[Problem | None] | None:
        terms = [self.terms_of(line, ctx.event.tier) for line in plan.lines]
        charges = [
            Charge(each.limit, who(line.by, scope, ctx, plan.route), line.cost)
            for line, each in zip(plan.lines, terms, strict=True)
        ]
        found = self.ledger.charge(charges)
        if isinstance(found, Verdict):
            return self._settled(ctx, plan, terms, found)
        return self._settle_later(ctx, plan, terms, found)

    async def _settle_later(
        self, ctx: Ctx, plan: Plan, terms: Sequence[Terms], verdict: Awaitable[Verdict]
    ) -> Problem | None:
        return self._settled(ctx, plan, terms, await verdict)

    def _settled(self, ctx: Ctx, plan: Plan, terms: Sequence[Terms], verdict: Verdict) -> Problem | None:
        problem = self.settle(ctx, plan.lines, terms, verdict)
        if problem is not None:
            self._give_back(ctx)
        return problem

    def settle(
        self, ctx: Ctx | None, lines: Sequence[Line], terms: Sequence[Terms], verdict: Verdict
    ) -> Problem | None:
        """Count the verdict, put it on the response, and on the record where it is worth a word."""
        self.sources[verdict.source] = self.sources.get(verdict.source, 0) + 1
        line, decided = lines[verdict.index], terms[verdict.index]
        if ctx is not None:
            items = [each.policy[1] for each in terms]
            ctx.headers = (*(ctx.headers or ()), *headers.fields(items, line.name, verdict))
        if verdict.allowed:
            for each in lines:
                each.passed += 1
            self._by_charge += len(lines)
            if ctx is not None and verdict.remaining < decided.near:
                ctx.event.note(limit=line.name, limit_remaining=verdict.remaining)
            return None
        line.refused += 1
        if ctx is not None:
            ctx.event.note(limit=line.name, limit_refused=verdict.source)
        return refusal(decided.promised, verdict, at_once=decided.limit.capacity, reduced=decided.reduced)

    def _refuse(self, ctx: Ctx, line: Line, terms: Terms, wait_s: float) -> Problem:
        """The short way's refusal, as any other."""
        debt_s = terms.whole_s + wait_s - terms.cost_s
        never = line.cost > terms.limit.capacity
        left = max(0, int(terms.units - debt_s * terms.rate))
        verdict = Verdict(False, left, max(0.0, debt_s), math.inf if never else wait_s)
        problem = self.settle(ctx, (line,), (terms,), verdict)
        assert problem is not None
        self._give_back(ctx)
        return problem

    def _give_back(self, ctx: Ctx) -> None:
        """A refused request held its place for no work: back at once, and no sample."""
        if ctx.admitted is not None and self.shedder is not None:
            place, ctx.admitted = ctx.admitted, None
            self.shedder.forget(place)
