"""One answer computed: score everything, take the best of each source, blend, spread out, explore.

Pure numbers in and out, no I/O and no clock: it runs in the loop for small catalogues and in a thread for
large ones. The gate's mask is applied before anything is chosen, and again by whoever sends the answer.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.rooms.recommend.engine.batched import likeness
from holdfast.rooms.recommend.engine.knowledge import Floats, Knowledge, padded
from holdfast.rooms.recommend.models.collaborative import Sketch
from holdfast.rooms.recommend.models.recency import fading
from holdfast.rooms.recommend.rules.blend import (
    INDIFFERENT,
    PERSONAL,
    SOURCES,
    Scale,
    scale_over,
    weights_asked,
    weights_by_evidence,
)
from holdfast.rooms.recommend.rules.diversity import spread_out

Ints = NDArray[np.int64]

CANDIDATES: Mapping[str, int] = {"collaborative": 200, "content": 100, "persona": 100, "popularity": 60}
"""How many each source proposes; the union is what scores are normalised over."""


CONTENT_HISTORY = 25
"""Newest liked items that are compared by content."""


class Taste(NamedTuple):
    """What is known of one person, as the models take it."""

    history: Ints
    """Liked items, the newest last."""
    weights: Floats
    interests: tuple[str, ...] = ()
    segment: str = ""


class Wish(msgspec.Struct, frozen=True):
    """What the caller wants of the answer."""

    limit: int
    diversity: float
    evidence_k: float
    priors: Mapping[str, float]
    sources: Sequence[str] = PERSONAL
    """The personal ones that count; popularity is always there."""
    weights: Mapping[str, float] | None = None
    """The caller's own blend instead of the one by evidence."""
    explored: tuple[tuple[int, float], ...] = ()
    """The items of the exploration slots, each with the probability of its draw."""
    include: tuple[int, ...] = ()
    """Items that are scored whatever the sources propose: what somebody asks to have explained."""


class Pick(NamedTuple):
    """One item of an answer."""

    item: int
    score: float
    """Blended, minus the penalty: what an explanation's parts sum to."""
    penalty: float = 0.0
    propensity: float = 1.0
    explored: bool = False


class Scored(NamedTuple):
    """The candidates of one request with everything needed to rank or explain them."""

    items: Ints
    blended: NDArray[np.float64]
    raw: Mapping[str, Floats]
    """Raw score by source, one for each of `items`."""
    scales: Mapping[str, Scale]
    weights: Mapping[str, float]
    explored: tuple[tuple[int, float], ...]
    """Item and probability of each exploration draw."""

    def score_of(self, item: int) -> float:
        return float(self.blended[np.flatnonzero(self.items == item)[0]])


def score(knowledge: Knowledge, taste: Taste, allowed: NDArray[np.bool_], wish: Wish) -> Scored:
    """Score the catalogue for one person and reduce it to the candidates, all allowed but for `include`."""
    columns = _columns(knowledge, taste, allowed, wish.sources)
    weights = (
        weights_asked(wish.weights)
        if wish.weights is not None
        else weights_by_evidence(
            taste.history.size, wish.evidence_k, wish.priors, dict.fromkeys(columns, True)
        )
    )
    extra = [*wish.include, *(item for item, _ in wish.explored)]
    return blend(knowledge, columns, weights, allowed, extra, max(wish.limit, 1), wish.explored)


def blend(
    knowledge: Knowledge,
    columns: Mapping[str, Sketch],
    weights: Mapping[str, float],
    allowed: NDArray[np.bool_],
    extra: Sequence[int] = (),
    limit: int = 1,
    explored: tuple[tuple[int, float], ...] = (),
) -> Scored:
    """The union of each source's best, on one scale, added up with `weights`."""
    proposals = [np.asarray(extra, np.int64)]
    for name, column in columns.items():
        count = max(CANDIDATES[name], limit + len(explored))
        if weights[name] <= 0:
            continue
        if name == "popularity":
            proposals.append(_popular(knowledge, allowed, count))
        else:
            proposals.append(column.best(allowed, count))
    found = np.unique(np.concatenate(proposals))
    raw = {name: column.at(found) for name, column in columns.items()}
    scales = {name: scale_over(raw[name]) if name in raw else INDIFFERENT for name in SOURCES}
    blended = np.zeros(found.size)
    for name in SOURCES:
        if scales[name].factor:
            blended += weights[name] * scales[name].of(raw[name].astype(np.float64))
        else:
            blended += weights[name] * scales[name].offset
    return Scored(found, blended, raw, scales, weights, explored)


