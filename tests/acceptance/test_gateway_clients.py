"""OpenAI's own client and LangChain against the gateway: with nothing configured, and before a provider."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.acceptance.gateway import (
    PATIENCE_S,
    Upstream,
    client,
    deployment,
    gateway,
    table,
    v1_of,
)
from tests.acceptance.serving import Served, run_cli
from tests.waiting import wait_until

MODELS = {
    "gpt": "gpt-4o+ok",
    "thinker": "o9+reasoning",
    "quiet": "gpt-4o+no-usage",
    "busy": "gpt-4o+429-retry-after:7",
    "filtered": "gpt-4o+content-filter-400",
    "long": "gpt-4o+context-length",
    "broken": "gpt-4o+500",
    "cutting": "gpt-4o+cut-mid-stream:3",
    "silent": "gpt-4o+silent",
}
KOREAN = "서울의 인구는 얼마입니까?"
ENGLISH = "What is the population of Seoul?"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]


class City(BaseModel):
    """A city."""

    name: str
    people: int


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Served]:
    toml = "".join(deployment(name, upstream.url, model, attempts=1) for name, model in MODELS.items())
    toml += table("llm.models.busy", total_s=3)
    with gateway(tmp_path_factory.mktemp("backed"), toml) as served:
        yield served


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """No key, no deployment, no settings at all."""
    with gateway(tmp_path_factory.mktemp("bare")) as served:
        yield served


def said_by_the_fake(prompt: str) -> str:
    korean = f"“{prompt}”라고 물으셨습니다. 이것은 가짜 제공자가 언제나 똑같이 드리는 답입니다."
    english = f"You asked: “{prompt}”. This is the answer that the fake provider always gives to it."
    return english if prompt.isascii() else korean


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


# -- the official client, synchronous --------------------------------------------------------------


@pytest.mark.parametrize("prompt", [KOREAN, ENGLISH])
def test_a_whole_answer_and_a_stream_of_it(served: Served, prompt: str) -> None:
    openai_client = client(served)
    whole = openai_client.chat.completions.create(model="gpt", messages=user(prompt))
    assert whole.choices[0].message.content == said_by_the_fake(prompt)
    assert (whole.object, whole.choices[0].finish_reason) == ("chat.completion", "stop")
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    chunks = list(
        openai_client.chat.completions.create(
            model="gpt", messages=user(prompt), stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == said_by_the_fake(prompt)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    bare_stream = openai_client.chat.completions.create(model="gpt", messages=user(prompt), stream=True)
    assert all(chunk.choices and chunk.usage is None for chunk in bare_stream)


def test_the_raw_answer_tells_how_it_came_about(served: Served) -> None:
    raw = client(served).chat.completions.with_raw_response
    answers = [raw.create(model="gpt", messages=user("머리글"), temperature=0) for _ in range(2)]
    told = [(each.headers["x-holdfast-cache"], each.headers["x-holdfast-attempts"]) for each in answers]
    assert told == [("miss", "1"), ("hit", "0")]
    assert answers[0].headers["x-holdfast-provider"] == "gpt"
    assert float(answers[0].headers["x-holdfast-overhead-ms"]) >= 0
    assert answers[0].parse()._request_id == answers[0].headers["x-request-id"]
    assert answers[0].parse().choices == answers[1].parse().choices


def test_several_choices_whole_and_streamed(served: Served) -> None:
    openai_client = client(served)
    whole = openai_client.chat.completions.create(model="gpt", messages=user(KOREAN), n=3)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    texts = {0: "", 1: "", 2: ""}
    for chunk in openai_client.chat.completions.create(model="gpt", messages=user(KOREAN), n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert list(texts.values()) == [choice.message.content for choice in whole.choices]


def test_tools_whole_and_streamed(served: Served) -> None:
    openai_client = client(served)
    asked = {"model": "gpt", "messages": user(KOREAN), "tools": TOOLS, "tool_choice": "required"}
    whole = openai_client.chat.completions.create(**asked)
    (called,) = whole.choices[0].message.tool_calls
    assert whole.choices[0].finish_reason == "tool_calls"
    assert (called.type, called.function.name) == ("function", "get_weather")
    with openai_client.chat.completions.stream(**asked) as stream:
        names = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in names
    (streamed,) = final.choices[0].message.tool_calls
    assert streamed.function.arguments == called.function.arguments
    assert streamed.function.parsed_arguments["city"]
    answered = openai_client.chat.completions.create(
        model="gpt",
        messages=[
            *asked["messages"],
            whole.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": called.id, "content": "맑음, 21도"},
        ],
        tools=TOOLS,
    )
    assert answered.choices[0].message.content


def test_a_cached_tool_call_is_never_repeated_unasked(served: Served) -> None:
    asked = {"model": "gpt", "messages": user("또 부탁해"), "tools": TOOLS, "tool_choice": "required"}
    raw = client(served).chat.completions.with_raw_response
    cached = [raw.create(**asked, temperature=0).headers["x-holdfast-cache"] for _ in range(2)]
    assert cached == ["miss", "miss"]


def test_response_formats(served: Served) -> None:
    openai_client = client(served)
    parsed = openai_client.chat.completions.parse(model="gpt", messages=user(KOREAN), response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)
    loose = openai_client.chat.completions.create(
        model="gpt", messages=user(KOREAN), response_format={"type": "json_object"}
    )
    assert loose.choices[0].message.content.startswith("{")
    with openai_client.chat.completions.stream(
        model="gpt", messages=user(KOREAN), response_format=City
    ) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, City)


def test_reasoning_passes_and_comes_back_from_the_cache(served: Served) -> None:
    def ask() -> tuple[str, str]:
        thought, text = "", ""
        for chunk in client(served).chat.completions.create(
            model="thinker", messages=user(KOREAN), temperature=0, stream=True
        ):
            delta = chunk.choices[0].delta
            thought += getattr(delta, "reasoning_content", None) or ""
            text += delta.content or ""
        return thought, text

    first = ask()
    assert first == ("먼저 질문을 다시 읽습니다. 그다음 답합니다.", said_by_the_fake(KOREAN))
    assert ask() == first


@pytest.mark.parametrize("model", ["gpt", "extractive"])
def test_embeddings_are_the_same_numbers_in_either_format(served: Served, model: str) -> None:
    openai_client = client(served)
    texts = ["서울은 한국의 수도이다", "Busan lies by the sea"]
    packed = openai_client.embeddings.create(model=model, input=texts)
    plain = openai_client.embeddings.create(model=model, input=texts, encoding_format="float")
    assert [row.index for row in packed.data] == [0, 1]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert packed.usage.prompt_tokens > 0
    one = openai_client.embeddings.create(model=model, input=texts[0], dimensions=128)
    assert len(one.data[0].embedding) == 128


def test_the_list_of_models(served: Served, bare: Served) -> None:
    names = [model.id for model in client(served).models.list()]
    assert names == [*MODELS, "extractive"]
    assert client(served).models.retrieve("gpt").id == "gpt"
    assert [model.id for model in client(bare).models.list()] == ["extractive"]


# -- errors: the class that the official client raises ---------------------------------------------


@pytest.mark.parametrize(
    ("model", "raised", "code", "kind"),
    [
        ("nobody", openai.NotFoundError, "model_not_found", "not_found_error"),
        ("busy", openai.RateLimitError, "rate_limit_exceeded", "rate_limit_error"),
        ("filtered", openai.BadRequestError, "content_filter", "invalid_request_error"),
        ("long", openai.BadRequestError, "context_length_exceeded", "invalid_request_error"),
        ("broken", openai.InternalServerError, "model_failed", "api_error"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_failures_are_raised_as_openai_raises_them(
    served: Served, model: str, raised: type[openai.APIStatusError], code: str, kind: str, streamed: bool
) -> None:
    with pytest.raises(raised) as caught:
        client(served).chat.completions.create(model=model, messages=user(KOREAN), stream=streamed)
    assert (caught.value.code, caught.value.type) == (code, kind)
    assert caught.value.request_id
    if model == "busy":
        assert 0 < int(caught.value.response.headers["retry-after"]) <= 7


def test_whatever_is_no_request_is_a_bad_request_that_names_the_field(served: Served) -> None:
    openai_client = client(served)
    for more, param in (
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "no role"}]}, "messages[0].role"),
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n"),
        ({"extra_body": {"n": 1.5}}, "n"),
        ({"extra_body": {"max_tokens": "many"}}, "max_tokens"),
        ({"extra_body": {"tools": 5}}, "tools"),
        ({"extra_body": {"tools": ["hammer"]}}, "tools[0]"),
        ({"extra_body": {"stream_options": 4}}, "stream_options"),
        ({"extra_body": {"passages": 3}}, "passages"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            openai_client.chat.completions.create(
                **{"model": "gpt", "messages": user("x"), **more}  # type: ignore[arg-type] # it is the test
            )
        assert caught.value.param == param, more
    for more in ({"n": "z"}, {"max_tokens": "q"}):
        with pytest.raises(openai.BadRequestError):
            openai_client.embeddings.create(model="gpt", input="x", extra_body=more)
    with pytest.raises(openai.BadRequestError):
        openai_client.embeddings.create(model="gpt", input=[])


def test_a_stream_that_breaks_off_raises_and_never_ends_well(served: Served) -> None:
    stream = client(served).chat.completions.create(model="cutting", messages=user(ENGLISH), stream=True)
    said: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert said_by_the_fake(ENGLISH).startswith("".join(said))
    assert said
    assert caught.value.code == "answer_cut_off"


def test_a_client_whose_time_is_over_raises_its_own_timeout_and_is_gone_upstream(
    served: Served, upstream: Upstream
) -> None:
    def asked() -> bool:
        """Whether the call had come so far upstream when the client's time was over."""
        with pytest.raises(openai.APITimeoutError):
            client(served, timeout=2.0).chat.completions.create(model="silent", messages=user(KOREAN))
        return bool(upstream.calls(MODELS["silent"]))

    wait_until(asked)
    wait_until(lambda: all(call.left_early for call in upstream.calls(MODELS["silent"])))


