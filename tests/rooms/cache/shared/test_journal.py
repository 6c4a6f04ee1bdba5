"""The journal: the last write of a key wins, markers are never dropped, and everything is bounded."""

from random import Random

from holdfast.rooms.cache.engine.shared_journal import Journal
from holdfast.rooms.cache.rules.entry import EVERYTHING, KEY, TAG, Entry, Marker
from holdfast.rooms.cache.rules.markers import Markers


def entry(key: str, born: int, body: bytes = b"1") -> Entry:
    return Entry(key, None, "default", born, 10.0, 20.0, body=body)


def journal(max_bytes: int = 1 << 20, max_markers: int = 100) -> Journal:
    return Journal(max_bytes=max_bytes, max_markers=max_markers, recent_s=10.0)


def test_the_last_write_of_a_key_wins_whatever_the_order():
    missed = journal()
    missed.miss_write(entry("k", 2), replaces=True)
    missed.miss_write(entry("k", 1), replaces=False)
    missed.miss_write(entry("k", 3), replaces=False)
    [(last, replaces)] = missed.take_writes(10)
    assert (last.born, replaces) == (3, True)
    assert (missed.writes, missed.size_bytes) == (0, 0)


def test_a_marker_keeps_its_stamp_and_the_latest_of_a_name_counts():
    missed = journal()
    missed.miss_marker(Marker(TAG, "t", 5))
    missed.miss_marker(Marker(TAG, "t", 3))
    assert missed.missed_markers() == [Marker(TAG, "t", 5)]
    missed.miss_marker(Marker(TAG, "t", 8))
    missed.settle_marker(Marker(TAG, "t", 5))
    assert missed.missed_markers() == [Marker(TAG, "t", 8)]
    missed.settle_marker(Marker(TAG, "t", 8))
    assert missed.markers == 0


def test_a_marker_takes_the_writes_it_kills():
    missed = journal()
    for key, born in (("a", 1), ("b", 2), ("c", 9)):
        missed.miss_write(entry(key, born), replaces=True)
    missed.miss_marker(Marker(KEY, "a", 1))
    assert missed.writes == 2
    missed.miss_marker(Marker(EVERYTHING, "", 5))
    assert [each.key for each, _ in missed.take_writes(10)] == ["c"]


def test_a_write_without_room_is_lost_and_what_it_replaces_is_killed():
    missed = journal(max_bytes=11_000)
    missed.miss_write(entry("loaded", 1, bytes(5_000)), replaces=False)
    missed.miss_write(entry("set", 2, bytes(4_000)), replaces=True)
    missed.miss_write(entry("new", 3, bytes(5_000)), replaces=True)
    assert missed.lost == 1
    assert missed.markers == 0
    missed.miss_write(entry("newer", 4, bytes(4_000)), replaces=True)
    assert missed.missed_markers() == [Marker(KEY, "set", 1)]
    missed.miss_write(entry("huge", 7, bytes(20_000)), replaces=True)
    assert Marker(KEY, "huge", 6) in missed.missed_markers()
    assert [each.key for each, _ in missed.take_writes(10)] == ["new", "newer"]


def test_too_many_markers_become_one_for_everything():
    missed = journal(max_markers=10)
    missed.miss_write(entry("old", 5), replaces=False)
    missed.miss_write(entry("new", 500), replaces=False)
    for i in range(11):
        missed.miss_marker(Marker(TAG, f"t{i}", 100 - i))
    assert missed.missed_markers() == [Marker(EVERYTHING, "", 100)]
    assert missed.collapsed == 1
    assert [each.key for each, _ in missed.take_writes(10)] == ["new"]


def test_whatever_was_marked_is_still_killed():
    rng = Random(5)
    for _ in range(50):
        missed, said = journal(max_markers=rng.randint(1, 20)), []
        for _ in range(rng.randint(1, 60)):
            said.append(
                Marker(rng.choice((KEY, TAG)), rng.choice("abcdefghijklmnopqrst"), rng.randint(1, 99))
            )
            missed.miss_marker(said[-1])
        kept = Markers(10_000)
        for marker in missed.missed_markers():
            kept.hear(marker)
        for scope, name, stamp in ((m.scope, m.name, m.stamp) for m in said):
            killed = kept.killer(name, (), stamp) if scope == KEY else kept.killer("-", (name,), stamp)
            assert killed, (scope, name, stamp)


def test_what_was_said_lately_is_known_for_a_while():
    missed = journal(max_markers=3)
    for at in range(5):
        missed.said(Marker(TAG, f"t{at}", at + 1), float(at))
    assert [marker.stamp for marker in missed.recent(5.0)] == [3, 4, 5]
    assert [marker.stamp for marker in missed.recent(13.5)] == [5]
    assert missed.recent(99.0) == []
