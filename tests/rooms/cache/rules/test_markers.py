"""No marker is ever forgotten, however many there are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, PREFIX, TAG, HybridClock, Marker
from holdfast.rooms.cache.rules.markers import Markers

NAMES = st.text("ab가\0 ", max_size=5)
MARKERS = st.lists(st.tuples(st.sampled_from([KEY, TAG, PREFIX, EVERYTHING]), NAMES, st.integers(1, 60)))
PROBES = st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=2), st.integers(1, 61)), max_size=10)


def kills(marker, key, tags, born):
    """What a marker means, written down plainly."""
    scope, name, stamp = marker
    concerned = {
        KEY: key == name,
        TAG: name in tags,
        PREFIX: key.startswith(name),
        EVERYTHING: True,
    }[scope]
    return concerned and born <= stamp


@given(MARKERS, PROBES)
@settings(max_examples=300, deadline=None)
def test_as_long_as_there_is_room_it_says_exactly_what_each_marker_means(markers, probes):
    known = Markers(10_000)
    for scope, name, stamp in markers:
        known.hear(Marker(scope, name, stamp))
    for key, tags, born in probes:
        assert bool(known.killer(key, tags, born)) == any(kills(each, key, tags, born) for each in markers)


@given(MARKERS, PROBES, st.integers(0, 20))
@settings(max_examples=300, deadline=None)
def test_beyond_its_room_it_kills_at_least_that(markers, probes, limit):
    known = Markers(limit)
    for scope, name, stamp in markers:
        known.hear(Marker(scope, name, stamp))
        assert len(known) <= limit + 1
    for key, tags, born in probes:
        if any(kills(each, key, tags, born) for each in markers):
            assert known.killer(key, tags, born)


def test_what_was_folded_hardly_kills_others():
    known = Markers(1_000)
    for number in range(10_000):
        known.hear(Marker(TAG, f"user:{number}", number + 1))
    assert len(known) <= 1_000
    assert all(known.killer("k", (f"user:{number}",), number + 1) for number in range(10_000))
    innocent = sum(bool(known.killer(f"k:{number}", (f"other:{number}",), 1)) for number in range(1_000))
    assert innocent < 400, "10,000 markers in 65,536 groups concern one name in seven, and an entry has two"


def test_more_lengths_of_prefixes_than_are_kept_apart_are_cut_to_shorter_ones():
    known = Markers(1_000)
    for length in range(1, 200):
        known.hear(Marker(PREFIX, "p" * length, length))
    for length in range(1, 200):
        assert known.killer("p" * length, (), length) == PREFIX


def test_the_same_marker_again_is_no_news():
    known = Markers(100)
    assert known.hear(Marker(KEY, "k", 5))
    count = known.count
    assert not known.hear(Marker(KEY, "k", 5))
    assert not known.hear(Marker(KEY, "k", 4))
    assert known.count == count
    assert known.hear(Marker(EVERYTHING, "", 9))
    assert not known.hear(Marker(TAG, "t", 9))
    assert len(known) == 0


@pytest.mark.parametrize("now", [[5, 5, 5], [5, 3, 1], [1, 9, 2]])
def test_stamps_only_grow(now):
    clock = HybridClock()
    stamps = [clock.stamp(each) for each in now]
    assert stamps == sorted(set(stamps))
    clock.witness(1_000)
    assert clock.stamp(0) > 1_000
