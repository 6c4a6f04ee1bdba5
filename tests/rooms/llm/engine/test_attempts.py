"""One attempt: its limits, what its breaker hears, and a stream that is held until it says something."""

import asyncio

import pytest

from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.rooms.llm.engine.attempts import (
    Attempt,
    Limits,
    all_chunks,
    ask_vectors,
    ask_whole,
    open_stream,
)
from holdfast.rooms.llm.rules.asking import text_of
from holdfast.rooms.llm.rules.failures import HeldBack, Kind, ProviderFailed
from holdfast.rooms.llm.rules.settings import Config, Deployment
from tests.rooms.llm.engine.scripted import HANG, Scripted, chunk, fails, paths

BODY = {"messages": [{"role": "user", "content": "안녕"}], "stream_options": {"include_usage": True}}


def path_to(*script, clock=None, **settings):
    clock = clock or SystemClock()
    provider = Scripted(*script)
    config = Config(deployments={"a": Deployment(base_url="x", serves=("m",), model="up", **settings)})
    them, _ = paths(config, clock, a=provider)
    return them.of("m").paths[0], provider, Limits(clock, clock.monotonic() + 30)


def made(path):
    return Attempt(path, 1, path.guard.clock.monotonic())


async def rest(opened):
    return [each async for each in opened]


async def test_the_body_goes_out_under_the_upstream_name_and_without_what_is_for_streams():
    path, provider, limits = path_to("하나")
    await ask_whole(path, {**BODY, "stream": True}, limits, made(path))
    assert provider.calls == [{"messages": BODY["messages"], "model": "up"}]
    opened = await open_stream(path, BODY, limits, made(path))
    await rest(opened)
    assert provider.calls[1]["stream"] is True
    assert provider.calls[1]["stream_options"] == BODY["stream_options"]


@pytest.mark.parametrize("script", [[HANG], [[HANG]]])
async def test_silence_is_a_failure_that_names_its_phase(script):
    path, provider, limits = path_to(*script, attempt_s=0.02, first_token_s=0.02)
    with pytest.raises(ProviderFailed) as caught:
        await (open_stream if isinstance(script[0], list) else ask_whole)(path, BODY, limits, made(path))
    assert caught.value.kind is Kind.SILENT
    assert caught.value.phase in ("answer", "first token")
    assert provider.stopped == 1
    assert path.guard.breaker.in_a_row == 1


async def test_the_whole_calls_end_goes_before_the_deployments_own_limit():
    path, _, _ = path_to(HANG, attempt_s=600.0)
    clock = SystemClock()
    with pytest.raises(ProviderFailed) as caught:
        await ask_whole(path, BODY, Limits(clock, clock.monotonic() + 0.02), made(path))
    assert caught.value.phase == "total"


async def test_a_stream_is_held_until_its_first_content_and_loses_nothing():
    path, _, limits = path_to([chunk(), chunk("하"), chunk("나"), chunk(finish="stop")])
    opened = await open_stream(path, BODY, limits, made(path))
    assert len(opened.held) == 2
    assert len(await rest(opened)) == 4
    assert path.guard.tally.ok == 1


async def test_a_stream_that_ends_well_with_nothing_to_say_is_an_answer():
    path, _, limits = path_to([chunk(), chunk(finish="stop")])
    assert len(await rest(await open_stream(path, BODY, limits, made(path)))) == 2


async def test_a_stall_in_the_middle_is_silence_and_stops_upstream():
    path, provider, limits = path_to([chunk("하"), HANG], idle_s=0.02)
    opened = await open_stream(path, BODY, limits, made(path))
    assert await anext(opened)
    with pytest.raises(ProviderFailed) as caught:
        await anext(opened)
    assert (caught.value.kind, caught.value.phase) == (Kind.SILENT, "idle")
    assert provider.stopped == 1
    assert path.guard.tally.failed == 1


async def test_a_listener_that_leaves_says_nothing_of_the_provider():
    path, provider, limits = path_to([chunk("하"), chunk("나"), chunk(finish="stop")], failures=1)
    opened = await open_stream(path, BODY, limits, made(path))
    await opened.aclose()
    await opened.aclose()
    assert provider.stopped == 1
    assert (path.guard.tally.dropped, path.guard.tally.failed) == (1, 0)
    assert path.guard.breaker.next_s(0.0) == 0


