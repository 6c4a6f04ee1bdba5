import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.rules.price_table import FAMILIES
from holdfast.rooms.llm.rules.prices import (
    NANOS,
    UNPRICED,
    Prices,
    PriceSetting,
    Tokens,
    cost_of,
    dollars,
    nanos_of,
    price_of,
)

COUNTS = st.integers(0, 10_000_000)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4.1-nano-2025-04-14", "gpt-4.1-nano"),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
        ("GPT-5-latest", "gpt-5"),
        ("claude-opus-4-20250514", "claude-opus-4"),
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4"),
        ("gemini-1.5-pro-002", "gemini-1.5-pro"),
        ("gemini-2.5-flash-lite", "gemini-2.5-flash-lite"),
        ("google/gemini-2.5-flash-preview", "gemini-2.5-flash"),
    ],
)
def test_a_model_has_the_price_of_its_family(model, family):
    given, produced, cached = FAMILIES[family]
    price = Prices().of(model)
    assert price.priced
    assert (price.input, price.output, price.cached_input) == tuple(
        nanos_of(each) for each in (given, produced, cached)
    )


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o-audio",
        "gpt-4o-audio-preview",
        "gpt-5.9",
        "claude-opus-4-99",
        "gpt-4oo",
        "내-모델",
        "",
        "o1-pro",
    ],
)
def test_a_model_that_is_not_listed_costs_nothing_and_says_so(model):
    assert Prices().of(model) is UNPRICED
    assert cost_of(Prices(), model, Tokens(1_000, 1_000)) == 0


@pytest.mark.parametrize(
    "model", ["llama3.1:8b", "qwen2.5-7b-instruct", "meta/llama-4", "extractive", "phi-4"]
)
def test_open_models_are_free_and_known_to_be(model):
    assert Prices().of(model).priced
    assert cost_of(Prices(), model, Tokens(10**9, 10**9)) == 0


def test_settings_go_before_the_table_by_name_then_by_the_longest_pattern():
    prices = Prices(
        {
            "gpt-4o": PriceSetting(1.0, 2.0),
            "our-*": PriceSetting(3.0, 3.0),
            "our-big-*": PriceSetting(9.0, 9.0),
        }
    )
    assert prices.of("gpt-4o").output == 2 * NANOS
    assert prices.of("our-big-모델").input == 9 * NANOS
    assert prices.of("our-small").input == 3 * NANOS
    assert prices.of("mine", "our-small").input == 3 * NANOS, (
        "the public name where the upstream one has none"
    )
    assert prices.of("gpt-4o-mini").input == nanos_of(0.15)
    assert prices.of("gpt-4o-mini", "our-big-x").input == 9 * NANOS, "a setting goes before the table"


def test_a_price_is_of_a_million_tokens_and_cached_ones_are_apart():
    prices = Prices()
    assert dollars(cost_of(prices, "gpt-4o", Tokens(1_000_000, 0))) == 2.5
    assert dollars(cost_of(prices, "gpt-4o", Tokens(1_000_000, 0, 1_000_000))) == 1.25
    assert dollars(cost_of(prices, "gpt-4o", Tokens(0, 1_000_000))) == 10.0
    assert cost_of(prices, "gpt-4o-mini", Tokens(1, 0)) == 150
    assert cost_of(prices, ("gpt-4o-mini", "x"), Tokens(1, 0)) == 150
    assert cost_of(Prices({"m": PriceSetting(0.001)}), "m", Tokens(1, 0)) == 1


@pytest.mark.parametrize(
    "setting",
    [
        PriceSetting(2_500_000.0),
        PriceSetting(1.0, 5_000.0),
        PriceSetting(0.000_002_5),
        PriceSetting(float("nan")),
        PriceSetting(float("inf")),
        PriceSetting(-1.0),
        PriceSetting(1.0, 1.0, 2.0),
        PriceSetting(1.0, 1.0, -0.5),
    ],
)
def test_a_price_in_another_unit_stops_the_start(setting):
    with pytest.raises(Misconfigured) as wrong:
        Prices({"내 모델": setting})
    assert "내 모델" in wrong.value.detail
    assert wrong.value.hint


def test_a_price_per_token_is_told_what_it_should_be():
    with pytest.raises(Misconfigured, match="per token") as wrong:
        Prices({"m": PriceSetting(0.000_002_5)})
    assert wrong.value.hint.endswith("write 2.5")


@given(COUNTS, COUNTS, COUNTS)
def test_cost_is_whole_never_below_nothing_and_grows_with_what_is_used(given_, produced, cached):
    price = Prices().of("gpt-4o")
    cost = price_of(price, Tokens(given_, produced, cached))
    assert isinstance(cost, int)
    assert 0 <= cost <= price_of(price, Tokens(given_ + 1, produced + 1, cached))
    assert cost <= price_of(price, Tokens(given_, produced, 0))


@given(COUNTS, COUNTS)
def test_the_cost_of_two_halves_is_that_of_the_whole_but_for_rounding(one, other):
    price = Prices().of("gpt-4o-mini")
    whole = price_of(price, Tokens(one + other, 0))
    assert 0 <= price_of(price, Tokens(one, 0)) + price_of(price, Tokens(other, 0)) - whole <= 1


def test_counts_that_make_no_sense_cost_nothing_rather_than_below_it():
    price = Prices().of("gpt-4o")
    assert price_of(price, Tokens(-5, -5, -5)) == 0
    assert price_of(price, Tokens(10, 0, 99)) == price_of(price, Tokens(10, 0, 10))


def test_every_listed_price_is_in_its_unit():
    Prices({name: PriceSetting(*numbers) for name, numbers in FAMILIES.items()})


def test_names_from_callers_do_not_fill_the_memory():
    prices = Prices()
    for number in range(5_000):
        prices.of(f"model-{number}")
    assert len(prices._known) <= 4_096
