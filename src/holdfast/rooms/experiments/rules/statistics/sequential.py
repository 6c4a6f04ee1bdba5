"""Group-sequential tests: look as often as you like on the way to a planned end, at the price of one look.

Lan and DeMets: a look at information t (units over planned units) may have spent at most

    alpha(t) = 2 * (2 - 2 * Phi(Phi^-1(1 - alpha / 4) / sqrt(t)))      (after O'Brien and Fleming)

of the error in all (each side spends half of it), whenever the looks happen to be. The boundary of each look
follows from those before it by the recursive integration of Armitage, McPherson and Rowe over a grid of the
score B(t) = Z * sqrt(t), whose increments are independent. Two-sided and symmetric.
"""

from functools import lru_cache
from math import inf, sqrt
from typing import Any

import msgspec

from holdfast.rooms.experiments.rules.statistics.distributions import (
    normal_at,
    numeric,
    special,
    two_sided,
)

POINTS = 385
"""Of the grid over a look's continuation region (Simpson; odd). With 50 looks more changes none by 1e-6."""
FARTHEST = 8.5
"""Standard errors beyond which nothing is worth integrating."""
ALMOST_ONE = 1 - 2**-53
FIRST_STEP = 0.5
"""Standard errors by which an effect is looked for on both sides of what one look would say."""


def spent(information: float, alpha: float) -> float:
    """How much of alpha may be spent up to here."""
    if information <= 0:
        return 0.0
    if information >= 1:
        return alpha
    return 2 * two_sided(normal_at(alpha / 4) / sqrt(information))


class Path(msgspec.Struct, frozen=True):
    """The boundaries of the looks so far, and what has been spent at each of them."""

    information: tuple[float, ...]
    boundaries: tuple[float, ...]
    spent: tuple[float, ...]
    alpha: float


class _Grid:
    """The density of the score at a look, among runs that have crossed no boundary."""

    def __init__(self, points: Any, mass: Any, information: float) -> None:
        self.points, self.mass, self.information = points, mass, information

    def beyond(self, score: float, information: float) -> float:
        """The chance that the next look's score is farther from nothing than `score`."""
        spread = sqrt(information - self.information)
        ndtr = special().ndtr
        return float(
            self.mass @ (ndtr((self.points - score) / spread) + ndtr((-score - self.points) / spread))
        )

    def next(self, score: float, information: float) -> "_Grid":
        """On to the next look, among runs within `score` there."""
        np = numeric()
        spread = sqrt(information - self.information)
        points, weights = _simpson(min(score, FARTHEST * sqrt(information)))
        steps = (points[:, None] - self.points[None, :]) / spread
        density = np.exp(-0.5 * steps * steps) @ self.mass / (spread * sqrt(2 * np.pi))
        return _Grid(points, density * weights, information)


def _simpson(reach: float) -> tuple[Any, Any]:
    np = numeric()
    points = np.linspace(-reach, reach, POINTS)
    weights = np.ones(POINTS)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return points, weights * (2 * reach / (POINTS - 1) / 3)


def _start() -> _Grid:
    np = numeric()
    return _Grid(np.zeros(1), np.ones(1), 0.0)


def path(information: tuple[float, ...], alpha: float, *, last: bool = False) -> Path:
    """The boundaries, in standard errors, of looks at these times (rising; 1 is the planned end).

    `last`: the final one is the end whatever its time: all that is left of alpha is spent there.
    """
    found = _walked(information if not last else information[:-1], alpha)[0]
    if not last:
        return found
    before, grid = _walked(information[:-1], alpha)
    boundary, _ = _boundary(grid, information[-1], alpha - (before.spent[-1] if before.spent else 0.0))
    return Path(information, (*before.boundaries, boundary), (*before.spent, alpha), alpha)


