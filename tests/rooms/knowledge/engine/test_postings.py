"""Terms in memory: BM25 as it is written down, and the same whatever came and went before."""

from collections import Counter
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.knowledge.engine.postings import nothing
from holdfast.rooms.knowledge.engine.ranking import LENGTH, SATURATION
from holdfast.rooms.knowledge.rules.words import WHOLE, packed
from holdfast.rooms.knowledge.store.index import Packed

TERMS = ["사과", "바나", "=사과", "망고", "#7"]
chunks = st.lists(st.dictionaries(st.sampled_from(TERMS), st.integers(1, 5)), max_size=4)
corpora = st.dictionaries(st.integers(1, 9), chunks, max_size=6)


def rows(corpus):
    return [
        Packed((version << 20) + at, packed(Counter(count))[1], sum(count.values()))
        for version, counts in corpus.items()
        for at, count in enumerate(counts)
    ]


def made(corpus):
    return nothing().changed({version: f"d{version}" for version in corpus}, rows(corpus))


def by_the_book(corpus, asked):
    """(score, chunk) of each chunk that has any of the terms, best first."""
    counts = {(v << 20) + at: count for v, held in corpus.items() for at, count in enumerate(held)}
    usual = max(1.0, sum(sum(count.values()) for count in counts.values()) / max(1, len(counts)))
    scores = {}
    for chunk, count in counts.items():
        damping = SATURATION * (1 - LENGTH + LENGTH * sum(count.values()) / usual)
        for term in asked:
            if times := count.get(term, 0):
                held = sum(term in other for other in counts.values())
                weight = (WHOLE if term[0] == "=" else 1) * log(1 + (len(counts) - held + 0.5) / (held + 0.5))
                scores[chunk] = scores.get(chunk, 0) + weight * times * (SATURATION + 1) / (times + damping)
    return sorted((-score, chunk) for chunk, score in scores.items())


@given(corpora, st.lists(st.sampled_from([*TERMS, "없다"]), min_size=1, unique=True), st.integers(1, 30))
def test_the_score_is_bm25(corpus, asked, most):
    found = made(corpus).best(asked, most)
    expected = by_the_book(corpus, asked)[:most]
    assert [hit.score for hit in found] == pytest.approx([-score for score, _ in expected])
    assert all(hit.document_id == f"d{hit.chunk >> 20}" and 0 < hit.held <= 1 for hit in found)
    if most >= 30:
        assert {hit.chunk for hit in found} == {chunk for _, chunk in expected}


@given(corpora, corpora)
def test_what_came_and_went_leaves_no_trace(before, after):
    stays = {version: chunks for version, chunks in before.items() if version in after}
    corpus = {**after, **stays}
    documents = {version: f"d{version}" for version in corpus}
    come = rows({version: chunks for version, chunks in corpus.items() if version not in before})
    changed = made(before).changed(documents, come)
    assert set(changed.versions) == set(corpus)
    for term in TERMS:
        assert {(h.chunk, h.score, h.held) for h in changed.best([term], 99)} == {
            (h.chunk, h.score, h.held) for h in made(corpus).best([term], 99)
        }


def test_of_chunks_that_are_level_the_oldest_come_first():
    postings = made({5: [{"사과": 1}], 2: [{"사과": 1}, {"사과": 1}], 9: [{"망고": 1}]})
    assert [hit.chunk for hit in postings.best(["사과"], 2)] == [2 << 20, (2 << 20) + 1]


def test_nothing_has_nothing():
    assert len(nothing()) == 0
    assert nothing().best(["사과"], 3) == []


def test_what_no_chunk_holds_counts_as_asked_for():
    postings = made({1: [{"사과": 1}, {"바나": 1}]})
    [whole], [half] = postings.best(["사과"], 9), postings.best(["사과", "없다"], 9)
    assert (whole.held, half.score) == (1.0, whole.score)
    assert half.held < 0.5
