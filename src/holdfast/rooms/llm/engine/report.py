"""What has been spent, in a form for people and for JSON."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import BadInput
from holdfast.rooms.llm.engine.ledger import Ledger
from holdfast.rooms.llm.rules.ledger import DIMENSIONS, Sum
from holdfast.rooms.llm.rules.price_table import AS_OF, CURRENCY
from holdfast.rooms.llm.rules.prices import dollars

Days = Annotated[int, Meta(ge=1, le=3650)]


class Line(msgspec.Struct, frozen=True):
    """What one id has come to. `cost` in the price table's currency."""

    id: str
    calls: int
    failures: int
    free: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    cost: float


class Spend(msgspec.Struct, frozen=True):
    """A report: the dearest ids of a dimension, and the sum of all."""

    by: str
    days: int
    currency: str
    prices_as_of: str
    total: Line
    lines: list[Line]


async def spend_report(ledger: Ledger, by: str, days: int, most: int = 100) -> Spend:
    """The spend of the last `days` by a dimension. Raises BadInput for one that there is not, Unavailable."""
    if by not in DIMENSIONS:
        raise BadInput(f"spend is not kept by {by[:40]!r}", hint=f"by: {', '.join(DIMENSIONS)}")
    whole = await ledger.spend("everything", days, 1)
    found = await ledger.spend(by, days, most)
    total = _line("", whole[0][1] if whole else Sum())
    return Spend(by, days, CURRENCY, AS_OF, total, [_line(id, each) for id, each in found])


def table(report: Spend) -> Sequence[str]:
    """The report as lines for a terminal."""
    lines = [
        f"{report.by:<32}{'calls':>9}{'failed':>8}{'free':>8}"
        f"{'tokens in':>13}{'tokens out':>13}{report.currency:>14}"
    ]
    for line in [*report.lines, report.total]:
        name = "total" if line is report.total else line.id or "(none)"
        lines.append(
            f"{name:<32}{line.calls:>9,}{line.failures:>8,}{line.free:>8,}"
            f"{line.tokens_in:>13,}{line.tokens_out:>13,}{line.cost:>14,.6f}"
        )
    return lines


def _line(id: str, each: Sum) -> Line:
    return Line(
        id,
        each.calls,
        each.failures,
        each.free,
        each.tokens_in,
        each.tokens_out,
        each.tokens_cached,
        dollars(each.cost),
    )
