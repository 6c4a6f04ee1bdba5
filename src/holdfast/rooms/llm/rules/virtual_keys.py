"""Virtual keys: what they look like, what they allow, and the limits that they bring along.

`hf-` + 32 characters of 62 (190 random bits) + 6 characters of a checksum, so that a mistyped or invented
key is refused without asking any database. Only the SHA-256 of a key is kept: its bits are random, so a slow
hash would add nothing.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import BadInput
from holdfast.rooms.llm.rules.budgets import BudgetSetting, Dollars, Period, Whole
from holdfast.rooms.llm.rules.denials import KeyDisabled, KeyExpired, ModelNotAllowed
from holdfast.rooms.llm.rules.limits import MOST, PERIODS, REQUESTS, ROLLING, TOKENS, Limit, limit_of
from holdfast.rooms.llm.rules.payer import Payer

PREFIX = "hf-"
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 32
_CHECK = 6
_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_LENGTH}}})([0-9A-Za-z]{{{_CHECK}}})")
SHOWN = 9
"""Characters of a key that may be shown to tell it from others: `hf-` and six."""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Id = Annotated[str, Meta(max_length=200)]


class KeyBudget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a key may spend in a period: tokens, money, or both."""

    period: Period
    tokens: Whole | None = None
    cost: Dollars | None = None
    """Dollars."""


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a key is to be."""

    name: Name
    tenant: Id = ""
    user: Id = ""
    models: Annotated[tuple[Name, ...], Meta(max_length=100)] = ("*",)
    """Patterns of public model names: `gpt-*`."""
    budgets: Annotated[tuple[KeyBudget, ...], Meta(max_length=20)] = ()
    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Meta(ge=1)] | None = None
    expires_in_s: Annotated[float, Meta(gt=0)] | None = None


class VirtualKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept: everything but the key."""

    id: str
    name: str
    shown: str
    """How the key begins."""
    tenant: str = ""
    user: str = ""
    models: tuple[str, ...] = ("*",)
    budgets: tuple[KeyBudget, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    created_ms: int = 0
    expires_ms: int = 0
    """0: never."""
    disabled: bool = False

    def limits(self) -> tuple[Limit, ...]:
        """The limits that the key brings along, each counted under its id."""
        found = []
        for budget in self.budgets:
            setting = BudgetSetting("key", budget.period, self.id, budget.tokens, budget.cost)
            period = PERIODS.index(budget.period)
            found += [limit_of("key", self.id, period, unit, amount) for unit, amount in setting.amounts()]
        for unit, amount in ((REQUESTS, self.requests_per_minute), (TOKENS, self.tokens_per_minute)):
            if amount is not None:
                found.append(limit_of("key", self.id, ROLLING, unit, amount))
        lowest: dict[str, Limit] = {}
        for limit in found:
            known = lowest.get(limit.key)
            lowest[limit.key] = limit if known is None or limit.amount < known.amount else known
        return tuple(lowest.values())


class Admitted(msgspec.Struct, frozen=True):
    """A key that was found good, with its limits worked out."""

    key: VirtualKey
    own: tuple[Limit, ...]

    def payer(self, model: str, user: str = "", tenant: str = "") -> Payer:
        """Who pays for a call of this model. `user`, `tenant`: who asks, where the key is nobody's."""
        key = self.key
        return Payer(key.tenant or tenant, key.user or user, key.id, model, self.own)

    def check(self, now_s: float) -> None:
        """Raises KeyDisabled, KeyExpired."""
        if self.key.disabled:
            raise KeyDisabled(f"the key {self.key.shown}... has been revoked", hint="ask for a new key")
        if self.key.expires_ms and now_s * 1000 >= self.key.expires_ms:
            raise KeyExpired(f"the key {self.key.shown}... has expired", hint="ask for a new key")

    def allows(self, model: str) -> bool:
        """Whether the key may use the model."""
        models = self.key.models
        return "*" in models or any(fnmatchcase(model, pattern) for pattern in models)

    def check_model(self, model: str) -> None:
        """Raises ModelNotAllowed."""
        if not self.allows(model):
            allowed = ", ".join(self.key.models) or "none"
            raise ModelNotAllowed(
                f"the key {self.key.shown}... may not use the model {model[:100]!r}",
                hint=f"it may use: {allowed}",
            )


def admitted(key: VirtualKey) -> Admitted:
    """The key with its limits."""
    return Admitted(key, key.limits())


def new_secret(bits: Callable[[int], int]) -> str:
    """A fresh key from a source of secret random bits."""
    number = bits(_LENGTH * 6)
    body = "".join(_letters(number, _LENGTH))
    return PREFIX + body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether it can be a key at all: shape and checksum."""
    found = _FORM.fullmatch(secret)
    return found is not None and _checksum(found.group(1)) == found.group(2)


def digest_of(secret: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_new(wanted: NewKey) -> None:
    """Raises BadInput for a key whose limits cannot be counted."""
    for budget in wanted.budgets:
        amounts = BudgetSetting("key", budget.period, "", budget.tokens, budget.cost).amounts()
        if not amounts:
            raise BadInput(f"the budget per {budget.period} limits nothing", hint="give it tokens or cost")
        _countable([amount for _, amount in amounts])
    _countable([each for each in (wanted.requests_per_minute, wanted.tokens_per_minute) if each is not None])
    for text in (wanted.name, wanted.tenant, wanted.user, *wanted.models):
        if "\0" in text or not _encodes(text):
            raise BadInput(
                "a name holds characters that no database keeps", hint="leave out NUL and lone surrogates"
            )


def _countable(amounts: Sequence[int]) -> None:
    if any(amount > MOST for amount in amounts):
        raise BadInput(
            "a limit is beyond what is counted exactly", hint="at most a million dollars or 10^15 tokens"
        )


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _letters(number: int, length: int) -> list[str]:
    found = []
    for _ in range(length):
        number, rest = divmod(number, len(_LETTERS))
        found.append(_LETTERS[rest])
    return found


def _checksum(body: str) -> str:
    number = int.from_bytes(hashlib.blake2b(body.encode(), digest_size=8, person=b"hf-key").digest())
    return "".join(_letters(number, _CHECK))