def test_keys_where_they_are_required(tmp_path: Path, upstream: Upstream) -> None:
    toml = table("llm", keys_required=True) + deployment("gpt", upstream.url, MODELS["gpt"])
    with gateway(tmp_path, toml) as served:
        for key in ("none", "hf-" + "0" * 38, "sk-of-somebody-else"):
            with pytest.raises(openai.AuthenticationError):
                client(served, key).chat.completions.create(model="gpt", messages=user(KOREAN))
            with pytest.raises(openai.AuthenticationError):
                # Which models there are is told to nobody either.
                client(served, key).chat.completions.create(model="nobody", messages=user(KOREAN))
            with pytest.raises(openai.AuthenticationError):
                client(served, key).models.list()
        made = run_cli(tmp_path, "llm", "keys", "create", "김 대리", "--user", "kim")
        assert made.returncode == 0, made.stderr
        answer = client(served, made.stdout.strip()).chat.completions.create(
            model="gpt", messages=user(KOREAN)
        )
        assert answer.choices[0].message.content == said_by_the_fake(KOREAN)


# -- the official client, asynchronous -------------------------------------------------------------


async def test_the_asynchronous_client(served: Served) -> None:
    async with AsyncOpenAI(
        base_url=v1_of(served), api_key="none", max_retries=0, timeout=PATIENCE_S
    ) as asynchronous:
        whole = await asynchronous.chat.completions.create(model="gpt", messages=user(KOREAN))
        assert whole.choices[0].message.content == said_by_the_fake(KOREAN)
        stream = await asynchronous.chat.completions.create(model="gpt", messages=user(KOREAN), stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == said_by_the_fake(KOREAN)
        parsed = await asynchronous.chat.completions.parse(
            model="gpt", messages=user(KOREAN), response_format=City
        )
        assert isinstance(parsed.choices[0].message.parsed, City)
        async with asynchronous.chat.completions.stream(
            model="gpt", messages=user(KOREAN), tools=TOOLS, tool_choice="required"
        ) as events:
            final = await events.get_final_completion()
        assert final.choices[0].message.tool_calls[0].function.name == "get_weather"
        vectors = await asynchronous.embeddings.create(model="gpt", input=[KOREAN])
        assert vectors.data[0].embedding
        assert [model.id async for model in asynchronous.models.list()] == [*MODELS, "extractive"]
        with pytest.raises(openai.NotFoundError):
            await asynchronous.chat.completions.create(model="nobody", messages=user(KOREAN))


# -- nothing configured: the extractive model ------------------------------------------------------

PASSAGES = {
    "ko": ("서울의 인구는 약 940만 명이다. 부산은 바다에 접해 있다.", KOREAN, "940만"),
    "en": ("Seoul has about 9.4 million inhabitants. Busan lies by the sea.",
           "How many inhabitants does Seoul have?", "9.4 million"),
}  # fmt: skip


@pytest.mark.parametrize("language", ["ko", "en"])
def test_without_a_key_or_a_model_answers_quote_what_was_given(bare: Served, language: str) -> None:
    text, question, fact = PASSAGES[language]
    asked = {
        "model": "gpt-4o-mini",
        "messages": user(question),
        "extra_body": {"passages": [{"id": "도시", "text": text}]},
    }
    openai_client = client(bare)
    whole = openai_client.chat.completions.create(**asked)
    assert fact in whole.choices[0].message.content
    assert whole.model_extra["generated_by"] == "extractive"
    cited = whole.choices[0].message.model_extra["citations"][0]
    assert (cited["passage"], text[cited["start"] : cited["end"]]) == ("도시", cited["quote"])
    chunks = list(
        openai_client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("prompt", [KOREAN, ENGLISH])
def test_without_anything_to_quote_it_says_so_instead_of_inventing(bare: Served, prompt: str) -> None:
    whole = client(bare).chat.completions.create(model="gpt-4o", messages=user(prompt))
    assert whole.model_extra["refused"] is True
    assert whole.choices[0].message.content.isascii() == prompt.isascii()
    with pytest.raises(openai.BadRequestError, match="name, people"):
        client(bare).chat.completions.parse(model="gpt-4o", messages=user(prompt), response_format=City)


# -- LangChain -------------------------------------------------------------------------------------


def langchain(served: Served, model: str, **more: object) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=v1_of(served), api_key="none", model=model, max_retries=0, timeout=PATIENCE_S, **more
    )


def test_langchain_invokes_streams_and_counts(served: Served) -> None:
    chain = langchain(served, "gpt", stream_usage=True)
    answer = chain.invoke([SystemMessage("짧게 답해라"), HumanMessage(KOREAN)])
    assert answer.content == said_by_the_fake(KOREAN)
    assert answer.usage_metadata["total_tokens"] > 0
    whole = None
    for piece in chain.stream(KOREAN):
        whole = piece if whole is None else whole + piece
    assert whole is not None
    assert whole.content == said_by_the_fake(KOREAN)
    assert whole.usage_metadata["output_tokens"] > 0
    assert [each.content for each in chain.batch([KOREAN, ENGLISH])] == [
        said_by_the_fake(KOREAN),
        said_by_the_fake(ENGLISH),
    ]


async def test_langchain_without_blocking(served: Served) -> None:
    chain = langchain(served, "gpt")
    assert (await chain.ainvoke(KOREAN)).content == said_by_the_fake(KOREAN)
    assert "".join([str(piece.content) async for piece in chain.astream(KOREAN)]) == said_by_the_fake(KOREAN)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_structured_output(served: Served, method: str) -> None:
    found = langchain(served, "gpt").with_structured_output(City, method=method).invoke(KOREAN)
    assert isinstance(found, City)


def test_langchain_tools(served: Served) -> None:
    bound = langchain(served, "gpt").bind_tools([City], tool_choice="any")
    (called,) = bound.invoke(KOREAN).tool_calls
    assert called["name"] == "City"
    whole = None
    for piece in bound.stream(KOREAN):
        whole = piece if whole is None else whole + piece
    assert whole is not None
    assert whole.tool_calls[0]["args"] == called["args"]


def test_langchain_embeddings_and_errors(served: Served) -> None:
    # Without the local tokenizer, which would be downloaded: texts travel as they are.
    vectors = OpenAIEmbeddings(
        base_url=v1_of(served), api_key="none", model="gpt", check_embedding_ctx_length=False
    )
    assert len(vectors.embed_documents([KOREAN, ENGLISH])) == 2
    with pytest.raises(openai.RateLimitError):
        langchain(served, "busy").invoke(KOREAN)
    with pytest.raises(openai.APIError):
        list(langchain(served, "cutting").stream(ENGLISH))


@pytest.mark.parametrize("language", ["ko", "en"])
def test_langchain_with_nothing_configured(bare: Served, language: str) -> None:
    text, question, fact = PASSAGES[language]
    chain = langchain(bare, "gpt-4o-mini")
    prompt = f"Context:\n{text}\n\nQuestion: {question}"
    assert fact in chain.invoke(prompt).content
    assert fact in "".join(str(piece.content) for piece in chain.stream(prompt))


def test_an_openai_client_needs_no_more_than_an_address(bare: Served) -> None:
    answer = OpenAI(base_url=v1_of(bare), api_key="none").chat.completions.create(
        model="gpt-4o", messages=user("안녕하세요")
    )
    assert answer.choices[0].finish_reason == "stop"
