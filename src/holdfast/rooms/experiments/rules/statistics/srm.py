"""Sample ratio mismatch: whether the arms were filled as they should have been. If not, no figure counts."""

from collections.abc import Mapping

from holdfast.rooms.experiments.rules.statistics.distributions import chi_square_above
from holdfast.rooms.experiments.rules.statistics.results import SampleRatio

LIMIT = 0.001
"""Below this p the ratio is taken as broken. Strict, because it is looked at again and again."""
LEAST = 100
"""Units in all below which nothing is said of the ratio (and chi-square would be rough)."""


def sample_ratio(
    observed: Mapping[str, int], shares: Mapping[str, float], limit: float = LIMIT
) -> SampleRatio:
    """Chi-square of units by arm against the arms' shares. Arms with a share of 0 take no part."""
    arms = [arm for arm, share in shares.items() if share > 0]
    counts = {arm: observed.get(arm, 0) for arm in arms}
    everybody = sum(counts.values())
    whole = sum(shares[arm] for arm in arms)
    if everybody == 0 or len(arms) < 2:
        return SampleRatio(counts, dict.fromkeys(arms, 0.0), 0.0, 1.0, True)
    expected = {arm: everybody * shares[arm] / whole for arm in arms}
    value = sum((counts[arm] - expected[arm]) ** 2 / expected[arm] for arm in arms)
    p = chi_square_above(value, len(arms) - 1)
    return SampleRatio(counts, expected, value, p, p >= limit or everybody < LEAST)
