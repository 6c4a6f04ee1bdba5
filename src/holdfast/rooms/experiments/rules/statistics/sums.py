"""Mergeable sums of units' totals: all that an analysis needs, whatever the number of units.

A unit (a user) has three totals of a metric: `y` what is counted, `d` what a ratio divides by, `x` its own
past (CUPED). Per arm and cell there is one `Sums`. When an event moves a unit's totals, the sums move by

    n 0, y' - y, y'^2 - y^2, ...          (`moved`)

so squares are of units' totals, never of single events. Merging is plain addition, field by field: a row of
a database is incremented by what `moved` gives. Totals that spread by less than a millionth of their mean
(points in time, say, instead of durations) lose their spread to rounding, and nothing is found in them: see
`LOST`.
"""

import msgspec


class Totals(msgspec.Struct, frozen=True):
    """One unit's totals of one metric."""

    y: float = 0.0
    d: float = 0.0
    x: float = 0.0


class Sums(msgspec.Struct, frozen=True):
    """Sums over units; `Sums()` is none. Each field is one column."""

    n: float = 0.0
    y: float = 0.0
    yy: float = 0.0
    d: float = 0.0
    dd: float = 0.0
    yd: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    yx: float = 0.0
    dx: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.n + other.n,
            self.y + other.y,
            self.yy + other.yy,
            self.d + other.d,
            self.dd + other.dd,
            self.yd + other.yd,
            self.x + other.x,
            self.xx + other.xx,
            self.yx + other.yx,
            self.dx + other.dx,
        )


FIELDS = Sums.__struct_fields__
"""The names of the columns, in order."""
NONE = Sums()
LOST = 1e-12
"""Of a sum of squares: what rounding may have taken. A spread is never taken for less than that, or totals
that are all 0.7 would lie an infinity of standard errors apart."""


def moved(old: Totals | None, new: Totals | None) -> Sums:
    """By how much the sums move when a unit's totals go from `old` to `new`; None is: not among them.

    Squares move by (new - old) * (new + old), which loses no digits to cancellation.
    """
    if old is None or new is None:
        one = new if old is None else old
        if one is None:
            return NONE
        sign = 1.0 if old is None else -1.0
        y, d, x = one.y, one.d, one.x
        return Sums(*(sign * part for part in (1.0, y, y * y, d, d * d, y * d, x, x * x, y * x, d * x)))
    dy, dd, dx = new.y - old.y, new.d - old.d, new.x - old.x
    y, d, x = old.y, old.d, old.x
    return Sums(
        0.0,
        dy,
        dy * (dy + 2 * y),
        dd,
        dd * (dd + 2 * d),
        dy * d + y * dd + dy * dd,
        dx,
        dx * (dx + 2 * x),
        dy * x + y * dx + dy * dx,
        dd * x + d * dx + dd * dx,
    )


class Moments(msgspec.Struct, frozen=True):
    """Means, variances and covariances of one arm; variances with n - 1."""

    n: float
    y: float
    yy: float
    d: float = 0.0
    dd: float = 0.0
    yd: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    yx: float = 0.0
    dx: float = 0.0


def moments(sums: Sums) -> Moments | None:
    """What the sums say of their units; None of fewer than two."""
    n = sums.n
    if n < 2:
        return None
    y, d, x = sums.y / n, sums.d / n, sums.x / n
    freedom = n - 1
    past = sums.xx - sums.x * x  # where rounding is all that spreads, a slope over it could be anything
    return Moments(
        n,
        y,
        max(LOST * sums.yy, sums.yy - sums.y * y) / freedom,
        d,
        max(0.0, (sums.dd - sums.d * d) / freedom),
        (sums.yd - sums.y * d) / freedom,
        x,
        past / freedom if past > LOST * sums.xx else 0.0,
        (sums.yx - sums.y * x) / freedom,
        (sums.dx - sums.d * x) / freedom,
    )
