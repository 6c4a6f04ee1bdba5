"""Metrics: what is new since the last time, and nothing twice."""

from tests.rooms.limits.rooms import Harness


class Meter:
    """Adds up what it is told."""

    def __init__(self):
        self.totals = {}
        self.watched = {}

    def counter(self, name, meaning, labels=()):
        return Instrument(self.totals, name)

    gauge = histogram = counter

    def watch(self, name, meaning, read):
        self.watched[name] = read


class Instrument:
    def __init__(self, totals, name):
        self.totals = totals
        self.name = name

    def labels(self, *values):
        return Series(self.totals, (self.name, *values))


class Series:
    def __init__(self, totals, key):
        self.totals = totals
        self.key = key

    def add(self, amount=1):
        self.totals[self.key] = self.totals.get(self.key, 0) + amount


async def test_decisions_reach_the_meter():
    meter = Meter()
    house = Harness("[limits]\nmax_entries = 100", meter=meter)
    assert house.admitted(130, user="a") == 120
    assert house.admitted(20, "/api/v2/recommend/trending", user="b") == 18
    await house.room.start()
    await house.room.stop()
    expected = {
        ("holdfast_limits_decisions_total", "api_call", "allowed"): 138,
        ("holdfast_limits_decisions_total", "api_call", "refused"): 10,
        ("holdfast_limits_decisions_total", "recommendation_request", "allowed"): 18,
        ("holdfast_limits_decisions_total", "recommendation_request", "refused"): 2,
        ("holdfast_limits_refusals_total", "api_call"): 10,
        ("holdfast_limits_refusals_total", "recommendation_request"): 2,
        ("holdfast_limits_sources_total", "local"): 150,
    }
    assert meter.totals == expected
    assert meter.watched["holdfast_limits_table_entries"]() == 3
    for number in range(200):
        house.send(user=f"user-{number}")
    await house.room.start()
    await house.room.stop()
    assert meter.totals["holdfast_limits_decisions_total", "api_call", "allowed"] == 338
    assert meter.totals["holdfast_limits_shared_buckets_total",] == 200 - 97
