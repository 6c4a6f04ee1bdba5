"""Has one message answered: two clocks around the model's stream, and the end written down whatever it is."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.codec import clean_text
from holdfast.kernel.context import note
from holdfast.kernel.errors import Internal, Problem
from holdfast.kernel.guard.expiry import Expiry
from holdfast.kernel.guard.problems import TimedOut
from holdfast.kernel.guard.timeouts import phase
from holdfast.ports.model import Ask, Citation, Model, ModelFailed, ModelTimedOut, Piece, Reply
from holdfast.ports.telling import Telling
from holdfast.rooms.conversations.engine.figures import Figures
from holdfast.rooms.conversations.engine.folding import Folding
from holdfast.rooms.conversations.engine.runs import Run, Runs
from holdfast.rooms.conversations.engine.warm import Warm
from holdfast.rooms.conversations.rules.arms import Arm
from holdfast.rooms.conversations.rules.problems import AnswerStopped
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.state import Exchange
from holdfast.rooms.conversations.rules.terms import stored, terms
from holdfast.rooms.conversations.rules.turns import (
    ASSISTANT,
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    PENDING,
    TIMEOUT,
    Message,
    message_id,
)
from holdfast.rooms.conversations.store.store import Kept, Store

logger = logging.getLogger("holdfast.conversations")

TURN, TURN_FAILED = "turn", "turn_failed"
"""Actions of product events: every answer that ended, and those that timed out or failed."""
CLOSING_S = 1.0
"""How long a model may take to put its stream down; it is told to at once."""
FOLLOW_S = 0.1
"""Between two looks at an answer that another process is at."""

_WHY = {
    CANCELLED: "whoever asked had left",
    INTERRUPTED: "the server stopped",
}


class Job(msgspec.Struct, frozen=True, gc=False):
    """One message on its way to the model."""

    kept: Kept
    """The conversation as it was before the message."""
    said: Message
    """The message itself, as it is stored."""
    ask: Ask
    persona: str
    recalled: tuple[str, ...]
    arm: Arm


class Answering:
    """Runs answers in tasks of their own: who listens may come and go."""

    def __init__(
        self,
        store: Store,
        folding: Folding,
        runs: Runs,
        warm: Warm,
        config: Config,
        *,
        clock: Clock,
        expiry: Expiry,
        figures: Figures,
        model: Callable[[], Model],
        telling: Telling,
    ) -> None:
        self._telling = telling
        self._store = store
        self._folding = folding
        self._runs = runs
        self._warm = warm
        self._config = config
        self._clock = clock
        self._expiry = expiry
        self._figures = figures
        self._model = model
        self.tasks: set[asyncio.Task[None]] = set()
        """Answers on their way, and states that are being brought up to date."""

    def open(self, job: Job, seq: int, ended: Callable[[], None]) -> Run:
        """The run of a message claimed under `seq`; `begin` starts it, `ended` is called at its end."""
        run = Run(job.kept.id, seq, persona=job.persona)

        # Whoever claimed may be gone before it begins, without a word: the claim must not outlive its time.
        unbegun = asyncio.get_running_loop().call_later(self._config.lease_s, self.give_up, run)

        def begin() -> None:
            if run.task is None:
                unbegun.cancel()
                run.task = asyncio.create_task(self._work(run, job, ended))
                self.tasks.add(run.task)
                run.task.add_done_callback(self.tasks.discard)

        def abandoned() -> None:
            if self._config.on_disconnect == "cancel":
                self.stop(run, CANCELLED)
            else:
                begin()

        run.begin, run.abandoned = begin, abandoned
        self._runs.add(run)
        return run

    def follow(self, conversation_id: str, seq: int) -> Run:
        """A run that another process is at: its text comes when it has ended."""
        run = Run(conversation_id, seq)

        def begin() -> None:
            if run.task is None:
                run.task = asyncio.create_task(self._follow(run))

        def abandoned() -> None:
            if run.task is not None:
                run.task.cancel()

        run.begin, run.abandoned = begin, abandoned
        return run

    def give_up(self, run: Run) -> None:
        """End a run that nobody has begun."""
        if run.task is None:
            self.stop(run, CANCELLED)

    def stop(self, run: Run, status: str) -> None:
        """End a run early, with this status; what there is of the answer stays."""
        if run.ended is None and not run.ending:
            run.ending = status
            if run.task is None:
                run.begin()
            elif run.is_asking:
                run.task.cancel()
            # Before, it finds `ending` at its first turn; cancelled, it would not have one. After, what there
            # is of the answer is being written down: cut off there, it would never end for those who listen.

    # -- one run -------------------------------------------------------------------------------

    async def _work(self, run: Run, job: Job, ended: Callable[[], None]) -> None:
        exchange = Exchange(run.seq, job.said.text, "", INTERRUPTED)
        began = self._clock.monotonic()
        try:
            status, facts = await self._outcome(run, job.ask)
            message = self._row(run, job, status, facts)
            if await self._store.finish(run.conversation_id, message):
                self._warm.put(job.kept, job.said, message)
                exchange = Exchange(run.seq, job.said.text, message.text, status, bool(message.terms))
            else:
                message = self._taken_away(message)
            self._figures.turns.labels(message.status).add()
            self._tell(job, message, began)
            note(conversation={"id": run.conversation_id, "seq": run.seq, "status": message.status})
        except Exception as error:
            # Whoever listens must hear of an end; the log says interrupted once the claim has run out.
            logger.exception("an answer could not be ended in order")
            message = self._lost(run, job.said.at_ms, error)
        finally:
            ended()
        run.end(message)
        self._runs.ended(run)
        # Nobody waits for the state: it is derived, and who reads it before it is stored derives it as well.
        # The answer goes out first: one turn of the loop wakes whoever waits for it, the next comes here.
        await asyncio.sleep(0)
        await self._take_in(job, exchange)

    async def _outcome(self, run: Run, ask: Ask) -> tuple[str, dict[str, Any]]:
        """What the answer came to: its status, and what is to be known of it."""
        began = self._clock.monotonic()
        try:
            if run.ending:
                return run.ending, {"error": _told(AnswerStopped(_WHY[run.ending]))}
            run.is_asking = True
            reply = await self._streamed(run, ask)
            return DONE, _facts(reply, ask)
        except asyncio.CancelledError:
            # Ours, when somebody asked for the end; else the loop goes down: an interruption.
            task = asyncio.current_task()
            if run.ending and task is not None:
                task.uncancel()
            status = run.ending or INTERRUPTED
            return status, {"error": _told(AnswerStopped(_WHY[status]))}
        except (TimedOut, ModelTimedOut) as late:
            return TIMEOUT, {"error": _told(late)}
        except Problem as problem:
            return FAILED, {"error": _told(problem)}
        except Exception as error:
            logger.exception("the model raised what is no Problem")
            return FAILED, {"error": _told(Internal(f"the model failed: {type(error).__name__}"))}
        finally:
            run.is_asking = False
            self._figures.answer.observe(self._clock.monotonic() - began)

    async def _streamed(self, run: Run, ask: Ask) -> Reply:
        """Pass the model's text on as it comes; the whole reply. Raises what the model does, and TimedOut."""
        began = self._clock.monotonic()
        pieces = self._model().stream(ask)
        text = _Text(run)
        try:
            with self._limit("the whole answer", ask.total_s):
                with self._limit("the first token", ask.first_token_s):
                    piece = await _first(pieces)
                run.first_token_s = self._clock.monotonic() - began
                self._figures.first_token.observe(run.first_token_s)
                while piece is not None:
                    text.add(piece.text)
                    if piece.reply is not None:
                        text.end(piece.reply.text)
                        return piece.reply
                    piece = await anext(pieces, None)
        finally:
            # Within a time of its own: a model that does not let go must not hold the turn.
            with suppress(TimeoutError, Problem):
                async with asyncio.timeout(CLOSING_S):
                    await pieces.aclose()
        raise ModelFailed("the answer was cut off", hint="ask again; what came before is no answer")

    def _limit(self, name: str, seconds: float | None) -> phase:
        return phase(name, seconds, of="the model", clock=self._clock, expiry=self._expiry)

    def _tell(self, job: Job, message: Message, began: float) -> None:
        """The turn as an event of its user, its seconds as the value; one without an answer as another."""
        facts = {
            "conversation_id": job.kept.id,
            "message_id": message_id(message.seq),
            "outcome": message.status,
        }
        facts |= {"variant": job.arm.name} if job.arm.name else {}
        seconds = self._clock.monotonic() - began
        self._telling.tell(TURN, job.kept.owner, **facts, turns=message.seq // 2, value=round(seconds, 6))
        if message.status in (TIMEOUT, FAILED):
            self._telling.tell(TURN_FAILED, job.kept.owner, **facts, value=1)

    def _row(self, run: Run, job: Job, status: str, facts: dict[str, Any]) -> Message:
        """How it ended, as it is to be stored."""
        text = run.text()
        facts = {
            **facts,
            "persona": job.persona,
            **({"variant": job.arm.name} if job.arm.name else {}),
            **({"recalled": list(job.recalled)} if job.recalled else {}),
            **({"first_token_ms": round(run.first_token_s * 1000)} if run.first_token_s is not None else {}),
        }
        # What only quotes was said before: remembered, it would be found again instead of its source.
        is_source = status == DONE and facts.get("generated_by") != "extractive"
        known_by = stored(terms(text)) if is_source else ""
        now_ms = int(self._clock.wall() * 1000)
        return Message(run.seq, ASSISTANT, text, status, job.said.at_ms, now_ms, terms=known_by, facts=facts)

    async def _take_in(self, job: Job, exchange: Exchange) -> None:
        """Bring the state up to date. When that fails, the next turn does it."""
        try:
            await self._folding.advance(job.kept, exchange, job.arm.config.summarise_every)
        except Problem as problem:
            logger.warning("a conversation's state could not be stored: %s", problem.line())
        except Exception:
            logger.exception("a conversation's state could not be brought up to date")

    def _taken_away(self, message: Message) -> Message:
        """Somebody else has ended this answer: it took longer than its claim held, or it was erased."""
        return msgspec.structs.replace(
            message,
            status=INTERRUPTED,
            facts={"error": _told(AnswerStopped("the conversation was erased, or its claim has run out"))},
        )

    async def _follow(self, run: Run) -> None:
        now_ms = int(self._clock.wall() * 1000)
        try:
            message = await self._awaited(run)
        except Exception as error:  # noqa: BLE001 - whoever listens must hear of an end
            logger.warning("an answer of another process could not be followed: %s", error)
            message = self._lost(run, now_ms, error)
        run.say(message.text)
        run.end(message)

    async def _awaited(self, run: Run) -> Message:
        """Look at the log until whoever is at the answer has ended it, or its claim has run out."""
        while True:
            now_ms = int(self._clock.wall() * 1000)
            message = await self._store.message(run.conversation_id, run.seq)
            if message is None:
                return Message(run.seq, ASSISTANT, "", INTERRUPTED, now_ms, now_ms)
            if message.status != PENDING:
                return message
            if message.is_left(now_ms):
                await self._store.leave(run.conversation_id, now_ms)
            else:
                await asyncio.sleep(FOLLOW_S)

    def _lost(self, run: Run, at_ms: int, error: Exception) -> Message:
        """A failure that only those who listen get to know."""
        problem = error if isinstance(error, Problem) else Internal("the answer could not be written down")
        now_ms = int(self._clock.wall() * 1000)
        return Message(run.seq, ASSISTANT, run.text(), FAILED, at_ms, now_ms, facts={"error": _told(problem)})


class _Text:
    """The text of a reply as it comes: what no database takes is replaced, surrogate pairs stay whole."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._half = ""
        self._said = ""

    def add(self, text: str) -> None:
        if not text:
            return
        whole = self._half + text
        self._half = whole[-1] if "\ud800" <= whole[-1] <= "\udbff" else ""
        self._say(whole[:-1] if self._half else whole)

    def end(self, whole: str) -> None:
        """What the reply has beyond the pieces. Where they differ the pieces count: they were seen."""
        self._say(self._half)
        self._half = ""
        so_far = self._run.text()
        cleaned = _clean(whole)
        if cleaned.startswith(so_far):
            self._run.say(cleaned[len(so_far) :])

    def _say(self, text: str) -> None:
        self._run.say(_clean(text))


def _clean(text: str) -> str:
    """Text that can be stored and sent: surrogate pairs joined, halves written out, NUL replaced."""
    if not text.isascii():
        text = clean_text(text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"))
    return text.replace("\0", "\ufffd")


async def _first(pieces: AsyncGenerator[Piece, None]) -> Piece | None:
    """The first piece that says something."""
    async for piece in pieces:
        if piece.text or piece.reply is not None:
            return piece
    return None


def _facts(reply: Reply, ask: Ask) -> dict[str, Any]:
    """What is known of a whole answer; citations that the passages do not bear out are left out."""
    passages = {passage.id: passage.text for passage in ask.passages}
    quotes = [
        {"message_id": one.passage, "start": one.start, "end": one.end, "quote": one.quote}
        for one in reply.citations
        if _holds(one, passages)
    ]
    return {
        "model": reply.model,
        "provider": reply.provider,
        "generated_by": reply.generated_by,
        "finish_reason": reply.finish_reason,
        "degraded": reply.degraded,
        "cached": reply.cached,
        "usage": msgspec.structs.asdict(reply.usage),
        "citations": quotes,
    }


def _holds(citation: Citation, passages: Mapping[str, str]) -> bool:
    text = passages.get(citation.passage)
    return text is not None and text[citation.start : citation.end] == citation.quote


def _told(problem: Problem) -> dict[str, Any]:
    """A problem as it stands in the log."""
    found = {
        "code": problem.code,
        "detail": clean_text(problem.detail or problem.title()).replace("\0", "\ufffd"),
        "hint": problem.hint,
        "retryable": problem.retryable,
    }
    return {name: value for name, value in found.items() if value != ""}
