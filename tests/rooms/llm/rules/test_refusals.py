"""What providers answer when they refuse, and the kind that it is."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.failures import Kind
from holdfast.rooms.llm.rules.refusals import (
    Told,
    kind_of,
    masked,
    refused,
    retry_after,
    shown,
    texts_of,
    told,
    told_in,
)

NOW = 1_750_000_000.0


def error(message="", code=None, kind=None, **more):
    return {"error": {"message": message, "code": code, "type": kind, **more}}


AZURE_FILTER = error(
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "content_filter",
    None,
    innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("", "context_length_exceeded"), "CONTEXT_LENGTH"),
        (400, error("This model's maximum context length is 8192 tokens, however you"), "CONTEXT_LENGTH"),
        (400, error("prompt is too long: 210 tokens > 200", None, "invalid_request_error"), "CONTEXT_LENGTH"),
        (413, error("Please reduce the length of the messages"), "CONTEXT_LENGTH"),
        (400, AZURE_FILTER, "CONTENT_FILTER"),
        (400, error("Your request was rejected as a result of our safety system."), "CONTENT_FILTER"),
        (400, error("", "content_policy_violation"), "CONTENT_FILTER"),
        (403, error("", "content_filter"), "CONTENT_FILTER"),
        (400, error("Invalid type for 'messages'", "invalid_type", "invalid_request_error"), "BAD_REQUEST"),
        (400, error("model `x` does not exist"), "NOT_FOUND"),
        (400, error("Your credit balance is too low", None, "invalid_request_error"), "QUOTA"),
        (401, error("Incorrect API key provided: sk-ab***cd.", "invalid_api_key"), "AUTH"),
        (400, error("API key not valid. Please pass a", 400, status="INVALID_ARGUMENT"), "AUTH"),
        (402, {}, "QUOTA"),
        (403, error("Country not supported", "unsupported_country_region_territory"), "AUTH"),
        (404, error("The model `gpt-9` does not exist", "model_not_found"), "NOT_FOUND"),
        (404, error("", "DeploymentNotFound"), "NOT_FOUND"),
        (404, {"detail": "Not Found"}, "NOT_FOUND"),
        (405, {}, "NOT_FOUND"),
        (301, {}, "NOT_FOUND"),
        (408, {}, "SERVER"),
        (409, {}, "SERVER"),
        (413, error("", None, "request_too_large"), "TOO_LARGE"),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "BAD_REQUEST"),
        (418, {}, "BAD_REQUEST"),
        (429, error("Rate limit reached for gpt-4o", "rate_limit_exceeded", "tokens"), "RATE_LIMITED"),
        (429, error("Request too large: maximum context length", "rate_limit_exceeded"), "RATE_LIMITED"),
        (429, error("please check your plan", "insufficient_quota"), "QUOTA"),
        (429, error("You exceeded your current quota"), "QUOTA"),
        (429, {}, "RATE_LIMITED"),
        (429, error("", "engine_overloaded"), "OVERLOADED"),
        (500, error("The server had an error", None, "server_error"), "SERVER"),
        (500, error("content policy service: maximum context length unavailable"), "SERVER"),
        (502, {}, "SERVER"),
        (503, {}, "OVERLOADED"),
        (504, {}, "SERVER"),
        (529, error("Overloaded", None, "overloaded_error"), "OVERLOADED"),
        (520, {}, "SERVER"),
        (599, error("", "invalid_request_error"), "SERVER"),
        (0, error("Overloaded", None, "overloaded_error"), "OVERLOADED"),
        (0, error("boom", None, "server_error"), "SERVER"),
        (0, error("boom"), "SERVER"),
        (0, error("limit", 429), "RATE_LIMITED"),
        (200, error("Provider returned error", 502), "SERVER"),
        (0, error("maximum context length"), "CONTEXT_LENGTH"),
        (0, error("bad", None, "invalid_request_error"), "BAD_REQUEST"),
        (400, [error("API key not valid", 400)], "AUTH"),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "x"}}, "BAD_REQUEST"),
        (401, "<html>nginx</html>", "AUTH"),
        (400, {"message": "input is too long for requested model"}, "CONTEXT_LENGTH"),
        (400, {"error": "context window exceeded"}, "CONTEXT_LENGTH"),
    ],
)  # fmt: skip
def test_refusals_and_their_kinds(status, body, kind):
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert kind_of(status, told_in(raw)) is Kind[kind]


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "detail", "innererror"]), inner
        )
    ),
    max_leaves=10,
)


@given(st.integers(0, 999), JSONS)
def test_no_body_makes_it_raise_and_a_server_s_fault_is_never_the_request_s(status, body):
    failed = refused(status, told_in(json.dumps(body).encode()), {}, NOW, secret="", prompt=())
    assert isinstance(failed.kind, Kind)
    if status >= 500 and told_in(json.dumps(body).encode()) == Told("", "", "", ""):
        assert failed.policy.again


@given(st.binary(max_size=100))
def test_no_bytes_make_it_raise(body):
    assert isinstance(told_in(body), Told)


def test_deep_json_says_nothing():
    assert told_in(b"[" * 100_000) == Told("", "", "", "")


def dated(seconds):
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True).encode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({b"retry-after": b"3"}, 3.0),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after": b"60"}, 60.0),
        ({b"retry-after": b" 0 "}, 0.0),
        ({b"retry-after-ms": b"250"}, 0.25),
        ({b"retry-after-ms": b"250", b"retry-after": b"9"}, 0.25),
        ({b"retry-after-ms": b"soon", b"retry-after": b"9"}, 9.0),
        ({b"retry-after": dated(90)}, 90.0),
        ({b"retry-after": dated(-90)}, None),
        ({b"retry-after": b"-5"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"1e9"}, None),
        ({b"retry-after": b""}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"Mon, 99 Foo 2025 00:00:00 GMT"}, None),
        ({b"retry-after": "곧".encode()}, None),
        ({b"retry-after": b"9" * 400}, None),
        ({}, None),
    ],
)
def test_what_the_headers_ask_to_wait(headers, expected):
    assert retry_after(headers, NOW) == (None if expected is None else pytest.approx(expected))


@given(st.binary(max_size=40))
def test_no_header_makes_it_raise_or_wait_for_ever(value):
    for name in (b"retry-after", b"retry-after-ms"):
        wait_s = retry_after({name: value}, NOW)
        assert wait_s is None or 0 <= wait_s < float("inf")


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcDEF123456. You can find",
        "Incorrect API key provided: sk-ab***cd.",
        "Authorization: Bearer abcdef.ghi",
        "api-key: 0123456789abcdef",
        "key 0123456789abcdef0123456789abcdef is wrong",
        "gsk_abcdefgh12345678 no",
        "x-api-key=sk-ant-api03-AbCdEf",
    ],
)
def test_whatever_looks_like_a_key_is_masked(text):
    found = masked(text)
    for secret in ("abcDEF123456", "sk-ab", "abcdef", "0123456789abcdef", "gsk_", "AbCdEf"):
        assert secret not in found
    assert "…" in found


def test_words_that_are_no_keys_stay():
    text = "The model gpt-4o-mini-2024-07-18 takes at most 8192 tokens; see /docs/guides"
    assert masked(text) == text


def test_the_key_itself_is_masked_whatever_it_looks_like():
    assert "열쇠123" not in shown("no such key 열쇠123 here", "열쇠123", ())


@pytest.mark.parametrize(
    ("message", "prompt", "repeats"),
    [
        (
            "Invalid input: 'tell me about my divorce from Anna'",
            "Please tell me about my divorce from Anna.",
            True,
        ),
        ("잘못된 입력: 비밀번호는 바나나1234 입니다", "제 비밀번호는 바나나1234 입니다", True),
        ("bad text 'hi'", "hi", True),
        ("this model is unknown", "hi", False),
        ("The model does not exist", "What is the capital of France?", False),
        ("got '안녕'", "안녕", True),
        ("anything at all", "x" * 2_000_000, True),
        ("anything at all", "", False),
    ],
)
def test_words_that_repeat_the_prompt_are_not_shown(message, prompt, repeats):
    found = shown(message, "", [prompt])
    assert (found != message) is repeats
    if repeats and len(prompt) < 100:
        assert prompt not in found


@given(st.text(min_size=15, max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_a_run_of_the_prompt_never_shows(prompt, before, after):
    plain = " ".join(prompt.split())
    found = shown(before + prompt + after, "", [prompt])
    assert len(plain) < 15 or plain not in found


def test_texts_of_a_request_are_found_wherever_people_write():
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "user", "content": [{"type": "text", "text": "two"}]},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "three"}}]},
        ],
        "input": ["four"],
        "prompt": "five",
    }
    assert {"one", "two", "three", "four", "five"} <= set(texts_of(body))
    assert "user" not in texts_of(body)


def test_a_failure_says_what_may_be_shown_and_no_more():
    said = told({"message": "Key sk-abcdef123456 is wrong\n for x", "code": "invalid_api_key"})
    failed = refused(401, said, {b"retry-after": b"7"}, NOW, secret="", prompt=())
    assert (failed.kind, failed.code, failed.upstream_status) == (Kind.AUTH, "invalid_api_key", 401)
    assert failed.retry_after_s == 7.0
    assert str(failed) == "the provider answered 401 (invalid_api_key): Key … is wrong for x"


@pytest.mark.parametrize("code", ["a b", "x" * 65, "<script>", "코드", True, 1.5, None, [], {}])
def test_a_code_is_a_word_or_nothing(code):
    assert told({"code": code}).code == ""
