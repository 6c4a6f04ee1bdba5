"""Why an item got its score, in parts that add up to it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from holdfast.rooms.recommend.engine.batched import explain_content, explain_model
from holdfast.rooms.recommend.engine.knowledge import Knowledge
from holdfast.rooms.recommend.engine.scoring import Pick, Scored, Taste, content_part, known_part
from holdfast.rooms.recommend.rules.answers import Part

OTHERS = "other history"
SCALE = "scale"
REASONS_HISTORY = 50
"""Newest liked items among which a list's reasons are looked for; older ones count as other history.
The explanation of one item looks at all of them."""
NEGLIGIBLE = 1e-6
"""Below this a rest is what rounding left."""


def explain(
    knowledge: Knowledge,
    taste: Taste,
    scored: Scored,
    picks: Sequence[Pick],
    name_of: Callable[[int], str],
    most: int | None,
) -> list[list[Part]]:
    """The parts of each pick. `most`: how many history items a source names, None for all of them.

    The sum of the parts is the pick's score to 1e-5: each source's map onto the common scale is affine, so
    its factor goes into every part and its offset is one part of its own.
    """
    items = np.asarray([pick.item for pick in picks], np.int64)
    found: list[list[Part]] = [[] for _ in picks]
    if "collaborative" in scored.raw and knowledge.model is not None:
        model = knowledge.model
        history, weights = known_part(taste, model.n_items, knowledge.half_life_events)
        if most is not None:
            history, weights = history[-REASONS_HISTORY:], weights[-REASONS_HISTORY:]
        parts = explain_model(model, history, weights, items)
        _name_largest(found, scored, "collaborative", items, parts, history, name_of, most)
    if "content" in scored.raw:
        history, weights = content_part(taste, knowledge.content.n_items)
        parts = explain_content(knowledge.content, history, weights, items)
        _name_largest(found, scored, "content", items, parts, history, name_of, most)
    for source in ("collaborative", "content"):
        _add_scale(found, source, scored.weights[source] * scored.scales[source].offset)
    _explain_persona(knowledge, taste, scored, items, found)
    _explain_popularity(scored, items, found)
    for pick, parts_of_pick in zip(picks, found, strict=True):
        if pick.penalty:
            parts_of_pick.append(Part("diversity", "likeness", -pick.penalty))
    return found


def _name_largest(
    found: list[list[Part]],
    scored: Scored,
    source: str,
    items: NDArray[np.int64],
    parts: NDArray[np.float32],
    history: NDArray[np.int64],
    name_of: Callable[[int], str],
    most: int | None,
) -> None:
    """parts: (items, history). The largest by size stand alone; what the score is beyond them is one part."""
    factor = _factor(scored, source)
    count = history.size if most is None else min(most, history.size)
    totals = scored.raw[source][np.searchsorted(scored.items, items)].astype(np.float64) * factor
    scaled = parts.astype(np.float64) * factor
    order = np.argsort(-np.abs(scaled), axis=1, kind="stable")[:, :count]
    named = np.take_along_axis(scaled, order, axis=1)
    rests = totals - named.sum(axis=1)
    for places, values, rest, parts_of_pick in zip(
        order.tolist(), named.tolist(), rests.tolist(), found, strict=True
    ):
        parts_of_pick.extend(
            Part(source, name_of(int(history[place])), value)
            for place, value in zip(places, values, strict=True)
            if value
        )
        if abs(rest) > NEGLIGIBLE:
            parts_of_pick.append(Part(source, OTHERS, rest))


def _factor(scored: Scored, source: str) -> float:
    return scored.weights[source] * scored.scales[source].factor


def _add_scale(found: list[list[Part]], source: str, offset: float) -> None:
    if offset:
        for parts_of_pick in found:
            parts_of_pick.append(Part(source, SCALE, offset))


def _explain_persona(
    knowledge: Knowledge, taste: Taste, scored: Scored, items: NDArray[np.int64], found: list[list[Part]]
) -> None:
    weight, scale = scored.weights["persona"], scored.scales["persona"]
    if weight <= 0:
        return
    if "persona" in scored.raw and scale.factor:
        for item, parts_of_pick in zip(items.tolist(), found, strict=True):
            if item < knowledge.persona.n_items:
                parts = knowledge.persona.explain(taste.interests, taste.segment, item)
                parts_of_pick.extend(
                    Part("persona", why, part * weight * scale.factor) for why, part in parts.items() if part
                )
    _add_scale(found, "persona", weight * scale.offset)


def _explain_popularity(scored: Scored, items: NDArray[np.int64], found: list[list[Part]]) -> None:
    weight, scale = scored.weights["popularity"], scored.scales["popularity"]
    if weight <= 0:
        return
    places = np.searchsorted(scored.items, items)
    for value, parts_of_pick in zip(scored.raw["popularity"][places].tolist(), found, strict=True):
        if value * scale.factor:
            parts_of_pick.append(Part("popularity", "everybody", value * weight * scale.factor))
    _add_scale(found, "popularity", weight * scale.offset)
