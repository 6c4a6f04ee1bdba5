"""Token estimates against true counts, and what a calibration learns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules.tokens import (
    HIGHEST,
    IMAGE,
    IMAGE_LOW,
    LOWEST,
    MESSAGE,
    REPLY,
    Calibration,
    answer_tokens,
    prompt_tokens,
    text_tokens,
)


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("Hello, how are you today?", 7),
        ("How do I reset my password? I forgot it yesterday, and the e-mail never came.", 19),
        (
            "임종석은 청량리경찰서에서 약 1시간 동안 조사를 받은 뒤"
            " 오전 9시 50분 경 서울지방경찰청으로 인계되었다.",
            40,
        ),
        ("안녕하세요, 오늘 날씨가 어때요? 내일은 비가 온다고 합니다.", 20),
        ("今日は天気がいいから、散歩に行きましょう。明日は雨が降るそうです。", 24),
        ("今天天气很好，我们去公园散步吧。明天可能会下雨。", 19),
        (
            '{"type":"function","function":{"name":"get_weather",'
            '"parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}',
            28,
        ),
        (
            'def add(left: int, right: int) -> int:\n    """The sum of two numbers."""\n'
            "    return left + right\n",
            27,
        ),
        ("1,204,331 3.14159 2026-11-27 42", 19),
        ("Привет, как дела? Сегодня хорошая погода.", 12),
        ("😀🎉🚀 정말 좋아요!", 9),
    ],
)
def test_an_estimate_is_near_the_true_count_of_o200k_base(text, true):
    assert 0.7 * true <= text_tokens(text) <= 1.35 * true


@given(st.text())
def test_only_nothing_takes_no_tokens(text):
    assert (text_tokens(text) == 0) == (text == "")


@given(st.text(min_size=1, max_size=50), st.integers(2, 5))
def test_more_of_the_same_takes_more(text, times):
    assert text_tokens(text * times * 10) >= text_tokens(text)


@pytest.mark.parametrize("text", ["\ud800", "한\udfff", "\0" * 9, "a\0b"])
def test_text_that_no_encoder_takes_is_estimated_too(text):
    assert text_tokens(text) >= 1


def test_a_long_prompt_costs_a_few_passes_and_no_loop():
    text = "긴 글입니다. A long text. " * 200_000
    assert text_tokens(text) == pytest.approx(200_000 * text_tokens("긴 글입니다. A long text. "), rel=0.15)


def asking(content, **body):
    return {"messages": [{"role": "user", "content": content}], **body}


def test_a_body_is_its_messages_and_their_frames():
    assert prompt_tokens(asking("안녕하세요")) == REPLY + MESSAGE + text_tokens("안녕하세요")
    assert prompt_tokens({"messages": []}) == REPLY


def test_images_count_by_their_detail():
    def seen(detail):
        return asking([{"type": "image_url", "image_url": {"url": "data:" + "A" * 90_000, "detail": detail}}])

    assert prompt_tokens(seen("low")) == REPLY + MESSAGE + IMAGE_LOW
    assert prompt_tokens(seen("high")) == REPLY + MESSAGE + IMAGE


def test_tools_schemas_calls_and_passages_count():
    plain = prompt_tokens(asking("hi"))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert prompt_tokens(asking("hi", tools=[tool])) > plain
    assert prompt_tokens(asking("hi", response_format=schema)) > plain
    assert prompt_tokens(asking("hi", passages=[{"text": "긴 글"}])) == plain + text_tokens("긴 글")
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "{}"}}]}
    assert prompt_tokens({"messages": [called]}) > REPLY + MESSAGE


@pytest.mark.parametrize(
    "body",
    [{"messages": None}, {"messages": ["x"]}, {}, {"input": None}, asking(3), asking([None, 3, {}]),
     asking("x", tools=[object()]), asking("x", passages=[None])],
)  # fmt: skip
def test_an_odd_body_is_estimated_all_the_same(body):
    assert prompt_tokens(body) >= 0


def test_inputs_to_embed_are_texts_or_tokens():
    assert prompt_tokens({"input": "안녕"}) == text_tokens("안녕")
    assert prompt_tokens({"input": ["안녕", "hello"]}) == text_tokens("안녕") + text_tokens("hello")
    assert prompt_tokens({"input": [[1, 2, 3], [4]]}) == 4


def test_an_answer_is_what_was_written():
    message = {"content": "파리", "reasoning_content": "생각", "tool_calls": None}
    assert answer_tokens({"choices": [{"message": message}]}) == text_tokens("파리") + text_tokens("생각")
    assert answer_tokens({}) == 0


def test_a_calibration_finds_the_factor_of_a_model():
    known = Calibration()
    for estimated in range(100, 400):
        known = known.observe(estimated, round(estimated * 1.6))
    assert known.factor == pytest.approx(1.6, rel=0.01)
    assert known.apply(100) == pytest.approx(160, abs=2)
    assert known.seen == 300


def test_one_wrong_usage_moves_little():
    known = Calibration(1.0, 100).observe(100, 100_000)
    assert known.factor == pytest.approx(1.15)


@given(st.lists(st.tuples(st.integers(-5, 10**6), st.integers(-5, 10**6))))
def test_the_factor_stays_in_its_bounds(observations):
    known = Calibration()
    for estimated, actual in observations:
        known = known.observe(estimated, actual)
        assert LOWEST <= known.factor <= HIGHEST


@pytest.mark.parametrize("pair", [(0, 5), (5, 0), (-1, 5), (5, -1)])
def test_a_usage_without_counts_teaches_nothing(pair):
    assert Calibration(1.2, 3).observe(*pair) == Calibration(1.2, 3)


@given(st.integers(0, 10**6))
def test_an_estimate_is_rounded_up(estimated):
    assert Calibration().apply(estimated) == estimated
    assert Calibration(1.001).apply(estimated) >= estimated
