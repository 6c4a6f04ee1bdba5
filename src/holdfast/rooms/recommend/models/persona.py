"""What somebody says of himself: declared interests and a segment, before he has done anything.

    index = PersonaIndex.fit(content, tags, interactions, segments)
    index.score(["한식", "캠핑"], "family")          # shape (n_items,), in 0..1
    index.explain(["한식", "캠핑"], "family", item)  # {"interest:한식": .., "segment:family": ..}, sums to it
    index = index.with_items(new_content, new_tags)  # new items: interests reach them at once

`content` is the ContentIndex over the same items, `tags` one list an item, `interactions` users x items,
`segments` one name a user ("" for none). An interest matches an item fully by an equal tag, otherwise by the
cosine of its text; the segment's part is the item's popularity among its members, on a log scale, shrunk
towards everybody's so that a segment of three people does not shout. Interests and segment each make up
half; where only one is known it is the whole.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.collaborative import Arrays, FloatArray, IntArray, checked_item
from holdfast.rooms.recommend.models.content import ContentIndex
from holdfast.rooms.recommend.models.grams import tag_key
from holdfast.rooms.recommend.models.interactions import checked

PRIOR_EVENTS = 50.0
"""Everybody's popularity weighs as much as this many events of the segment."""


class PersonaIndex:
    """Scores from declared interests and segments; immutable, grown by `with_items`."""

    name: ClassVar[str] = "persona"

    def __init__(
        self, content: ContentIndex, tagged: Mapping[str, IntArray], popularity: Mapping[str, FloatArray]
    ) -> None:
        self._content = content
        self._tagged = tagged
        self._popularity = popularity
        """Segment -> score of each item of the fit, in 0..1; "" is everybody."""

    @classmethod
    def fit(
        cls,
        content: ContentIndex,
        tags: Sequence[Sequence[str]],
        interactions: csr_matrix,
        segments: Sequence[str],
    ) -> Self:
        """Learn each segment's popularity; raises BadInput when the shapes do not fit together."""
        log = checked(interactions)
        if content.n_items != len(tags) or log.shape != (len(segments), len(tags)):
            raise BadInput(
                f"{content.n_items} items in the content index, tags for {len(tags)}, interactions of shape "
                f"{log.shape} and segments of {len(segments)} users do not fit together",
                hint="number items and users once and use those numbers everywhere",
            )
        return cls(content, _by_tag(tags, 0), _by_segment(log, segments))

    @property
    def n_items(self) -> int:
        return self._content.n_items

    @property
    def segments(self) -> list[str]:
        """The segments that were seen, sorted."""
        return sorted(name for name in self._popularity if name)

    def with_items(self, content: ContentIndex, tags: Sequence[Sequence[str]]) -> Self:
        """This index over the grown `content`; `tags` are those of the new items only."""
        if content.n_items != self.n_items + len(tags):
            raise BadInput(
                f"the content index grew to {content.n_items} items, tags came for {len(tags)} new ones",
                hint="grow the content index with the same items first",
            )
        added = _by_tag(tags, self.n_items)
        nothing = np.zeros(0, dtype=np.int64)
        tagged = {
            key: np.concatenate([self._tagged.get(key, nothing), added.get(key, nothing)])
            for key in {*self._tagged, *added}
        }
        return type(self)(content, tagged, self._popularity)

    def score(self, interests: Sequence[str], segment: str = "") -> FloatArray:
        """Shape (n_items,), in 0..1; with neither interests nor a known segment, everybody's popularity."""
        wanted = _distinct(interests)
        total = np.zeros(self.n_items, dtype=np.float32)
        interest_share, segment_share = self._shares(wanted, segment)
        for interest in wanted:
            total += self._match(interest) * np.float32(interest_share / len(wanted))
        popular = self._popularity[segment if segment in self._popularity else ""]
        total[: popular.size] += popular * np.float32(segment_share)
        return total

    def explain(self, interests: Sequence[str], segment: str, item: int) -> dict[str, float]:
        """Part of `score(interests, segment)[item]` by `interest:<as given>` and `segment:<name>`."""
        checked_item(item, self.n_items)
        wanted = _distinct(interests)
        interest_share, segment_share = self._shares(wanted, segment)
        parts = {
            f"interest:{interest}": float(self._match(interest)[item]) * interest_share / len(wanted)
            for interest in wanted
        }
        known = segment if segment in self._popularity else ""
        popular = self._popularity[known]
        if segment_share:
            parts[f"segment:{known}"] = float(popular[item]) * segment_share if item < popular.size else 0.0
        return parts

    def arrays(self) -> Arrays:
        """Everything, the content index included."""
        tags, segments = sorted(self._tagged), sorted(self._popularity)
        nothing = np.zeros(0, dtype=np.int64)
        return {
            **{f"content_{name}": array for name, array in self._content.arrays().items()},
            "tag_names": np.asarray(tags, dtype=np.str_),
            "tag_sizes": np.asarray([self._tagged[tag].size for tag in tags], dtype=np.int64),
            "tag_items": np.concatenate([nothing, *(self._tagged[tag] for tag in tags)]),
            "segment_names": np.asarray(segments, dtype=np.str_),
            "segment_scores": np.stack([self._popularity[segment] for segment in segments]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        inner = {name[8:]: array for name, array in arrays.items() if name.startswith("content_")}
        ends = np.cumsum(arrays["tag_sizes"]).tolist()
        groups = [arrays["tag_items"][start:end] for start, end in pairwise([0, *ends])]
        tagged = dict(zip(arrays["tag_names"].tolist(), groups, strict=True))
        popularity = dict(zip(arrays["segment_names"].tolist(), arrays["segment_scores"], strict=True))
        return cls(ContentIndex.from_arrays(inner), tagged, popularity)

    def _match(self, interest: str) -> FloatArray:
        found = self._content.query(interest)
        found[self._tagged.get(tag_key(interest), [])] = 1.0
        return found

    def _shares(self, wanted: Sequence[str], segment: str) -> tuple[float, float]:
        """How much of the score the interests and the segment make up."""
        if not wanted:
            return 0.0, 1.0
        return (0.5, 0.5) if segment and segment in self._popularity else (1.0, 0.0)


def _distinct(interests: Sequence[str]) -> list[str]:
    """Each interest once, as first given: saying a thing twice is not wanting it twice."""
    return list({key: interest for interest in reversed(interests) if (key := tag_key(interest))}.values())[
        ::-1
    ]


def _by_tag(tags: Sequence[Sequence[str]], first_item: int) -> dict[str, IntArray]:
    found: dict[str, list[int]] = {}
    for item, names in enumerate(tags, first_item):
        for key in {tag_key(name) for name in names} - {""}:
            found.setdefault(key, []).append(item)
    return {key: np.asarray(items, dtype=np.int64) for key, items in found.items()}


def _by_segment(log: csr_matrix, segments: Sequence[str]) -> dict[str, FloatArray]:
    names = sorted(set(segments) - {""})
    place = {name: row for row, name in enumerate(names)}
    members = np.asarray([place.get(name, -1) for name in segments], dtype=np.int64)
    named = np.flatnonzero(members >= 0)
    chooser = csr_matrix(
        (np.ones(named.size, dtype=np.float32), (members[named], named)), shape=(len(names), log.shape[0])
    )
    everybody = np.asarray(log.sum(axis=0), dtype=np.float64).ravel()
    prior = everybody * (PRIOR_EVENTS / max(everybody.sum(), 1.0))
    counts = (chooser @ log).toarray().astype(np.float64) + prior
    found = {"": _on_a_log_scale(everybody)}
    found.update({name: _on_a_log_scale(counts[row]) for name, row in place.items()})
    return found


def _on_a_log_scale(counts: NDArray[np.float64]) -> FloatArray:
    scaled = np.log1p(counts)
    return np.asarray(scaled / max(float(scaled.max(initial=0.0)), 1e-12), dtype=np.float32)
