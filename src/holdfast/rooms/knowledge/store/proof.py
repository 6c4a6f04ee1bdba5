"""Whether quotes stand where they are said to: read from serving versions, all of them as of one moment."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import and_, bindparam, select

from holdfast.ports.storage import Sql
from holdfast.rooms.knowledge.rules.stored import SERVING
from holdfast.rooms.knowledge.store.store import BLOCK
from holdfast.rooms.knowledge.store.tables import texts, versions

_t, _v = texts.c, versions.c
_BLOCKS = (
    select(_t.version, _t.block, _t.text)
    .select_from(texts.join(versions, and_(_v.no == _t.version, _v.state == SERVING)))
    .where(
        _v.tenant == bindparam("tenant"),
        _t.version.in_(bindparam("versions", expanding=True)),
        _t.block.in_(bindparam("blocks", expanding=True)),
    )
)


class Claim(NamedTuple):
    """`text[start:end] == quote`, of the text of this version."""

    version: int
    start: int
    end: int
    quote: str


class Proof:
    """Checks claims against what is stored. Raises Unavailable."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def holds(self, tenant: str, claims: Sequence[Claim]) -> list[bool]:
        """Of each claim whether it holds in a version that serves, by one statement for all."""
        if not claims:
            return []
        blocks = {block for claim in claims for block in _blocks(claim)}
        rows = await self._sql.fetch(
            _BLOCKS,
            {
                "tenant": tenant,
                "versions": sorted({claim.version for claim in claims}),
                "blocks": sorted(blocks),
            },
        )
        known = {(version, block): text for version, block, text in rows}
        return [_stands(claim, known) for claim in claims]


def _blocks(claim: Claim) -> Iterable[int]:
    return range(claim.start // BLOCK, (max(claim.end, claim.start + 1) - 1) // BLOCK + 1)


def _stands(claim: Claim, known: dict[tuple[int, int], str]) -> bool:
    parts = [known.get((claim.version, block)) for block in _blocks(claim)]
    if not claim.quote or any(part is None for part in parts):
        return False
    first = claim.start // BLOCK * BLOCK
    text = "".join(part for part in parts if part is not None)
    return text[claim.start - first : claim.end - first] == claim.quote
