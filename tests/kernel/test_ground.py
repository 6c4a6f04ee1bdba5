"""Clock, ids, codec, errors and supervised tasks."""

import asyncio
import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel import tasks
from holdfast.kernel.clock import ManualClock, Stamps, SystemClock
from holdfast.kernel.codec import clean_text, cut_bytes, encode_json, plain
from holdfast.kernel.errors import BadInput, MethodNotAllowed, Problem, unavailable
from holdfast.kernel.ids import IdSource
from holdfast.kernel.tasks import Supervisor


@given(st.floats(min_value=0, max_value=4e9))
def test_stamps_are_iso_and_never_ahead(wall_s: float) -> None:
    stamp = Stamps().iso(wall_s)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)


def test_stamps_follow_a_clock_that_steps_back() -> None:
    stamps = Stamps()
    later, earlier = stamps.iso(1_750_003_600.5), stamps.iso(1_750_000_000.25)
    assert (later[11:], earlier[11:]) == ("16:06:40.500Z", "15:06:40.250Z")


def test_the_system_clock_runs_and_the_manual_one_only_when_told() -> None:
    assert SystemClock.monotonic() <= SystemClock.monotonic()
    clock = ManualClock()
    before = clock.monotonic()
    clock.step_wall(-3600)
    assert clock.monotonic() == before
    clock.advance(1)
    assert clock.monotonic() == before + 1


def test_ids_have_their_form_and_do_not_repeat() -> None:
    ids = IdSource()
    traces = {ids.trace_id() for _ in range(10_000)}
    assert len(traces) == 10_000
    assert all(re.fullmatch("[0-9a-f]{32}", trace) for trace in traces)
    assert re.fullmatch("[0-9a-f]{16}", ids.span_id())


def test_sortable_ids_sort_by_time() -> None:
    ids = IdSource(1)
    made = [ids.sortable(second) for second in range(0, 4_000_000_000, 400_000_000)]
    assert made == sorted(made)
    assert {len(one) for one in made} == {26}


def test_a_forked_child_makes_other_ids() -> None:
    ids = IdSource()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, ids.trace_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert pipe.read() != ids.trace_id()


@given(st.text(alphabet=st.characters()))
def test_cleaned_text_can_always_be_encoded(text: str) -> None:
    clean_text(text).encode("utf-8")


@given(st.text(), st.integers(0, 50))
def test_cutting_never_splits_a_character(text: str, limit: int) -> None:
    found = cut_bytes(text, limit)
    assert text.startswith(found)
    assert len(found.encode()) <= limit or found == ""


def test_cutting_korean_counts_bytes() -> None:
    assert cut_bytes("안녕하세요", 7) == "안녕"


def test_what_json_cannot_hold_becomes_text() -> None:
    odd = {"a": {1, 2}, 3: object, "b": b"\xff", "c": "\udcff", "d": [1.5, None, True]}
    found = json.loads(encode_json(plain(odd)))
    assert found["b"] == "\\xff"
    assert found["c"] == "\\udcff"
    assert found["d"] == [1.5, None, True]
    assert "3" in found


def test_a_problem_says_everything_in_one_shape() -> None:
    document = json.loads(BadInput("limit must be 1-100", hint="send limit=20", field="limit").body("r1"))
    assert document == {
        "type": "urn:holdfast:problem:bad-input",
        "title": "The request is not valid",
        "status": 422,
        "request_id": "r1",
        "detail": "limit must be 1-100",
        "hint": "send limit=20",
        "retryable": False,
        "field": "limit",
    }


@pytest.mark.parametrize(("seconds", "header"), [(0.01, b"1"), (1.0, b"1"), (1.2, b"2"), (30, b"30")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, header: bytes) -> None:
    assert (b"retry-after", header) in unavailable("busy", seconds).headers()


def test_405_says_what_is_allowed() -> None:
    assert (b"allow", b"GET, POST") in MethodNotAllowed("no", allow="GET, POST").headers()


def test_every_problem_has_its_own_code() -> None:
    def below(kind: type[Problem]) -> list[type[Problem]]:
        return [kind, *(inner for child in kind.__subclasses__() for inner in below(child))]

    # A subclass may refine a problem under its parent's code; two that name a code must not name the same.
    codes = [kind.code for kind in below(Problem) if "code" in vars(kind)]
    assert len(set(codes)) == len(codes)


class Panic(BaseException):
    """As a panic in Rust arrives."""


@pytest.mark.parametrize("failure", [RuntimeError("not yet"), asyncio.CancelledError(), Panic()])
@pytest.mark.parametrize("way", ["every", "spawn"])
async def test_a_failing_task_is_run_again(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException, way: str
) -> None:
    monkeypatch.setattr(tasks, "_FIRST_PAUSE_S", 0.001)
    supervisor = Supervisor()
    runs = 0
    done = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise failure
        done.set()

    if way == "every":
        supervisor.every("work", 0.001, work)
    else:
        supervisor.spawn("work", work)
    await done.wait()
    assert supervisor.restarts == {"work": 2}
    assert await supervisor.stop(1) == []


async def test_a_task_that_does_not_listen_is_cancelled_and_named() -> None:
    supervisor = Supervisor()
    supervisor.spawn("deaf", asyncio.Event().wait)  # type: ignore[arg-type] # returns True, never does
    await asyncio.sleep(0)
    assert await supervisor.stop(0.01) == ["deaf"]


async def test_stopping_wakes_whoever_pauses() -> None:
    supervisor = Supervisor()
    paused = asyncio.create_task(supervisor.pause(3600))
    await asyncio.sleep(0)
    await supervisor.stop(1)
    assert await paused is True


async def test_stop_before_start_and_twice_is_legal() -> None:
    supervisor = Supervisor()
    assert await supervisor.stop(0) == []
    assert await supervisor.stop(0) == []


def test_rising_ids_keep_their_order_within_a_millisecond_and_when_the_clock_steps_back():
    ids = IdSource(seed=1)
    made = [ids.rising(wall) for wall in (5.0, 5.0, 5.0, 4.0, 5.001, 5.0)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
