"""Who asks: the variants of the request being served, or those for which the load being run was begun."""

from collections.abc import Sequence

from holdfast.kernel.context import current
from holdfast.rooms.cache.engine.flights import inside
from holdfast.rooms.cache.rules.arms import arms_of, tag_of
from holdfast.rooms.cache.rules.kinds import Kind


def arms_now(kind: Kind) -> str:
    """The arms whose entries of this kind are asked for now; empty: the ones that everybody shares.

    A load runs without its caller's context, so what it asks of the cache goes by the arms of its key.
    """
    if not kind.by_variant:
        return ""
    ctx = current()
    if ctx is not None:
        return arms_of(ctx.variants) if ctx.variants else ""
    flight = inside()
    return flight.arms if flight is not None else ""


def tags_with(tags: Sequence[str], key: str, arms: str) -> tuple[str, ...]:
    """The tags of the entry, by which its plain key reaches it."""
    return (*tags, tag_of(key)) if arms else tuple(tags)
