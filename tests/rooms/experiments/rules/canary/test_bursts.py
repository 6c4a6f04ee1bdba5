"""What counts as one: retries do not, and the share of bad ones stays what it is."""

import random

import pytest

from holdfast.rooms.experiments.rules.canary.bursts import BURST_S, counts


def told(requests):
    """(n, bad) of one unit's requests: `(at, failed)` each."""
    n = bad = 0
    since = None
    for at_s, failed in requests:
        counted, since = counts(since, at_s, failed)
        n += counted
        bad += counted and failed
    return n, bad


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([], (0, 0)),
        ([(0, False), (1, False), (2, False)], (3, 0)),
        ([(0, True), (1, True), (2, True)], (1, 1)),
        ([(0, False), (1, True), (2, True), (3, False)], (2, 1)),
        ([(59.0, True), (60.5, True), (62.0, True)], (1, 1)),  # over the turn of a minute, still one
        ([(0, True), (BURST_S, True)], (2, 2)),
        ([(0, True), (BURST_S, False), (BURST_S + 1, False)], (3, 1)),
        ([(1000, True), (10, True)], (2, 2)),  # a clock that went back
    ],
)
def test_each(requests, expected):
    assert told(requests) == expected


def test_the_share_of_bad_ones_stays_the_chance_that_a_request_errs():
    rng, n, bad = random.Random(5), 0, 0
    for _ in range(4000):
        requests = [(k * 3.0, rng.random() < 0.05) for k in range(15)]
        one = told(requests)
        n, bad = n + one[0], bad + one[1]
    assert bad / n == pytest.approx(0.05, abs=0.004)
