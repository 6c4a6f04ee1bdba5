"""The store of answered questions: scopes, bounds, bad hits, and the sample that watches them."""

import random

import pytest

from holdfast.rooms.llm.engine.semantic import Hit, SemanticStore
from holdfast.rooms.llm.rules.vectors import vector


def store(**settings):
    return SemanticStore(rng=random.Random(1), **settings)


def test_a_paraphrase_finds_the_answer():
    known = store()
    assert known.add("s", "How do I turn on dark mode?", "k1")
    found = known.find("s", "Please, how can I enable dark mode?")
    assert found is not None
    assert found.key == "k1"
    assert 0.35 < found.similarity < 1
    assert known.find("s", "다크 모드를 켜는 방법") is None
    known.add("s", "다크 모드를 켜는 방법", "k2")
    assert known.find("s", "다크 모드 켜려면 어떻게 하나요?").key == "k2"
    assert (known.counts.hits, known.counts.misses, known.counts.added) == (2, 1, 2)


@pytest.mark.parametrize(
    "text",
    ["How do I turn off dark mode?", "How do I not turn on dark mode?", "How do I turn on 2 dark modes?"],
)
def test_another_question_is_a_miss(text):
    known = store(threshold=-1.0)
    known.add("s", "How do I turn on dark mode?", "k1")
    assert known.find("s", text) is None


def test_scopes_share_nothing():
    known = store()
    known.add("tenant a", "서울 날씨 알려줘", "k1")
    assert known.find("tenant b", "서울 날씨 알려줘") is None


def test_what_is_too_far_away_is_a_miss():
    known = store(threshold=0.99)
    known.add("s", "How do I turn on dark mode?", "k1")
    assert known.find("s", "How can I enable dark mode?") is None
    assert known.counts.refused == 1
    assert known.find("s", "How do I turn on dark mode?") == Hit("k1", pytest.approx(1.0, abs=1e-5))


def test_the_newer_answer_counts():
    known = store()
    known.add("s", "서울 날씨?", "old")
    known.add("s", "서울 날씨", "new")
    assert known.find("s", "서울 날씨").key == "new"
    assert len(known) == 1
    assert known.evict("old") == 0


def test_a_bad_hit_is_taken_out_wherever_it_stands():
    known = store()
    known.add("s", "서울 날씨", "k")
    known.add("s", "부산 날씨", "k")
    known.add("s", "대전 날씨", "other")
    assert known.evict("k") == 2
    assert known.evict("k") == 0
    assert known.find("s", "서울 날씨") is None
    assert known.find("s", "대전 날씨").key == "other"
    assert known.counts.evicted == 2


def test_the_least_recently_used_goes_first():
    known = store(max_entries=2)
    known.add("s", "서울 날씨", "a")
    known.add("s", "부산 날씨", "b")
    known.find("s", "서울 날씨")
    known.add("s", "대전 날씨", "c")
    assert [known.find("s", f"{city} 날씨") is not None for city in ("서울", "부산", "대전")] == [
        True,
        False,
        True,
    ]
    assert known.counts.dropped == 1


def test_bytes_are_bounded_and_given_back():
    known = store(max_bytes=20_000)
    for number in range(50):
        known.add("s", f"{number}번 주문의 배송", f"key-{number}")
        assert known.size_bytes <= 20_000
    assert 0 < len(known) < 50
    for number in range(50):
        known.evict(f"key-{number}")
    assert (len(known), known.size_bytes) == (0, 0)


def test_an_entry_larger_than_the_store_is_not_kept():
    known = store(max_bytes=100)
    known.add("s", "서울 날씨", "k")
    assert (len(known), known.size_bytes) == (0, 0)


def test_clearing_forgets_all():
    known = store()
    known.add("s", "서울 날씨", "k")
    known.clear()
    assert (len(known), known.size_bytes, known.find("s", "서울 날씨")) == (0, 0, None)


def test_a_document_is_no_question():
    known = store()
    assert not known.add("s", "가" * 5_000, "k")
    assert known.find("s", "가" * 5_000) is None


@pytest.mark.parametrize("text", ["\ud800 날씨", "\0", "", "😀"])
def test_odd_texts_are_kept_apart(text):
    known = store()
    known.add("s", text, "k")
    assert known.find("s", text).key == "k"
    assert known.find("s", text + " 3") is None


def test_another_embedder_is_asked_and_another_length_is_no_neighbour():
    asked = []

    def embed(text):
        asked.append(text)
        return vector(text, 64 if len(asked) < 2 else 128)

    known = store(embed=embed)
    known.add("s", "서울 날씨", "k")
    assert known.find("s", "부산 날씨") is None
    assert asked == ["서울 날씨"], "no vector is made without a candidate"
    assert known.find("s", "서울 날씨") is None
    assert known.counts.refused == 1


def test_the_sample_and_its_rate():
    known = store(sample_share=0.25)
    drawn = sum(known.should_sample() for _ in range(4_000))
    assert 800 < drawn < 1_200
    assert known.false_hit_rate is None
    for wrong in (True, False, False, False):
        known.judged(wrong)
    assert known.false_hit_rate == 0.25
    assert not any(store(sample_share=0.0).should_sample() for _ in range(100))