@lru_cache(maxsize=2048)
def _walked(information: tuple[float, ...], alpha: float) -> tuple[Path, _Grid]:
    """Each prefix of looks is kept: one more look costs one more step.

    A look whose line is out of reach parts no runs, so the grid goes on as if it had not been: on a grid of
    its own, what a strong drift carries beyond FARTHEST would be lost.
    """
    if not information:
        return Path((), (), (), alpha), _start()
    before, grid = _walked(information[:-1], alpha)
    now = information[-1]
    if before.information and now <= before.information[-1]:
        raise ValueError("looks go forward: information must rise")
    used = before.spent[-1] if before.spent else 0.0
    allowed = spent(now, alpha)
    boundary, score = _boundary(grid, now, allowed - used)
    here = Path(information, (*before.boundaries, boundary), (*before.spent, max(used, allowed)), alpha)
    return here, grid if boundary == inf else grid.next(score, now)


def _boundary(grid: _Grid, information: float, chance: float) -> tuple[float, float]:
    """Where the next look's line lies so that a run crosses it with this chance: as z, and as score."""
    farthest = FARTHEST * sqrt(information)
    if chance <= 0 or grid.beyond(farthest, information) >= chance:
        return inf, inf
    low, high = 0.0, farthest
    for _ in range(60):
        middle = (low + high) / 2
        if grid.beyond(middle, information) > chance:
            low = middle
        else:
            high = middle
    return high / sqrt(information), high


def p_value(walk: Path, z: float) -> float:
    """The chance, without any effect, of crossing before or of being as far from nothing as z at the end.

    Stage-wise ordering: a boundary crossed earlier speaks louder than any crossed later.
    """
    before = walk.spent[-2] if len(walk.spent) > 1 else 0.0
    _, grid = _walked(walk.information[:-1], walk.alpha)
    now = walk.information[-1]
    return min(1.0, before + grid.beyond(abs(z) * sqrt(now), now))


def effect_at(walk: Path, z: float, share: float) -> float:
    """The effect under which what was seen, or more in favour, has this chance; in standard errors.

    At one half it is the median-unbiased estimate. As a normal quantile the chance is nearly a straight line
    of the effect, and after one look it is one; so regula falsi (Illinois) needs few steps.
    """
    scale, wanted = sqrt(walk.information[-1]), normal_at(share)

    def off(drift: float) -> float:
        return normal_at(min(max(_in_favour(walk, z, drift), 1e-300), ALMOST_ONE)) - wanted

    start, step = (z + wanted) / scale, FIRST_STEP / scale
    low, high = start - step, start + step
    while (below := off(low)) > 0:
        step *= 2
        low -= step
    while (above := off(high)) < 0:
        step *= 2
        high += step
    side = 0
    for _ in range(100):
        middle = (low * above - high * below) / (above - below)
        here = off(middle)
        if abs(here) < 1e-10 or high - low < 1e-10:
            break
        if here < 0:
            low, below = middle, here
            above = above / 2 if side < 0 else above
            side = -1
        else:
            high, above = middle, here
            below = below / 2 if side > 0 else below
            side = 1
    return middle * scale


def _in_favour(walk: Path, z: float, drift: float) -> float:
    """The chance of crossing above at a look before, or of ending above z, when scores drift.

    Drift weighs each path by exp(drift * score - drift^2 * information / 2), whatever way it took.
    """
    np = numeric()
    points, mass, since = _grids(walk.information, walk.alpha)
    times = np.array(walk.information)[:, None]
    lines = np.array((*walk.boundaries[:-1], z))[:, None] * np.sqrt(times)
    ahead = times - since
    weight = np.exp(drift * points - drift * drift / 2 * since)
    above = special().ndtr((points + drift * ahead - lines) / np.sqrt(ahead))
    return float((mass * weight * above).sum())


@lru_cache(maxsize=16)
def _grids(information: tuple[float, ...], alpha: float) -> tuple[Any, Any, Any]:
    """A row for each look: points and mass of the grid before it, and that one's information."""
    np = numeric()
    points, mass = np.zeros((2, len(information), POINTS))
    since = np.zeros((len(information), 1))
    for at in range(len(information)):
        _, grid = _walked(information[:at], alpha)
        size = len(grid.points)  # 1 at the start, of which the rest stays without mass
        points[at, :size], mass[at, :size], since[at] = grid.points, grid.mass, grid.information
    return points, mass, since
