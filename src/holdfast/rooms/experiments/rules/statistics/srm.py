"""Sample ratio mismatch: whether the arms were filled as they should have been. If not, no figure counts.

Once, at the end, it is Pearson's chi-square, where every arm has enough units for it. On the way there it is
looked at every hour and by whoever opens the page, so there its p is always valid: however often one looks
at arms that are filled as planned, the chance that p ever falls below a limit is at most that limit (Lindon
& Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022, arXiv 2011.03567). It is 1 / the
Bayes factor of Dirichlet-distributed shares, centred on the planned ones, against the planned ones:

    ln BF = sum_i [ln G(a_i + n_i) - ln G(a_i) - n_i ln s_i] + ln G(a) - ln G(a + n),    a_i = a s_i
"""

from collections.abc import Mapping
from math import exp, lgamma, log

from holdfast.rooms.experiments.rules.statistics.distributions import chi_square_above
from holdfast.rooms.experiments.rules.statistics.results import SampleRatio

LIMIT = 0.001
"""Below this p the ratio is taken as broken. Strict: a false alarm throws a whole experiment away."""
LEAST = 100
"""Units in all below which nothing is said of the ratio (and chi-square would be rough)."""
LEAST_EXPECTED = 10.0
"""Units that each arm should have before chi-square is taken. With fewer it is no chi-square any more: of
200 units at 99 to 1 it took four good ratios in a thousand for broken, of 1,000 at 5,000 to 1 twenty."""
CONCENTRATION = 100.0
"""Planned units the prior is worth. 100: shares that are off by one to five points are found soonest."""


def sample_ratio(observed: Mapping[str, int], shares: Mapping[str, float], *, final: bool) -> SampleRatio:
    """Units by arm against the arms' shares; `final`: no further look will come.

    Arms with a share of 0 take no part. The last p is the always-valid one too where an arm should have
    hardly any units: that one holds for any number.
    """
    arms = [arm for arm, share in shares.items() if share > 0]
    counts = {arm: observed.get(arm, 0) for arm in arms}
    everybody = sum(counts.values())
    whole = sum(shares[arm] for arm in arms)
    if everybody == 0 or len(arms) < 2:
        return SampleRatio(counts, dict.fromkeys(arms, 0.0), 0.0, 1.0, True, not final)
    expected = {arm: everybody * shares[arm] / whole for arm in arms}
    value = sum((counts[arm] - expected[arm]) ** 2 / expected[arm] for arm in arms)
    once = final and min(expected.values()) >= LEAST_EXPECTED
    if once:
        p = chi_square_above(value, len(arms) - 1)
    else:
        p = _always_valid([(counts[arm], shares[arm] / whole) for arm in arms])
    return SampleRatio(counts, expected, value, p, p >= LIMIT or everybody < LEAST, not once)


def _always_valid(arms: list[tuple[int, float]]) -> float:
    everybody = sum(n for n, _ in arms)
    factor = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + everybody)
    for n, share in arms:
        prior = CONCENTRATION * share
        factor += lgamma(prior + n) - lgamma(prior) - n * log(share)
    return exp(min(0.0, -factor))
