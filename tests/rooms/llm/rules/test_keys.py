"""Two requests share a key exactly when no provider could tell them apart."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.keys import UNHEARD, is_cacheable, is_storable, request_key, same_model

BODY = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "간결하게 답하세요."},
        {"role": "user", "content": "프랑스의 수도는?"},
    ],
    "temperature": 0,
    "top_p": 1,
    "max_tokens": 64,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.text("abcdefg", min_size=1, max_size=5), values, max_size=6)


def shuffled(value):
    """The same JSON with every object's fields in the other order."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(list(value))}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def other_numbers(value):
    """The same JSON with every whole number in its other form."""
    if isinstance(value, dict):
        return {name: other_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [other_numbers(item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return float(value) if isinstance(value, int) else value


def key(body, tenant="t", template=""):
    return request_key(body, tenant, template)


@given(bodies)
def test_the_order_of_fields_does_not_count(body):
    assert key(body) == key(shuffled(body))


@given(bodies)
def test_the_form_of_a_number_does_not_count(body):
    assert key(body) == key(other_numbers(body))


@given(bodies)
def test_making_a_key_leaves_the_body_as_it_was(body):
    before = copy.deepcopy(body)
    key(body)
    assert body == before


@given(bodies, st.text("abcdefg", min_size=1, max_size=5), values)
def test_any_other_value_of_any_field_is_another_request(body, name, value):
    changed = {**body, name: value}
    same = other_numbers(shuffled(changed)) == other_numbers(shuffled(body))
    if not same and not (value is None and body.get(name) is None) and repr(changed) != repr(body):
        assert key(changed) != key(body) or other_numbers(changed) == other_numbers(body)


@pytest.mark.parametrize("name", sorted(UNHEARD))
def test_what_no_model_hears_does_not_count(name):
    assert key({**BODY, name: "x"}) == key(BODY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "gpt-4o-mini"),
        ("temperature", 0.1),
        ("top_p", 0.9),
        ("top_k", 40),
        ("n", 2),
        ("seed", 7),
        ("stop", ["\n"]),
        ("max_tokens", 65),
        ("max_completion_tokens", 64),
        ("presence_penalty", 0.1),
        ("frequency_penalty", 0.1),
        ("logit_bias", {"50256": -100}),
        ("logprobs", True),
        ("response_format", {"type": "json_object"}),
        ("tool_choice", "none"),
        ("tools", []),
        ("reasoning_effort", "high"),
        ("passages", [{"id": "a", "text": "글"}]),
        ("a_field_of_next_year", 1),
        ("messages", BODY["messages"][1:]),
    ],
)
def test_every_field_that_a_model_hears_counts(name, value):
    assert key({**BODY, name: value}) != key(BODY)


def test_null_and_absent_are_one():
    assert key({**BODY, "stop": None}) == key(BODY)


def test_true_is_not_one():
    assert key({**BODY, "logprobs": True}) != key({**BODY, "logprobs": 1})


def test_numbers_do_not_drift():
    assert key({**BODY, "temperature": 0.1 + 0.2}) != key({**BODY, "temperature": 0.3})
    assert key({**BODY, "seed": 2**53 + 1}) != key({**BODY, "seed": 2**53})
    assert key({**BODY, "temperature": float("nan")}) != key({**BODY, "temperature": None})


def test_the_purpose_is_heard_since_the_extractive_model_summarises_by_it():
    assert key({**BODY, "metadata": {"purpose": "summary"}}) != key(BODY)


def test_tenant_and_template_count_and_never_run_into_each_other():
    pairs = [("a", ""), ("", "a"), ("a\0", ""), ("a", "\0"), ("ab", "c"), ("a", "bc"), ('a","', "")]
    keys = [request_key(BODY, tenant, template) for tenant, template in pairs]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("text", ["\ud800", "\udfff x", "\0", "a\0b", "한글\ud83d"])
def test_lone_surrogates_and_nul_have_keys_of_their_own(text):
    def asking(content):
        return {**BODY, "messages": [{"role": "user", "content": content}]}

    escaped = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    spelt = text.encode("unicode_escape").decode()
    assert len({key(asking(one)) for one in (text, spelt, escaped + "!", text * 2)}) == 4
    assert key(asking(text)) == key(asking(text))


def test_images_stand_as_digests_and_still_count():
    def seeing(data):
        url = {"url": f"data:image/png;base64,{data}"}
        return {**BODY, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}

    assert key(seeing("A" * 5000)) == key(seeing("A" * 5000))
    assert key(seeing("A" * 5000)) != key(seeing("A" * 4999 + "B"))


@pytest.mark.parametrize(
    ("change", "sampled", "cacheable"),
    [
        ({}, False, True),
        ({"temperature": 0.0}, False, True),
        ({"temperature": None}, False, False),
        ({"temperature": 0.7}, False, False),
        ({"temperature": 0.7}, True, True),
        ({"temperature": None}, True, True),
        ({"temperature": False}, False, False),
        ({"temperature": 0.7, "seed": 1}, False, False),
        ({"n": 2}, False, False),
        ({"n": 2}, True, True),
        ({"tools": [{"type": "web_search"}]}, True, False),
        ({"web_search_options": {}}, True, False),
        ({"tools": ["odd"]}, True, False),
    ],
)
def test_which_requests_are_cacheable(change, sampled, cacheable):
    assert is_cacheable({**BODY, **change}, sampled) is cacheable


def test_embeddings_are_cacheable():
    assert is_cacheable({"model": "e", "input": "글"})
    assert not is_cacheable({"model": "e"})


def answered(message=None, finish="stop", **top):
    message = {"role": "assistant", "content": "파리입니다."} if message is None else message
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"object": "chat.completion", "model": "gpt-4o-2024-08-06", "choices": [choice], **top}


