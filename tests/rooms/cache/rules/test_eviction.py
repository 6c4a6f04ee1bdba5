"""The order of leaving: bounds, books, scans, loops."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.rules.eviction import MAX_HITS, SiftedFifo, Sketch


def entry(key, size=1):
    return Entry(str(key), key, "default", 0, 0.0, 0.0, size_bytes=size)


class Cache:
    """The policy as the memory drives it."""

    def __init__(self, capacity, max_bytes=1 << 40):
        self.policy = SiftedFifo(max_bytes, capacity)
        self.capacity, self.max_bytes = capacity, max_bytes
        self.held = {}
        self.hits = self.asked = 0

    def ask(self, key, size=1):
        self.asked += 1
        found = self.held.get(key)
        if found is not None:
            self.hits += 1
            found.hits = min(MAX_HITS, found.hits + 1)
            return
        self.held[key] = new = entry(key, size)
        self.policy.add(new)
        while len(self.policy) > self.capacity or self.policy.size_bytes > self.max_bytes:
            del self.held[self.policy.evict().value]


@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "ask", "drop", "replace"]), st.integers(0, 30), st.integers(1, 40)),
        max_size=300,
    ),
    st.integers(1, 12),
)
@settings(max_examples=200, deadline=None)
def test_the_books_agree_with_what_is_held(steps, capacity):
    cache = Cache(capacity, max_bytes=100)
    for what, key, size in steps:
        if what == "ask":
            cache.ask(key, size)
        elif key in cache.held:
            old = cache.held.pop(key)
            if what == "drop":
                cache.policy.remove(old)
            else:
                cache.held[key] = new = entry(key, min(size, old.size_bytes))
                cache.policy.replace(old, new)
        assert len(cache.policy) == len(cache.held) <= capacity
        assert {each.value for each in cache.policy} == set(cache.held)
        assert cache.policy.size_bytes == sum(each.size_bytes for each in cache.held.values()) <= 100


def test_a_scan_passes_without_disturbing_what_is_asked_for_again():
    cache = Cache(100)
    rng = random.Random(1)
    for _ in range(5_000):
        cache.ask(("hot", rng.randrange(80)))
    for number in range(10_000):
        cache.ask(("scan", number))
    kept = sum(("hot", number) in cache.held for number in range(80))
    assert kept >= 76


def test_a_loop_a_little_larger_than_the_room_is_kept_in_part():
    cache = Cache(100)
    for _ in range(100):
        for number in range(150):
            cache.ask(number)
    assert cache.hits / cache.asked > 0.4, "LRU and FIFO have none"


def test_what_was_popular_once_gives_way():
    cache = Cache(100)
    rng = random.Random(1)
    for phase in range(4):
        for _ in range(30_000):
            cache.ask((phase, min(int(rng.paretovariate(1.0)), 5_000)))
        assert sum((phase, rank) in cache.held for rank in range(1, 31)) >= 28


def test_one_eviction_takes_a_bounded_time_even_when_all_were_asked_for():
    cache = Cache(1_000)
    for number in range(1_000):
        cache.ask(number)
    for each in cache.held.values():
        each.hits = MAX_HITS
    looked_at = list(cache.held.values())
    cache.ask("new")
    assert sum(each.hits == 0 for each in looked_at) < 100


@pytest.mark.parametrize("capacity", [1, 10, 1_000])
def test_a_sketch_never_counts_too_little_and_forgets_by_halves(capacity):
    sketch = Sketch(capacity)
    for times in range(1, 200):
        sketch.add("a")
        sketch.add(f"b{times}")
    assert sketch.count("a") == 31
    assert sketch.count("never") <= 5
    for number in range(capacity * 80 + 1_000):
        sketch.add(f"c{number % 7}")
    assert sketch.count("a") <= 16
