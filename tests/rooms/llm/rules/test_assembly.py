"""Chunks become one answer and an answer becomes chunks; no field is lost either way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.assembly import SET, Assembly, assemble, pieces, replay

texts = st.text(max_size=300) | st.sampled_from(["", "안녕 " * 99])
names = st.sampled_from(["reasoning_content", "reasoning", "refusal", "thinking_2027"])
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text("abc123", min_size=1),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": st.text("xyz", min_size=1), "arguments": texts}),
        }
    ),
    max_size=3,
)
extras = st.sampled_from(
    [
        {"citations": [{"passage": "a", "start": 0, "end": 2, "quote": "서울"}]},
        {"annotations": [{"type": "url_citation", "index": 0}, {"type": "url_citation", "index": 0}]},
        {"audio": {"id": "a1", "transcript": "hello", "expires_at": 3}},
        {"refusal": None},
        {"function_call": {"name": "f", "arguments": "{}"}},
        {"tool_calls": []},
        {},
    ]
)


@st.composite
def messages(draw):
    message = {"role": "assistant", "content": draw(texts | st.none())}
    message |= draw(extras)
    message |= {name: draw(texts) for name in draw(st.sets(names, max_size=2))}
    if found := draw(calls):
        message["tool_calls"] = found
    return message


@st.composite
def answers(draw):
    choices = []
    for index in range(draw(st.integers(1, 3))):
        ended = draw(st.sampled_from(["stop", "tool_calls", "length"]))
        choice = {"index": index, "message": draw(messages()), "finish_reason": ended}
        choice |= draw(st.sampled_from([
            {}, {"logprobs": None}, {"logprobs": {"content": [{"token": "a"}], "refusal": None}},
            {"content_filter_results": {"hate": {"filtered": False}}},
        ]))  # fmt: skip
        choices.append(choice)
    answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    answer |= draw(st.sampled_from([{}, {"system_fingerprint": None}, {"generated_by": "extractive"}]))
    return answer | draw(st.sampled_from([{}, {"usage": {"prompt_tokens": 3, "total_tokens": 4}}]))


@given(answers())
def test_a_replayed_answer_is_assembled_again(answer):
    assert assemble(replay(answer)) == answer


@given(answers())
def test_a_replay_has_the_shape_of_a_stream(answer):
    chunks = list(replay(answer))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["id"] for chunk in chunks} == {answer["id"]}
    for index in range(len(answer["choices"])):
        mine = [one for chunk in chunks for one in chunk["choices"] if one["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert [one["finish_reason"] for one in mine][:-1] == [None] * (len(mine) - 1)
        assert mine[-1]["finish_reason"] == answer["choices"][index]["finish_reason"]
    if "usage" in answer:
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == answer["usage"]


@given(texts)
def test_pieces_join_to_the_text(text):
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


def chunk(delta, index=0, finish=None, **top):
    return {
        "id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **top,
    }  # fmt: skip


def test_a_usual_stream():
    answer = assemble(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "생각"}),
            chunk({"reasoning_content": " 중"}),
            chunk({"content": "안녕"}),
            chunk({"content": "하세요"}),
            chunk({}, finish="stop"),
            {"id": "c", "choices": [], "usage": {"total_tokens": 9}},
        ]
    )
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "안녕하세요", "reasoning_content": "생각 중"},
            "finish_reason": "stop",
        }
    ]
    assert answer["object"] == "chat.completion"
    assert answer["usage"] == {"total_tokens": 9}


def call(index, **fields):
    return chunk({"tool_calls": [{"index": index, **fields} if index is not None else fields]})


def test_tool_calls_come_in_fragments_by_index():
    answer = assemble(
        [
            call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
            call(1, id="b", type="function", function={"name": "g", "arguments": "{"}),
            call(0, function={"arguments": '{"x":'}),
            call(1, function={"arguments": "}"}),
            call(0, id="a", function={"name": "f", "arguments": "1}"}),
            chunk({}, finish="tool_calls"),
        ]
    )
    assert answer["choices"][0]["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert answer["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_all_have_one_index_are_told_apart_by_id(index):
    answer = assemble(
        [
            call(index, id="a", function={"name": "f", "arguments": "{}"}),
            call(index, id="b", function={"name": "g", "arguments": "{"}),
            call(index, function={"arguments": "}"}),
        ]
    )
    made = answer["choices"][0]["message"]["tool_calls"]
    assert [(one["id"], one["function"]["arguments"]) for one in made] == [("a", "{}"), ("b", "{}")]


def test_logprobs_are_joined():
    def piece(token):
        choice = {"index": 0, "delta": {"content": token}, "logprobs": {"content": [{"token": token}]}}
        return {"id": "c", "choices": [choice]}

    answer = assemble([piece("a"), piece("b"), chunk({}, finish="stop")])
    assert answer["choices"][0]["logprobs"]["content"] == [{"token": "a"}, {"token": "b"}]


def test_details_with_an_index_continue_each_other():
    def thinking(index, text):
        return chunk({"reasoning_details": [{"type": "text", "index": index, "text": text}]})

    answer = assemble([thinking(0, "가"), thinking(0, "나"), thinking(1, "다")])
    details = answer["choices"][0]["message"]["reasoning_details"]
    assert [one["text"] for one in details] == ["가나", "다"]
    assert details[0]["type"] == "text"


def test_choices_come_in_any_order():
    answer = assemble([chunk({"content": "b"}, index=1), chunk({"content": "a"}, index=0)])
    assert [one["message"]["content"] for one in answer["choices"]] == ["a", "b"]


def test_an_answer_is_finished_when_each_choice_is():
    assembly = Assembly()
    assert (assembly.begun, assembly.finished) == (False, False)
    assembly.add(chunk({"role": "assistant", "content": ""}))
    assembly.add(chunk({"role": "assistant"}, index=1))
    assert not assembly.begun
    assembly.add(chunk({"content": "가"}))
    assembly.add(chunk({}, finish="stop"))
    assert (assembly.begun, assembly.finished) == (True, False)
    assembly.add(chunk({}, index=1, finish="stop"))
    assert assembly.finished


def test_a_tool_call_begins_an_answer():
    assembly = Assembly()
    assembly.add(call(0, id="a"))
    assert assembly.begun


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"index": "x"}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": "no"}}]},
        {"choices": [{"delta": {"tool_calls": [3]}}]},
    ],
)
def test_an_odd_chunk_is_no_crash(odd):
    assert assemble([odd, chunk({"content": "a"}), odd])["choices"][0]["message"]["content"] == "a"


def test_an_answer_so_far_is_a_copy():
    assembly = Assembly()
    assembly.add(chunk({"content": "a"}))
    first = assembly.answer()
    first["choices"][0]["message"]["content"] = "changed"
    assembly.add(chunk({"content": "b"}))
    assert assembly.answer()["choices"][0]["message"]["content"] == "ab"


def test_texts_that_come_whole_are_not_text_fields():
    assert "content" not in SET


@pytest.mark.parametrize("odd", ["", "말", 5, {"a": 1}, True])
def test_odd_tool_calls_do_not_break_those_that_follow(odd):
    call = {"index": 0, "id": "c", "function": {"name": "날씨", "arguments": "{}"}}
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": calls}}]} for calls in (odd, [call], odd, "")]
    (choice,) = assemble(chunks)["choices"]
    assert choice["message"]["tool_calls"] == [{key: call[key] for key in ("id", "function")}]
