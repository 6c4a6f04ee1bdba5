"""From a question to an answer whose every citation stands, to the letter, in a document that serves.

Passages are found, the model is asked only when they are likely to answer, and what it says is checked twice:
its claims against the passages it was given, then every quote against the database, at one moment. Where a
document has been uploaded again or deleted in between, the question is asked once more of what is there now;
the second time, what does not hold is dropped.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Protocol

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import note
from holdfast.ports.model import Ask, Model, Passage, Reply, Turn
from holdfast.rooms.knowledge.engine.figures import Figures
from holdfast.rooms.knowledge.engine.places import Places
from holdfast.rooms.knowledge.rules import prompts
from holdfast.rooms.knowledge.rules.citations import Cited, Claimed, Resolved, quoted, resolve
from holdfast.rooms.knowledge.rules.problems import check_question
from holdfast.rooms.knowledge.rules.refusing import sure
from holdfast.rooms.knowledge.rules.settings import Config
from holdfast.rooms.knowledge.rules.stored import Filter, Found
from holdfast.rooms.knowledge.rules.unsaid import Unsaid
from holdfast.rooms.knowledge.store.proof import Claim, Proof

EXTRACTIVE = "extractive"
TRIES = 2
"""Of a question whose documents change while it is answered."""
ANSWERED, REFUSED, UNSUPPORTED, FAILED = "answered", "refused", "unsupported", "failed"


class Finder(Protocol):
    """What finds passages."""

    async def find(self, where: Filter, text: str, most: int) -> list[Found]: ...


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, by whom, of which documents."""

    text: str
    where: Filter
    user: str = ""
    model: str = ""
    passages: int = 0
    """0: as the settings say."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `resolved` has no citations when it is a refusal."""

    question: str
    resolved: Resolved
    found: tuple[Found, ...]
    confidence: float
    reply: Reply | None = None

    @property
    def refused(self) -> bool:
        return not self.resolved.cited


class Again(msgspec.Struct, frozen=True):
    """What was said so far does not count: the documents have changed, and it is asked again."""


Said = str | Again | Answer
"""What a streamed answer consists of; the last is the Answer."""
_NOTHING = Resolved((), ())


