import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.rooms.telemetry.engine.registry import Registry
from holdfast.rooms.telemetry.engine.snapshot import (
    MAGIC,
    Chunk,
    Header,
    chunk_of,
    frame,
    frames,
    header_of,
    save,
)

RELEASE_1 = (
    b"HFM1\x00\x00\x00\x04\x93\x02\x07\xc3\x00\x00\x00\x8b\x97\xacwait_seconds\xa9histogram\xa6Waits."
    b"\x91\xa5queue\xa3sum\xc2\x91\x97\x91\xa6\xea\xb2\xb0\xec\xa0\x9c\xcb@\x8f@\x00\x00\x00\x00\x00\xcb@\x8f@"
    b"\x00\x00\x00\x00\x00\xcb?\xe0\x00\x00\x00\x00\x00\x00\x01\x81\x10\x01\x81\x01\x93\xcb?\xe0\x00\x00\x00\x00"
    b"\x00\x00\xd9 0af7651916cd43dd8448eb211c80319c\xcb@\x8f@\x00\x00\x00\x00\x00"
)
"""What the first release wrote: it must be read for ever."""


def test_the_bytes_of_the_first_release_are_read() -> None:
    first, second = frames(RELEASE_1)
    assert header_of(first) == Header(2, 7, True)
    chunk = chunk_of(second)
    assert (chunk.name, chunk.kind, chunk.meaning, chunk.labels, chunk.over_workers, chunk.foreign) == (
        "wait_seconds",
        "histogram",
        "Waits.",
        ("queue",),
        "sum",
        False,
    )
    [series] = chunk.series
    assert (series.labels, series.created, series.seen) == (("결제",), 1000.0, 1000.0)
    assert (series.value, series.count, series.counts) == (0.5, 1, {16: 1})
    assert series.exemplars == {1: (0.5, "0af7651916cd43dd8448eb211c80319c", 1000.0)}


def test_a_series_comes_back_as_it_was() -> None:
    registry = Registry(ManualClock(wall_s=1000.0))
    series = registry.histogram("wait_seconds", "Waits.", ("queue",)).labels("결제")
    series.observe(0.5, "t" * 32)
    chunk = Chunk("wait_seconds", "histogram", "Waits.", ("queue",), "sum", False, [save(series)])
    raw = MAGIC + frame(Header(2, 7, True)) + frame(chunk)
    first, second = frames(raw)
    assert header_of(first) == Header(2, 7, True)
    found = chunk_of(second)
    [back] = found.series
    assert (found.name, found.labels, back.labels) == ("wait_seconds", ("queue",), ("결제",))
    assert (back.count, back.counts, back.value) == (1, series.counts, 0.5)
    assert back.exemplars == series.exemplars
    assert (back.created, back.seen) == (1000.0, 1000.0)


def test_whole_numbers_stay_whole() -> None:
    series = Registry(ManualClock()).counter("orders_total", "Orders.").labels()
    series.add(2**53 + 1)
    chunk = Chunk("orders_total", "counter", "Orders.", (), "sum", False, [save(series)])
    [payload] = list(frames(MAGIC + frame(chunk)))
    [back] = chunk_of(payload).series
    assert back.value == 2**53 + 1
    assert (back.count, back.counts, back.exemplars) == (0, {}, {})


@pytest.mark.parametrize("raw", [b"", b"HFM9", MAGIC + b"\x00\x00\x00\x09abc", MAGIC + b"\xff"])
def test_what_is_cut_or_foreign_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"version|within a frame"):
        list(frames(raw))
