import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from holdfast.rooms.experiments.rules.statistics import corrections

ps = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.parametrize("values", [[0.3], [0.01, 0.04, 0.03, 0.005, 0.01, 0.0, 1.0, 0.02]])
def test_holm_is_statsmodels(values):
    assert corrections.holm(values) == pytest.approx(
        multipletests(values, method="holm")[1].tolist(), abs=1e-12
    )


@given(ps)
def test_holm_keeps_order_and_never_lowers(values):
    found = corrections.holm(values)
    assert all(p <= adjusted <= 1 for p, adjusted in zip(values, found, strict=True))
    assert sorted(found) == [found[at] for at in sorted(range(len(values)), key=values.__getitem__)]


@given(ps)
def test_benjamini_hochberg_is_statsmodels(values):
    theirs = multipletests(values, method="fdr_bh")[1].tolist()
    assert corrections.benjamini_hochberg(values) == pytest.approx(theirs, abs=1e-12)


def test_of_nothing_there_is_nothing():
    assert corrections.holm([]) == corrections.benjamini_hochberg([]) == []
