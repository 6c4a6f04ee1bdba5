"""What a call costs: prices per million tokens, exact whole numbers, and never a crash for an unknown model.

Money is counted in nano-dollars (a billionth of the price table's currency) and always as an integer: the
cheapest token of 2026 costs five of them, and eight bytes hold nine billion dollars.
"""

import math
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.llm.rules.price_table import FAMILIES, FREE

NANOS = 1_000_000_000
"""Nano-dollars in a dollar."""
MILLION = 1_000_000

DEAREST = 1_000.0
"""Dollars per million tokens above which a price is taken for one in another unit."""
CHEAPEST = 0.000_5
"""Dollars per million tokens below which a price other than 0 is taken for one per token."""

_RELEASE = re.compile(
    r"(?:[-@:](?:\d{4}[\d-]*|00\d|v\d[\d.:]*|latest|preview|exp))+"  # a date, not the number of a model
)
_HOST = re.compile(r"^(?:.*/)?(?:(?:[a-z]+\.)+(?=claude-))?")
"""What hosts put in front: `openai/gpt-4o`, `us.anthropic.claude-...`."""
_OPEN = re.compile(r"[-_.:@\d].*|")


class PriceSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The price of one model, `[llm.prices."<model>"]`: dollars per million tokens."""

    input_per_million: Annotated[float, Meta(ge=0, description="dollars per million input tokens")]
    output_per_million: Annotated[float, Meta(ge=0, description="dollars per million output tokens")] = 0.0
    cached_input_per_million: Annotated[
        float | None,
        Meta(description="dollars per million input tokens from the provider's cache; none: as input"),
    ] = None


class Price(msgspec.Struct, frozen=True):
    """Nano-dollars per million tokens, and whether anybody said so."""

    input: int = 0
    output: int = 0
    cached_input: int = 0
    priced: bool = True
    """False: the model is in no table, and is taken to cost nothing."""


UNPRICED = Price(priced=False)


class Tokens(msgspec.Struct, frozen=True):
    """What a call took. `cached` of the `input` came from the provider's cache, as OpenAI counts it."""

    input: int = 0
    output: int = 0
    cached: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


class Prices:
    """The price of every model that has one: settings first, then the table. Answers are remembered."""

    def __init__(self, settings: Mapping[str, PriceSetting] | None = None) -> None:
        """Raises Misconfigured for a price that must be in another unit."""
        given = {name: _checked(name, setting) for name, setting in (settings or {}).items()}
        self._exact = given
        self._patterns = sorted(
            ((name, price) for name, price in given.items() if "*" in name), key=lambda pair: -len(pair[0])
        )
        self._known: dict[tuple[str, ...], Price] = {}

    def of(self, *names: str) -> Price:
        """The price of the first name that has one: pass the upstream model, then the public name.

        UNPRICED where none has.
        """
        found = self._known.get(names)
        if found is None:
            found = self._find(names)
            if len(self._known) >= 4_096:  # names may come from callers: the memory is bounded
                self._known.clear()
            self._known[names] = found
        return found

    def _find(self, names: tuple[str, ...]) -> Price:
        for find in (self._set, _listed):
            for name in names:
                price = find(name)
                if price is not None:
                    return price
        return UNPRICED

    def _set(self, name: str) -> Price | None:
        if name in self._exact:
            return self._exact[name]
        return next((price for pattern, price in self._patterns if fnmatchcase(name, pattern)), None)


def cost_of(prices: Prices, model: str | tuple[str, ...], tokens: Tokens) -> int:
    """Nano-dollars for `tokens`, rounded up to a whole one; `model` is a name, or names for `Prices.of`."""
    price = prices.of(model) if isinstance(model, str) else prices.of(*model)
    return price_of(price, tokens)


def price_of(price: Price, tokens: Tokens) -> int:
    """Nano-dollars for `tokens` at this price; counts below zero cost nothing."""
    whole = max(0, tokens.input)
    cached = min(max(0, tokens.cached), whole)
    total = (
        (whole - cached) * price.input + cached * price.cached_input + max(0, tokens.output) * price.output
    )
    return -(-total // MILLION)


def dollars(nanos: int) -> float:
    """For people and for JSON; never to be counted on."""
    return nanos / NANOS


def nanos_of(amount: float) -> int:
    """Dollars as nano-dollars. Raises ValueError for what is no amount."""
    if not math.isfinite(amount) or amount < 0:
        raise ValueError(f"{amount} is no amount of money")
    return round(amount * NANOS)


def _checked(name: str, setting: PriceSetting) -> Price:
    cached = setting.cached_input_per_million
    if cached is None:
        cached = setting.input_per_million
    prices = {
        "input_per_million": setting.input_per_million,
        "output_per_million": setting.output_per_million,
        "cached_input_per_million": cached,
    }
    for key, value in prices.items():
        _in_unit(name, key, value)
    if cached > setting.input_per_million:
        raise Misconfigured(
            f"llm.prices.{name!r}: cached_input_per_million = {cached:g} is more than input_per_million",
            hint="a cached token costs at most what a fresh one does",
        )
    return Price(nanos_of(setting.input_per_million), nanos_of(setting.output_per_million), nanos_of(cached))


def _in_unit(name: str, key: str, value: float) -> None:
    where = f"llm.prices.{name!r}: {key} = {value:g}"
    if not math.isfinite(value) or value < 0:
        raise Misconfigured(f"{where} is no price", hint="dollars per million tokens, 0 or more")
    if value > DEAREST:
        raise Misconfigured(
            f"{where} would be the dearest model there is",
            hint=f"prices are dollars per million tokens, at most {DEAREST:g}; was it meant per billion?",
        )
    if 0 < value < CHEAPEST:
        raise Misconfigured(
            f"{where} looks like a price per token",
            hint=f"prices are dollars per million tokens: write {value * MILLION:g}",
        )


def _listed(name: str) -> Price | None:
    """The table's price; the vendor's or host's name in front, as in `openai/gpt-4o`, does not matter."""
    plain = _HOST.sub("", name.lower(), count=1)
    for family in _FAMILIES_LONGEST_FIRST:
        if plain.startswith(family) and (
            len(plain) == len(family) or _RELEASE.fullmatch(plain, len(family)) is not None
        ):
            return _FAMILY_PRICES[family]
    for family in FREE:
        if plain.startswith(family) and _OPEN.fullmatch(plain, len(family)) is not None:
            return _NOTHING
    return None


_NOTHING = Price()
_FAMILY_PRICES = {
    family: Price(nanos_of(given), nanos_of(produced), nanos_of(cached))
    for family, (given, produced, cached) in FAMILIES.items()
}
_FAMILIES_LONGEST_FIRST = sorted(FAMILIES, key=len, reverse=True)