def rank(
    knowledge: Knowledge, scored: Scored, allowed: NDArray[np.bool_], worn: NDArray[np.bool_], wish: Wish
) -> list[Pick]:
    """The best candidates spread out, worn ones last, the explored ones in the last places.

    worn: which of `scored.items` were shown to too many lately.
    """
    drawn = {item for item, _ in scored.explored}
    usable = allowed[scored.items] & ~np.isin(scored.items, list(drawn))
    count = wish.limit - len(scored.explored)
    picks = _spread(knowledge, scored, np.flatnonzero(usable & ~worn), count, wish.diversity)
    if len(picks) < count:
        rest = np.flatnonzero(usable & worn)
        picks += _spread(knowledge, scored, rest, count - len(picks), 0.0)
    picks += [
        Pick(item, scored.score_of(item), 0.0, probability, True) for item, probability in scored.explored
    ]
    return picks


def _spread(knowledge: Knowledge, scored: Scored, places: Ints, count: int, diversity: float) -> list[Pick]:
    pool = max(50, 4 * count)
    best = places[np.argsort(-scored.blended[places], kind="stable")[:pool]]
    items, relevance = scored.items[best], scored.blended[best]
    alike = likeness(knowledge.content, items) if diversity > 0 and knowledge.any_text else None
    if alike is None:
        order, penalties = spread_out(relevance, np.zeros((0, 0), np.float32), count, 0.0)
    else:
        order, penalties = spread_out(relevance, alike, count, diversity)
    return [
        Pick(int(items[place]), float(relevance[place]) - penalty, penalty)
        for place, penalty in zip(order, penalties, strict=True)
    ]


def _columns(
    knowledge: Knowledge, taste: Taste, allowed: NDArray[np.bool_], sources: Sequence[str]
) -> dict[str, Sketch]:
    """The raw scores by each of `sources` that has something to say about this person, and popularity's."""
    size = allowed.size
    columns: dict[str, Sketch] = {}
    model = knowledge.model
    if model is not None and "collaborative" in sources:
        history, weights = known_part(taste, min(model.n_items, size), knowledge.half_life_events)
        if history.size:
            columns["collaborative"] = model.sketch(history, weights, allowed).widened(size)
    history, weights = content_part(taste, min(knowledge.content.n_items, size))
    if history.size and knowledge.any_text and "content" in sources:
        columns["content"] = Sketch(padded(knowledge.content.score(history, weights), size))
    has_said = taste.interests or taste.segment in knowledge.persona.segments
    if has_said and "persona" in sources:
        columns["persona"] = Sketch(padded(knowledge.persona.score(taste.interests, taste.segment), size))
    columns["popularity"] = Sketch(padded(knowledge.counts.popularity, size))
    return columns


def known_part(taste: Taste, items: int, half_life_events: float = inf) -> tuple[Ints, Floats]:
    """The history without items that came after the model, each weighed down by every newer one."""
    history, weights = taste.history, taste.weights
    if half_life_events != inf:
        weights = weights * fading(np.arange(history.size), half_life_events)
    if history.size == 0 or int(history.max()) < items:
        return history, weights
    known = history < items
    return history[known], weights[known]


def content_part(taste: Taste, items: int) -> tuple[Ints, Floats]:
    """The newest of the history: likeness to what somebody took years ago costs time and says little."""
    newest = taste._replace(
        history=taste.history[-CONTENT_HISTORY:], weights=taste.weights[-CONTENT_HISTORY:]
    )
    return known_part(newest, items)


def _popular(knowledge: Knowledge, allowed: NDArray[np.bool_], count: int) -> Ints:
    """The most popular allowed items; where the kept head is used up, the first allowed of the catalogue."""
    head = knowledge.counts.popular_first
    head = head[head < allowed.size]
    found = head[allowed[head]][:count]
    return found if found.size >= count else np.union1d(found, np.flatnonzero(allowed)[:count])
