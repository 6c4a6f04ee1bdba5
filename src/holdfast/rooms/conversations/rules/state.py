"""The state of a conversation: what is known of it in at most a kilobyte, and how it takes in one exchange.

It is derived: every turn stands in the database, and a state that lags behind takes in what it has missed.
"""

from collections.abc import Callable, Sequence

import msgspec

from holdfast.kernel.text.graphemes import shorten
from holdfast.rooms.conversations.rules import summary as summaries
from holdfast.rooms.conversations.rules.understanding import Entity, entities, intent, merged

WINDOW = 5
"""Exchanges that a conversation has before its eyes."""
DIGEST_BYTES = 150
SUMMARY_BYTES = 700
_TRIES = 6

Measure = Callable[["State"], int]
"""Bytes of a state at rest."""


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """A message and what became of it. `is_source` says whether the answer may be remembered."""

    seq: int
    """The number of the answer's row; the message has the one before."""
    user: str
    answer: str
    status: str = "done"
    is_source: bool = True

    @property
    def remembered(self) -> str:
        return self.answer if self.is_source and self.status == "done" else ""


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known. New fields go to the end with a default, so that old bytes stay readable."""

    seq: int = 0
    """The newest answer that it knows of."""
    persona: str = ""
    intent: str = ""
    entities: tuple[Entity, ...] = ()
    """The newest first."""
    digests: tuple[tuple[str, str], ...] = ()
    """The last exchanges in short, the oldest first."""
    summary: tuple[str, ...] = ()
    """What came before them."""
    folded: int = 0
    """Exchanges in the summary."""
    modelled: int = 0
    """How many of these a model has summarised."""


def take_in(state: State, exchange: Exchange, evicted: Exchange | None) -> State:
    """The state with one more exchange; `evicted` is the one that thereby leaves the window, in full."""
    folded = state.summary
    count = state.folded
    if evicted is not None:
        folded = summaries.fold(state.summary, evicted.user, evicted.remembered, SUMMARY_BYTES)
        count += 1
    answer = (
        exchange.answer if exchange.status == "done" else f"({exchange.status}) {exchange.answer}".strip()
    )
    digest = (summaries.gist(exchange.user, DIGEST_BYTES), summaries.gist(answer, DIGEST_BYTES))
    return msgspec.structs.replace(
        state,
        seq=exchange.seq,
        intent=intent(exchange.user),
        entities=merged(entities(exchange.user), state.entities),
        digests=(*state.digests, digest)[-WINDOW:],
        summary=folded,
        folded=count,
    )


def catch_up(state: State, exchanges: Sequence[Exchange]) -> State:
    """The state after those of `exchanges` that it does not know; they stand in order.

    To fold in full what leaves the window, `exchanges` must reach back WINDOW exchanges before the first new
    one; of one that is not there its digest is folded.
    """
    known = {exchange.seq: exchange for exchange in exchanges}
    for exchange in exchanges:
        if exchange.seq <= state.seq:
            continue
        evicted = None
        if len(state.digests) >= WINDOW:
            leaving = exchange.seq - 2 * WINDOW
            user, answer = state.digests[0]
            evicted = known.get(leaving) or Exchange(leaving, user, answer)
        state = take_in(state, exchange, evicted)
    return state


def fit(state: State, measure: Measure, budget: int) -> State:
    """The state within `budget` bytes at rest: its texts get shorter, by whole graphemes, until it fits.

    The oldest digests and the weakest sentences of the summary give way first.
    """
    used = measure(state)
    scale = 1.0
    fitted = state
    for _ in range(_TRIES):
        if used <= budget:
            return fitted
        scale *= min(0.92, budget / used * 0.97)
        fitted = _scaled(state, scale)
        used = measure(fitted)
    while used > budget:
        scale /= 2
        fitted = _scaled(state, scale if scale > 0.01 else 0.0)
        used = measure(fitted)
        if scale <= 0.01:
            break
    return fitted


def _scaled(state: State, scale: float) -> State:
    """The state with every text held to its share; nothing at all is left of it at 0."""
    ages = len(state.digests)
    digests = tuple(
        (shorten(user, _share(scale, ages - 1 - at)), shorten(answer, _share(scale, ages - 1 - at) * 3 // 4))
        for at, (user, answer) in enumerate(state.digests)
    )
    return msgspec.structs.replace(
        state,
        persona=state.persona if scale else state.persona[:64],
        digests=digests,
        summary=summaries.within(state.summary, int(SUMMARY_BYTES * scale)),
        entities=state.entities[: int(len(state.entities) * min(1.0, scale + 0.25))] if scale else (),
    )


def _share(scale: float, age: int) -> int:
    """Bytes of a digest, `age` exchanges ago."""
    return int(DIGEST_BYTES * scale * (1.15 - 0.1 * age))