CALLS = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}


@pytest.mark.parametrize(
    ("answer", "storable"),
    [
        (answered(), True),
        (answered(finish="length"), False),
        (answered(finish="content_filter"), False),
        (answered(finish=None), False),
        (answered(error={"message": "overloaded"}), False),
        (answered(refused=True), False),
        (answered(degraded=True), False),
        (answered({"role": "assistant", "content": ""}), False),
        (answered({"role": "assistant", "content": " \n"}), False),
        (answered({"role": "assistant", "content": None}), False),
        (answered({"role": "assistant", "content": None, "refusal": "I can't help."}), False),
        (answered(CALLS, "tool_calls"), False),
        (answered(choices=[]), False),
        (answered(choices=None), False),
        (answered(choices=[None]), False),
        ({"error": "no"}, False),
        ({}, False),
        ({"object": "list", "data": [{"embedding": [0.1]}]}, True),
        ({"object": "list", "data": []}, False),
        ({"object": "list", "data": [{"embedding": []}]}, False),
    ],
)
def test_which_answers_are_storable(answer, storable):
    assert is_storable(answer) is storable


def test_tool_calls_are_stored_only_when_told_so():
    assert is_storable(answered(CALLS, "tool_calls"), tool_calls=True)
    assert not is_storable(answered(CALLS, "length"), tool_calls=True)
    assert not is_storable(answered({"role": "assistant", "content": "x"}, "tool_calls"), tool_calls=True)


def test_one_bad_choice_spoils_the_answer():
    good = answered()["choices"][0]
    assert not is_storable(answered(choices=[good, {**good, "finish_reason": "length"}]))


def test_an_answer_of_another_model_is_not_stored():
    assert is_storable(answered(), models=["gpt-4o"])
    assert not is_storable(answered(), models=["gpt-4o-mini", "claude"])
    assert not is_storable({**answered(), "model": ""}, models=["gpt-4o"])


@pytest.mark.parametrize(
    ("asked", "got", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4", "gpt-4-0613", True),
        ("gpt-4", "gpt-4-32k", False),
        ("openai/gpt-4o", "gpt-4o", True),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", True),
        ("claude-3-5-sonnet", "claude-3-5-haiku-20241022", False),
        ("llama3", "llama3:8b", False),
        ("mistral", "mistral:latest", True),
        ("Qwen/Qwen2", "qwen2", True),
    ],
)
def test_which_model_answered(asked, got, same):
    assert same_model(asked, got) is same