async def test_the_callers_wish_for_a_first_token_is_heard_where_it_is_tighter():
    path, _, _ = path_to([chunk(), HANG], first_token_s=60.0)
    clock = SystemClock()
    with pytest.raises(ProviderFailed) as caught:
        await open_stream(path, BODY, Limits(clock, clock.monotonic() + 30, first_token_s=0.02), made(path))
    assert caught.value.phase == "first token"


async def test_a_watched_answer_comes_by_way_of_a_stream_and_its_silence_is_noticed():
    path, provider, limits = path_to("하나", watch=True)
    assert text_of(await ask_whole(path, BODY, limits, made(path))) == "하나"
    assert provider.calls[0]["stream"] is True
    path, provider, limits = path_to([chunk("하"), HANG], watch=True, idle_s=0.02, attempt_s=600.0)
    with pytest.raises(ProviderFailed) as caught:
        await ask_whole(path, BODY, limits, made(path))
    assert caught.value.phase == "idle"
    assert provider.stopped == 1


@pytest.mark.parametrize(
    ("kind", "next_s"),
    [(Kind.SERVER, 5.0), (Kind.CUT, 5.0), (Kind.AUTH, 0.0), (Kind.CONTENT_FILTER, 0.0), (Kind.BUSY, 0.0)],
)
async def test_what_the_breaker_hears(kind, next_s):
    clock = ManualClock()
    path, _, limits = path_to(fails(kind), clock=clock, failures=1)
    with pytest.raises(ProviderFailed):
        await ask_whole(path, BODY, limits, made(path))
    assert path.guard.breaker.next_s(clock.monotonic()) == next_s
    if next_s:
        with pytest.raises(HeldBack) as caught:
            await ask_whole(path, BODY, limits, made(path))
        assert caught.value.retry_after_s == next_s


async def test_vectors_pass_the_same_gates():
    path, provider, limits = path_to("unused")
    found = await ask_vectors(path, {"input": ["서울"]}, limits, made(path))
    assert found["data"][0]["embedding"] == [1.0, 0.0]
    assert provider.calls == [{"input": ["서울"], "model": "up"}]
    assert path.guard.tally.ok == 1


async def test_no_time_left_is_no_attempt():
    path, provider, _ = path_to("하나")
    with pytest.raises(ProviderFailed) as caught:
        await ask_whole(path, BODY, Limits(path.guard.clock, path.guard.clock.monotonic() - 1), made(path))
    assert (caught.value.kind, provider.calls) == (Kind.SILENT, [])


@pytest.mark.parametrize(("waited_s", "failures"), [(1, 0), (11, 1)])
async def test_a_call_that_was_left_counts_against_whom_had_time_for_a_first_byte(waited_s, failures):
    clock = ManualClock()
    path, provider, _ = path_to(HANG, clock=clock, first_byte_s=10.0)
    now = clock.monotonic()
    limits = Limits(clock, now + waited_s, ends=now + 600)
    asked = asyncio.create_task(ask_whole(path, BODY, limits, made(path)))
    await provider.hanging.wait()
    clock.advance(waited_s)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert path.guard.breaker.in_a_row == failures


async def test_a_client_that_leaves_early_says_nothing_of_the_provider():
    path, provider, limits = path_to(HANG)
    asked = asyncio.create_task(ask_whole(path, BODY, limits, made(path)))
    await provider.hanging.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert path.guard.breaker.in_a_row == 0


async def test_what_had_come_of_a_held_stream_that_is_cut_is_told():
    path, _, limits = path_to([chunk("하나"), chunk("둘"), fails(Kind.CUT)])
    with pytest.raises(ProviderFailed) as caught:
        await all_chunks(path, BODY, limits, made(path))
    assert text_of(caught.value.partial) == "하나둘"


async def test_an_attempt_is_sent_once_it_is_past_the_gates():
    path, _, limits = path_to("하나", concurrent=1)
    sent = made(path)
    await ask_whole(path, BODY, limits, sent)
    assert sent.sent
    path.guard.bulkhead.free = 0
    refused = made(path)
    with pytest.raises(ProviderFailed):
        await ask_whole(path, BODY, limits, refused)
    assert not refused.sent