class Answering:
    """Search and questions."""

    def __init__(
        self,
        finder: Finder,
        proof: Proof,
        places: Places,
        config: Config,
        *,
        model: Model,
        clock: Clock,
        figures: Figures,
    ) -> None:
        self._finder = finder
        self._proof = proof
        self.places = places
        self._config = config
        self.model = model
        self._clock = clock
        self._figures = figures
        self.running = 0

    async def search(self, question: str, where: Filter, most: int) -> list[Found]:
        """The passages nearest to a question, best first. Raises BadQuestion (422)."""
        started = self._clock.monotonic()
        found = await self._finder.find(where, check_question(question), most)
        self._figures.search.observe(self._clock.monotonic() - started)
        return found

    async def ask(self, question: Question) -> Answer:
        """A checked answer, or a refusal. Raises BadQuestion, and what the model raises."""
        answer = None
        async with aclosing(self.stream(question, streamed=False)) as parts:
            async for said in parts:
                answer = said
        assert isinstance(answer, Answer)
        return answer

    async def stream(self, question: Question, *, streamed: bool = True) -> AsyncGenerator[Said, None]:
        """The model's words as they come, not checked yet, and at last the Answer, which is.

        Close it to stop the model.
        """
        with self._counted():
            for attempt in range(1, TRIES + 1):
                answer = None
                async with aclosing(self._attempt(question, streamed=streamed)) as parts:
                    async for said in parts:
                        if isinstance(said, Answer):
                            answer = said
                        else:
                            yield said
                assert answer is not None
                checked, is_whole = await self._checked(question.where.tenant, answer)
                if is_whole or attempt == TRIES:
                    self._count(checked)
                    yield checked
                    return
                yield Again()

    async def resolved(self, ask: Ask, found: Sequence[Found]) -> tuple[Reply, Resolved]:
        """One whole answer of the model to `ask`, its claims tied to the passages that were found."""
        reply = await self.model.complete(ask)
        return reply, _resolved(reply, found)

    async def holding(self, tenant: str, resolved: Resolved, found: Sequence[Found]) -> list[bool]:
        """Of each citation whether the database has it, now."""
        claims = [_claim(one, found) for one in resolved.cited]
        return await self._proof.holds(tenant, claims)

    async def _attempt(self, question: Question, *, streamed: bool) -> AsyncGenerator[Said, None]:
        text = check_question(question.text)
        found = await self.search(text, question.where, question.passages or self._config.passages)
        confidence = round(sure(text, [(one.held, one.text) for one in found]), 4)
        answer = Answer(question=text, resolved=_NOTHING, found=tuple(found), confidence=confidence)
        if not found or confidence < self._config.refuse_below:
            yield answer
            return
        ask = self._ask(question, text, found)
        if not streamed:
            reply, resolved = await self.resolved(ask, found)
            yield msgspec.structs.replace(answer, resolved=resolved, reply=reply)
            return
        shown = Unsaid(len(found))
        async with aclosing(self.model.stream(ask)) as pieces:
            async for piece in pieces:
                if piece.reply is not None:
                    resolved = _resolved(piece.reply, found)
                    answer = msgspec.structs.replace(answer, resolved=resolved, reply=piece.reply)
                elif ready := shown.take(piece.text):
                    yield ready
        if answer.resolved.cited and (rest := shown.rest()):
            yield rest
        yield answer

    async def _checked(self, tenant: str, answer: Answer) -> tuple[Answer, bool]:
        """The answer with what holds, and whether all of it does."""
        holds = await self.holding(tenant, answer.resolved, answer.found)
        if all(holds):
            return answer, True
        standing = {one for one, is_there in zip(answer.resolved.cited, holds, strict=True) if is_there}
        self._figures.citations.labels("outdated").add(len(holds) - len(standing))
        kept = answer.resolved.kept(lambda one: one in standing)
        return msgspec.structs.replace(answer, resolved=kept if kept.cited else _NOTHING), False

    def _ask(self, question: Question, text: str, found: Sequence[Found]) -> Ask:
        return Ask(
            messages=turns(prompts.ask_turns(text, given(found))),
            passages=passages(found),
            model=question.model or self._config.model,
            purpose="answer",
            template=prompts.ASK_TEMPLATE,
            tenant=question.where.tenant,
            user=question.user,
            max_tokens=self._config.max_answer_tokens,
            total_s=self._config.answer_s,
        )

    @contextmanager
    def _counted(self) -> Iterator[None]:
        started = self._clock.monotonic()
        self.running += 1
        try:
            yield
        except Exception:
            self._figures.answers.labels(FAILED).add()
            raise
        finally:
            self.running -= 1
            self._figures.answer.observe(self._clock.monotonic() - started)

    def _count(self, answer: Answer) -> None:
        outcome = ANSWERED if not answer.refused else REFUSED if answer.reply is None else UNSUPPORTED
        self._figures.answers.labels(outcome).add()
        self._figures.citations.labels("verified").add(len(answer.resolved.cited))
        self._figures.citations.labels("removed").add(answer.resolved.removed)
        note(knowledge={"outcome": outcome, "confidence": answer.confidence, "passages": len(answer.found)})


def turns(said: Sequence[prompts.Said]) -> tuple[Turn, ...]:
    """Turns as the port has them."""
    return tuple(Turn(one.role, one.content) for one in said)


def given(found: Sequence[Found]) -> list[prompts.Given]:
    """Passages as a model that writes sees them, numbered from 1."""
    return [prompts.Given(number, heading(one), one.text) for number, one in enumerate(found, 1)]


def passages(found: Sequence[Found]) -> tuple[Passage, ...]:
    """Passages as the extractive model sees them: to the letter."""
    return tuple(Passage(str(number), one.text, heading(one)) for number, one in enumerate(found, 1))


def heading(one: Found) -> str:
    """Title and headings, which say what a passage speaks of."""
    return " > ".join((one.title or one.name, *one.path))


def _resolved(reply: Reply, found: Sequence[Found]) -> Resolved:
    """What the model claims, as far as it stands in the passages; each span of a document once."""
    texts = [one.text for one in found]
    if reply.generated_by == EXTRACTIVE or reply.citations:
        claimed = [Claimed(one.passage, one.start, one.end, one.quote) for one in reply.citations]
        resolved = quoted(claimed, [str(number) for number in range(1, len(found) + 1)], texts)
    elif reply.text.strip().strip(".[]\"'`*") == prompts.NO_ANSWER:
        return _NOTHING
    else:
        resolved = resolve(reply.text, texts)
    seen: dict[Claim, Cited] = {}
    for one in resolved.cited:
        seen.setdefault(_claim(one, found), one)
    first = set(seen.values())
    return resolved if len(first) == len(resolved.cited) else resolved.kept(lambda one: one in first)


def _claim(one: Cited, found: Sequence[Found]) -> Claim:
    """A quote of a passage as one of its document."""
    passage = found[one.source]
    return Claim(passage.version, passage.start + one.start, passage.start + one.end, one.quote)
