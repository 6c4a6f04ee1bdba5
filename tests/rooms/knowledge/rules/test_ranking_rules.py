"""Fusing, spreading out, judging an embedder, and what a failed batch allows: decisions in tables."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import Problem
from holdfast.rooms.knowledge.rules.embedding import (
    Batching,
    Input,
    UnfitVector,
    Way,
    batches,
    pause_s,
    way_on,
)
from holdfast.rooms.knowledge.rules.fusion import fused
from holdfast.rooms.knowledge.rules.mmr import Likeness, spread
from holdfast.rooms.knowledge.rules.stored import Hit
from holdfast.rooms.knowledge.rules.trial import Trial, case_of, is_due, verdict, weight
from holdfast.rooms.knowledge.rules.words import packed


def hits(*chunks):
    return [Hit(chunk, 1.0 / (at + 1), "d", 0.5) for at, chunk in enumerate(chunks)]


def test_one_leg_alone_stays_as_it_is():
    assert fused([(hits(3, 1), 1.0), ([], 1.0)], 5) == hits(3, 1)
    assert fused([(hits(3, 1), 1.0), (hits(9, 8), 0.0)], 1) == hits(3)
    assert fused([], 5) == []


def test_legs_count_by_their_weight():
    legs = hits(1, 2, 3), hits(3, 9, 1)
    assert fused([(legs[0], 1.0), (legs[1], 0.2)], 1)[0].chunk == 1
    assert fused([(legs[0], 0.2), (legs[1], 1.0)], 1)[0].chunk == 3


@given(
    st.lists(st.integers(0, 20), unique=True, max_size=12),
    st.lists(st.integers(0, 20), unique=True, max_size=12),
)
def test_fusing_loses_and_invents_nothing(one, other):
    found = [hit.chunk for hit in fused([(hits(*one), 1.0), (hits(*other), 0.7)], 50)]
    assert sorted(found) == sorted(set(one) | set(other))


def test_a_copy_waits_until_something_else_was_said():
    texts = [Counter({"a": 1, "b": 1}), Counter({"a": 1, "b": 1}), Counter({"c": 1}), Counter()]
    alike = Likeness([packed(text)[1] for text in texts])
    assert alike[0].tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0])
    assert spread([1.0, 0.99, 0.8, 0.0], alike, 4) == [0, 2, 3, 1]
    assert spread([1.0, 0.99, 0.8, 0.0], alike, 9, balance=0.0) == [0, 1, 2, 3]
    assert spread([], np.zeros((0, 0), np.float32), 3) == []
    assert spread([5.0, 5.0], Likeness([b"", b""]), 2) == [0, 1]


@given(st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=6))
def test_likeness_is_the_cosine_of_the_sets(sets):
    alike = Likeness([packed(Counter(terms))[1] for terms in sets])
    for at in [*range(len(sets)), 0]:
        wanted = [
            len(sets[at] & other) / (max(1, len(sets[at])) * max(1, len(other))) ** 0.5 for other in sets
        ]
        assert alike[at].tolist() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("trial", "wanted", "words"),
    [
        (None, 0.0, "not tried"),
        (Trial(7, 1.0, 1.0, 7, 0), 0.0, "too few"),
        (Trial(64, 0.3, 0.8, 900, 0), 0.0, "too far behind"),
        (Trial(64, 0.6, 0.8, 900, 0), 0.75, "fused;"),
        (Trial(64, 0.9, 0.1, 900, 0), 1.5, "fused;"),
    ],
)
def test_an_embedder_counts_what_it_has_shown(trial, wanted, words):
    assert weight(trial) == pytest.approx(wanted)
    assert words in verdict(trial)


def test_a_trial_is_held_again_when_the_index_has_grown():
    assert is_due(None, 1)
    assert not is_due(Trial(64, 1, 1, 100, 0), 399)
    assert is_due(Trial(64, 1, 1, 100, 0), 400)
    assert is_due(Trial(3, 1, 1, 4, 0), 5)


def test_a_case_is_a_first_sentence_and_the_rest():
    case = case_of(
        "농장은 겨울에도 문을 연다. 딸기는 온실에서 자라며 하루 두 번 물을 주고 저녁에는 늘 불을 켜 둔다."
    )
    assert case.question == "농장은 겨울에도 문을 연다."
    assert case.rest.startswith("딸기는")
    assert case_of("한 문장뿐이다.") is None
    assert case_of("") is None


class Failure(Problem):
    def __init__(self, status, retryable, after=None):
        super().__init__("x", retry_after_s=after)
        self.status, self.retryable = status, retryable


@pytest.mark.parametrize(
    ("status", "retryable", "size", "tries", "way"),
    [
        (429, True, 64, 1, Way.AGAIN),
        (429, True, 64, 5, Way.GIVE_UP),
        (502, True, 64, 5, Way.GIVE_UP),
        (502, True, 1, 5, Way.GIVE_UP),
        (422, True, 64, 5, Way.HALVES),
        (413, True, 1, 5, Way.POISON),
        (400, False, 64, 1, Way.HALVES),
        (400, False, 1, 1, Way.POISON),
        (503, False, 1, 1, Way.GIVE_UP),
        (404, False, 64, 1, Way.GIVE_UP),
    ],
)
def test_what_a_failed_batch_allows(status, retryable, size, tries, way):
    assert way_on(Failure(status, retryable), size, tries, 5) is way


def test_a_vector_that_is_none_may_be_the_text_s_fault():
    assert [way_on(UnfitVector("zero"), size, 1, 5) for size in (2, 1)] == [Way.HALVES, Way.POISON]


def test_pauses_are_as_told_or_double():
    assert [pause_s(Failure(500, True), tries) for tries in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert pause_s(Failure(429, True, 7.5), 1) == 7.5


@given(st.lists(st.integers(1, 9_000), max_size=40))
def test_batches_keep_order_and_bounds(sizes):
    how = Batching(size=8, tokens=2_000)
    inputs = [Input(str(at), "x" * size) for at, size in enumerate(sizes)]
    made = list(batches(inputs, how))
    assert [each for batch in made for each in batch] == inputs
    assert all(len(batch) <= 8 for batch in made)
    assert all(len(batch) == 1 or sum(len(each.text) for each in batch) / 3 <= 2_000 for batch in made)
