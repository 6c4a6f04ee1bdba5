"""`holdfast llm keys create|list|show|revoke` and `holdfast llm spend`."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from holdfast.kernel.errors import Problem
from holdfast.kernel.room import Verb
from holdfast.rooms.llm.engine.ledger import Ledger
from holdfast.rooms.llm.engine.report import spend_report, table
from holdfast.rooms.llm.engine.virtual_keys import VirtualKeys
from holdfast.rooms.llm.rules.budgets import Period
from holdfast.rooms.llm.rules.ledger import DIMENSIONS
from holdfast.rooms.llm.rules.virtual_keys import KeyBudget, NewKey, VirtualKey

REFUSED = 2
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class MoneyVerbs:
    """The commands about money. They work on the database, so they reach every process that shares it."""

    def __init__(self, keys: VirtualKeys, ledger: Ledger) -> None:
        self._keys = keys
        self._ledger = ledger

    def all(self) -> Sequence[Verb]:
        return (
            Verb("llm keys", "create, list, show and revoke virtual keys", self.keys, _key_arguments),
            Verb("llm spend", "what was spent on models in the last days", self.spend, _spend_arguments),
        )

    async def keys(self, options: argparse.Namespace) -> int:
        """What stands behind `holdfast llm keys`."""
        act = {"create": self._create, "list": self._list, "show": self._show, "revoke": self._revoke}
        try:
            return await act[options.keys_verb](options)
        except Problem as problem:
            print(problem.line(), file=sys.stderr)
            return REFUSED

    async def spend(self, options: argparse.Namespace) -> int:
        """A table of the dearest first."""
        try:
            report = await spend_report(self._ledger, options.by, options.days, options.limit)
        except Problem as problem:
            print(problem.line(), file=sys.stderr)
            return REFUSED
        for line in table(report):
            print(line)
        print(f"prices as of {report.prices_as_of} unless set in [llm.prices]", file=sys.stderr)
        return 0

    async def _create(self, options: argparse.Namespace) -> int:
        wanted = {
            "name": options.name,
            "tenant": options.tenant,
            "user": options.user,
            "models": options.model or ["*"],
            "budgets": [*_budgets(options.tokens, "tokens"), *_budgets(options.cost, "cost")],
            "requests_per_minute": options.rpm,
            "tokens_per_minute": options.tpm,
            "expires_in_s": options.expires,
        }
        try:
            new = msgspec.convert(wanted, NewKey)
        except msgspec.ValidationError as error:
            print(f"no such key can be made: {error}", file=sys.stderr)
            return REFUSED
        key, secret = await self._keys.create(new)
        print(secret)
        print(f"id {key.id}; it is shown this once: keep it now", file=sys.stderr)
        return 0

    async def _list(self, options: argparse.Namespace) -> int:
        found = await self._keys.all()
        if not found:
            print("there are no virtual keys: `holdfast llm keys create NAME` makes one")
        for key in found:
            whose = f"{key.tenant or '-':<16}{key.user or '-':<16}"
            print(f"{key.id}  {key.shown}...  {_state(key):<9}{whose}{key.name}")
        return 0

    async def _show(self, options: argparse.Namespace) -> int:
        print(msgspec.json.format(msgspec.json.encode(await self._keys.get(options.id))).decode())
        return 0

    async def _revoke(self, options: argparse.Namespace) -> int:
        key = await self._keys.revoke(options.id)
        print(f"revoked {key.shown}... ({key.name}); every process refuses it within 2 s")
        return 0


def _state(key: VirtualKey) -> str:
    return "revoked" if key.disabled else "expires" if key.expires_ms else "good"


def _budgets(given: Sequence[str] | None, unit: str) -> list[KeyBudget]:
    return [_budget(text, unit) for text in given or ()]


def _budget(text: str, unit: str) -> KeyBudget:
    """`100000/day` as a budget."""
    amount, _, period = text.partition("/")
    return msgspec.convert(
        {"period": period, unit: float(amount) if unit == "cost" else int(amount)}, KeyBudget
    )


def _amount(text: str) -> str:
    """Checked where it is written; argparse tells the words of the error."""
    amount, slash, period = text.partition("/")
    try:
        float(amount)
    except ValueError:
        slash = ""
    if not slash or period not in get_args(Period):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not AMOUNT/PERIOD; periods: {', '.join(get_args(Period))}"
        )
    return text


def _whole(text: str) -> str:
    if not text.partition("/")[0].isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with a whole number of tokens")
    return _amount(text)


def _span(text: str) -> float:
    found = _SPAN.fullmatch(text)
    if found is None or not float(found.group(1)):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 30m, 12h, 30d or 4w")
    return float(found.group(1)) * _SECONDS[found.group(2)]


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    verbs: Any = parser.add_subparsers(dest="keys_verb", metavar="WHAT", required=True)
    create = verbs.add_parser("create", help="make a key; it is printed this once")
    create.add_argument("name", help="what it is for")
    create.add_argument("--tenant", default="", help="whose calls it makes")
    create.add_argument("--user", default="", help="on which user's account")
    create.add_argument("--model", action="append", help="a model it may use, or a pattern; may be repeated")
    create.add_argument("--tokens", action="append", type=_whole, metavar="N/PERIOD", help="e.g. 100000/day")
    create.add_argument(
        "--cost", action="append", type=_amount, metavar="DOLLARS/PERIOD", help="e.g. 20/month"
    )
    create.add_argument("--rpm", type=int, help="requests per minute")
    create.add_argument("--tpm", type=int, help="tokens per minute")
    create.add_argument("--expires", type=_span, metavar="TIME", help="30d, 12h, 90s; never unless given")
    verbs.add_parser("list", help="every key, without the keys themselves")
    for name, summary in (("show", "all that is kept of a key"), ("revoke", "disable a key for good")):
        verbs.add_parser(name, help=summary).add_argument("id", help="its id, as `list` shows it")


def _spend_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default="model", choices=DIMENSIONS, help="what to add up by (default model)")
    parser.add_argument("--days", type=int, default=30, help="today and the days before (default 30)")
    parser.add_argument("--limit", type=int, default=50, help="how many lines (default 50)")
