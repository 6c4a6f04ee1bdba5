"""What is remembered is bounded, and what is asked for stays."""

from holdfast.rooms.experiments.engine.ab.bounded import Bounded


def test_what_nobody_asks_for_is_forgotten_first():
    kept = Bounded(3)
    for key in range(20):
        kept.put(key, key * 10)
        kept.get(0)
    assert kept.get(0) == 0
    assert kept.get(19) == 190
    assert kept.get(1) is None
    assert len(kept) <= 6


def test_a_later_value_holds():
    kept = Bounded(2)
    kept.put("a", 1)
    kept.put("a", 2)
    assert kept.get("a") == 2
