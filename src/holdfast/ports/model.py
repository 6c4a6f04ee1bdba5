"""What a room asks of a language model, and the null object that says how to get one.

One vocabulary for all rooms that talk to a model (conversations, knowledge, forecasts). Which provider
answers, what it costs and what happens when it fails is the llm room's business; the caller sees a Reply or
a Problem.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec

from holdfast.kernel.errors import Problem, Unavailable


class Turn(msgspec.Struct, frozen=True):
    """One message: `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


class Passage(msgspec.Struct, frozen=True):
    """A piece of text that an answer may rest on; `id` is what citations name."""

    id: str
    text: str
    title: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a model."""

    messages: tuple[Turn, ...]
    passages: tuple[Passage, ...] = ()
    """What the answer is to rest on. The extractive model quotes nothing else."""
    model: str = ""
    """A model's public name; empty: the default one."""
    purpose: str = "answer"
    """The type of request, a few in all: it decides how long an answer is kept, and labels metrics."""
    template: str = ""
    """Name and version of the prompt's template: another version is another question."""
    tenant: str = ""
    """Answers are never shared across tenants."""
    user: str = ""
    max_tokens: int | None = None
    temperature: float = 0.0
    first_token_s: float | None = None
    """Seconds until the answer begins; None: as the deployment says."""
    total_s: float | None = None
    """Seconds for the whole answer, all attempts included."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer took: tokens as the provider counted them, else estimated and marked so."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    """In the currency of the price table, US dollars unless it says otherwise."""
    estimated: bool = False


class Citation(msgspec.Struct, frozen=True):
    """A verified quote: `passage.text[start:end] == quote`, offsets in characters."""

    passage: str
    start: int
    end: int
    quote: str


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole answer. Never one that was cut off: that is a Problem."""

    text: str
    model: str = ""
    provider: str = ""
    generated_by: str = ""
    """`extractive` when no model wrote it; else the model that answered."""
    finish_reason: str = "stop"
    usage: Usage = Usage()
    citations: tuple[Citation, ...] = ()
    cached: bool = False
    degraded: bool = False
    """A stand-in: every provider failed, or it is older than it should be."""


class Embedded(msgspec.Struct, frozen=True):
    """One vector a text, in their order and all of one length; who made them and what that took."""

    vectors: Sequence[Sequence[float]]
    model: str = ""
    """As the provider names it. Vectors of two models do not compare."""
    usage: Usage = Usage()


class Piece(msgspec.Struct, frozen=True):
    """A part of an answer on its way: more text, or at last the whole reply."""

    text: str = ""
    reply: Reply | None = None


class ModelFailed(Problem):
    """No model could answer."""

    code = "model-failed"
    status = 502
    retryable = True


class ModelTimedOut(Problem):
    """The model did not answer in time."""

    code = "model-timeout"
    status = 504
    retryable = True


class NoModelHere(Unavailable):
    """There is no language model here."""

    code = "no-model"


class Model(Protocol):
    """A language model, whoever provides it. Raises Problem: ModelFailed, ModelTimedOut, or a refusal.

    Whatever is cancelled or closed stops upstream at once.
    """

    async def complete(self, ask: Ask) -> Reply:
        """The whole answer."""
        ...

    def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        """The answer as it comes; the last piece carries the Reply. Close it to stop the model.

        An answer that is cut off half-way raises: pieces that came before are no answer.
        """
        ...

    async def embed(self, texts: Sequence[str], *, model: str = "", tenant: str = "") -> Embedded:
        """One vector a text. Raises ModelFailed when they are not all numbers, or not all of one length."""
        ...


def _nobody() -> NoModelHere:
    return NoModelHere("no room offers a model", hint="leave `llm` in the setting `rooms`")


class NoModel:
    """A Model that says that there is none."""

    async def complete(self, ask: Ask) -> Reply:
        raise _nobody()

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        for problem in (_nobody(),):
            raise problem
        yield Piece()

    async def embed(self, texts: Sequence[str], *, model: str = "", tenant: str = "") -> Embedded:
        raise _nobody()
