"""A stream has ended when each of its choices has."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.chunks import ErrorInside, OpenAIChunks, choices_of, read
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.sse import Event


def event(value, name="message"):
    return Event(name, value if isinstance(value, bytes) else json.dumps(value).encode())


def chunk(*choices, **more):
    made = [{"index": index, "delta": {}, "finish_reason": reason} for index, reason in choices]
    return {"id": "x", "choices": made, **more}


def test_every_choice_asked_for_has_to_end():
    chunks = OpenAIChunks(2)
    chunks.take(event(chunk((0, None))))
    chunks.take(event(chunk((0, "stop"))))
    assert not chunks.finished
    chunks.take(event(chunk((1, "length"))))
    assert chunks.finished
    assert not chunks.over
    assert list(chunks.take(event(b"[DONE]"))) == []
    assert chunks.over


def test_a_choice_that_was_not_asked_for_has_to_end_too():
    chunks = OpenAIChunks()
    chunks.take(event(chunk((0, "stop"), (1, None))))
    assert not chunks.finished


@pytest.mark.parametrize(
    "value",
    [
        b"[]",
        b"1",
        b"\xff",
        b"[" * 100_000,
        {},
        {"choices": 1},
        {"choices": [1]},
        {"choices": [{"index": "a"}]},
    ],
)
def test_what_is_no_chunk_is_told_apart(value):
    chunks = OpenAIChunks()
    assert chunks.take(event(value)) is None
    assert not chunks.begun


@pytest.mark.parametrize("sign", [event(b""), event(b" "), event({"type": "ping"}, "ping")])
def test_a_sign_of_life_is_neither_a_chunk_nor_malformed(sign):
    chunks = OpenAIChunks()
    assert chunks.take(sign) == ()
    assert not chunks.begun


@pytest.mark.parametrize("value", [b"{", b' {"choices": [{"delta": {"content": "\xea\xb0', b"{broken"])
def test_a_damaged_chunk_is_no_noise_but_a_hole_in_the_answer(value):
    with pytest.raises(ProviderFailed) as caught:
        OpenAIChunks().take(event(value))
    assert caught.value.kind is Kind.GARBLED


ODD = ["text", ["x"], [], 5, True, *({"tool_calls": calls} for calls in ("", "f", 5, {}, ["f"], [None]))]


@pytest.mark.parametrize("delta", ODD)
@pytest.mark.parametrize("before", [0, 1])
def test_a_delta_that_nobody_can_read_is_a_hole_in_the_answer(delta, before):
    chunks = OpenAIChunks()
    for _ in range(before):
        chunks.take(event({"id": "x", "choices": [{"index": 0, "delta": {"content": "안녕"}}]}))
    with pytest.raises(ProviderFailed) as caught:
        chunks.take(event({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}))
    assert (caught.value.kind, caught.value.code) == (Kind.GARBLED, "damaged")
    assert not chunks.finished


@pytest.mark.parametrize("delta", [None, {}, {"tool_calls": None}, {"tool_calls": []}, {"tool_calls": [{}]}])
def test_a_delta_that_says_little_is_one(delta):
    assert OpenAIChunks().take(event({"id": "x", "choices": [{"delta": delta}]}))


@pytest.mark.parametrize("value", [chunk(), chunk(usage={"total_tokens": 3}), {"usage": {}, "choices": None}])
def test_a_chunk_without_choices_is_one(value):
    (found,) = OpenAIChunks().take(event(value))
    assert found == value


@pytest.mark.parametrize(
    ("given_event", "error"),
    [
        (event({"error": {"code": 1}}), {"code": 1}),
        (event({"error": "boom"}), "boom"),
        (event({"type": "x"}, "error"), {"type": "x"}),
        (event("고장".encode(), "error"), "고장"),
    ],
)
def test_an_error_instead_of_a_chunk(given_event, error):
    with pytest.raises(ErrorInside) as caught:
        OpenAIChunks().take(given_event)
    assert caught.value.error == error


def test_a_null_error_is_none():
    assert read(event({"error": None, "id": "x"})) == {"error": None, "id": "x"}


@given(st.binary(max_size=60))
def test_no_bytes_make_it_raise(data):
    chunks = OpenAIChunks()
    try:
        chunks.take(Event("message", data))
    except ErrorInside:
        assert b"error" in data
    except ProviderFailed:
        assert data.lstrip()[:1] == b"{"


@pytest.mark.parametrize(("n", "expected"), [(None, 1), (3, 3), (0, 1), (-1, 1), (True, 1), ("2", 1)])
def test_how_many_choices_are_asked_for(n, expected):
    assert choices_of({} if n is None else {"n": n}) == expected
