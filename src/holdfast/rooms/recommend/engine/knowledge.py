"""What the room has learned, as one frozen value: models and counts that belong together.

A request takes the value once and works with it to the end, so a swap in between never mixes two
models. Every part may know fewer items than the catalogue has by now: newer ones score zero there.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Self

import numpy as np
from numpy.typing import NDArray

from holdfast.rooms.recommend.models.collaborative import Collaborative
from holdfast.rooms.recommend.models.content import ContentIndex
from holdfast.rooms.recommend.models.persona import PersonaIndex

Floats = NDArray[np.float32]

POPULAR_HEAD = 2_000
"""How many of the popular items are kept in order; the gate may take away all but the last of them."""


@dataclass(frozen=True)
class Counts:
    """How often each item was taken: ever, and lately with older events fading."""

    ever: Floats
    lately: Floats
    events: int = 0

    @classmethod
    def nothing(cls, items: int) -> Self:
        return cls(np.zeros(items, np.float32), np.zeros(items, np.float32))

    def sort(self) -> None:
        """Do now, wherever this is called, what the first answer would otherwise wait for."""
        _ = self.popular_first, self.trending_first, self.odds

    @cached_property
    def popularity(self) -> Floats:
        """0..1: half the log of `ever`, half the log of `lately`; `ever` alone when there is no lately."""
        ever, lately = _on_a_log_scale(self.ever), _on_a_log_scale(self.lately)
        return np.asarray((ever + lately) / 2, np.float32) if lately.any() else ever

    @cached_property
    def trending(self) -> Floats:
        """`lately` as it is; popularity where nothing happened lately at all."""
        return self.lately if self.lately.any() else self.ever

    @cached_property
    def popular_first(self) -> NDArray[np.int64]:
        return _head(self.popularity)

    @cached_property
    def trending_first(self) -> NDArray[np.int64]:
        return np.argsort(-self.trending, kind="stable")

    @cached_property
    def odds(self) -> NDArray[np.float64]:
        """The weight of each item in an exploration draw: the less it was taken, the likelier."""
        return 1.0 / np.sqrt(1.0 + self.ever.astype(np.float64))


@dataclass(frozen=True)
class Knowledge:
    """Everything one answer is computed from, apart from the person and the gate."""

    content: ContentIndex
    persona: PersonaIndex
    counts: Counts
    any_text: bool = False
    """Whether content can tell items apart at all."""
    model: Collaborative | None = None
    version: int = 0
    """Of the artefact that `model` came from; 0 when popularity stands in."""
    half_life_events: float = inf
    """After how many newer events an event counts half for `model`; the back-test found it."""

    @property
    def model_name(self) -> str:
        return self.model.name if self.model is not None else "popularity"

    def changed(
        self,
        *,
        content: ContentIndex | None = None,
        any_text: bool | None = None,
        persona: PersonaIndex | None = None,
        counts: Counts | None = None,
    ) -> "Knowledge":
        return replace(
            self,
            content=content or self.content,
            any_text=self.any_text if any_text is None else any_text,
            persona=persona or self.persona,
            counts=counts or self.counts,
        )

    def serving(self, model: Collaborative | None, version: int, half_life_events: float) -> "Knowledge":
        return replace(self, model=model, version=version, half_life_events=half_life_events)


def padded(values: Floats, size: int) -> Floats:
    """`values` for `size` items: items newer than the model score zero."""
    if values.size == size:
        return values
    if values.size > size:
        return values[:size]
    return np.concatenate([values, np.zeros(size - values.size, values.dtype)])


def _on_a_log_scale(counts: Floats) -> Floats:
    scaled = np.log1p(counts)
    return np.asarray(scaled / max(float(scaled.max(initial=0.0)), 1e-9), np.float32)


def _head(values: Floats) -> NDArray[np.int64]:
    """The places of the largest values, falling; all of them in a small catalogue."""
    if values.size <= POPULAR_HEAD:
        return np.argsort(-values, kind="stable")
    head = np.argpartition(-values, POPULAR_HEAD)[:POPULAR_HEAD]
    return head[np.argsort(-values[head], kind="stable")]
