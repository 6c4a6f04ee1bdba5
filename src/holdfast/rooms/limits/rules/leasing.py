"""How much of a limit a node may take ahead of its use.

A lease is a piece of GCRA's own time line. The server charges n tokens at once, which moves the
theoretical arrival time from `start` to `start + n * interval`; the node may then decide by itself as long
as the piece that is left lies in the future: a token is good until the moment its own slot begins. By then
it has drained on the server too, so a token that nobody used costs nobody anything in the long run, and a
used one never comes on top: over any span of time x, all nodes together admit at most
`capacity + quota * x / window`, exactly what one place would. What leases cost is the other side: a node
may refuse while up to `(nodes - 1) x lease` tokens, at most `lease_share` of the limit and shrinking with
what is left of it, lie unused with others.
"""

import math
from typing import Annotated

import msgspec
from msgspec import Meta


class Sharing(msgspec.Struct, frozen=True):
    """How the nodes share the limits."""

    lease_hold_s: Annotated[
        float, Meta(gt=0, description="A lease of tokens is sized to last about this long.")
    ] = 1.0
    lease_hot: Annotated[
        float, Meta(gt=0, description="Units per `lease_hold_s` from which a key is asked for ahead.")
    ] = 2.0
    lease_share: Annotated[
        float,
        Meta(ge=0, le=1, description="What all leases of one limit may hold, as its share; 0: no leases."),
    ] = 0.25
    lease_reserve: Annotated[
        int, Meta(ge=1, description="A lease takes at most 1 / (this x nodes) of what is left.")
    ] = 4
    nodes_at_least: Annotated[
        int, Meta(ge=1, description="Nodes that are taken to exist even when the shared store never told.")
    ] = 1
    beat_s: Annotated[
        float, Meta(gt=0, description="How often a node says that it lives; silent for three it is gone.")
    ] = 5.0
    return_spread_s: Annotated[
        float, Meta(ge=0, description="After an outage nodes come back within this time, each at its own.")
    ] = 0.25
    most_tracks: Annotated[
        int, Meta(ge=1, description="Keys whose leases, refusals and rates a node remembers.")
    ] = 20_000
    most_owed: Annotated[
        int, Meta(ge=1, description="Keys for which a node remembers what it admitted during an outage.")
    ] = 20_000


def observed_rate(rate: float, asked: int, elapsed_s: float, memory_s: float) -> float:
    """Units a second, smoothed over `memory_s`, after `asked` more in `elapsed_s`.

    >>> round(observed_rate(0.0, 10, 0.001, 1.0), 1)
    10.0
    """
    if elapsed_s <= 0.0:
        return rate + asked / memory_s
    keep = math.exp(-elapsed_s / memory_s)
    return rate * keep + asked / elapsed_s * (1.0 - keep)


def lease_units(rate: float, interval_us: int, capacity: int, nodes: int, sharing: Sharing) -> int:
    """Tokens to ask for ahead; 0 for a key that is not hot or a limit too small to part.

    A lease drains while it is held, at the limit's own pace: it covers at least what drains in its time.
    """
    hold_s = sharing.lease_hold_s
    if rate * hold_s < sharing.lease_hot:
        return 0
    wanted = hold_s * max(rate, 1_000_000 / interval_us)
    return int(min(wanted, capacity * sharing.lease_share / nodes))
