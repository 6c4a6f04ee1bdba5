import pytest

from holdfast.rooms.resilience.rules.standing import Standing, amends, wait_for_lease_s


@pytest.mark.parametrize(
    ("generation", "stored_open", "known", "is_open", "due"),
    [
        (4, True, 4, True, ""),
        (4, False, 4, False, ""),
        (4, False, 4, True, "open"),
        (4, True, 4, False, "reset"),
        (5, False, 4, True, ""),
        (5, True, 4, False, ""),
        (0, False, 4, True, "open"),
        (0, False, 4, False, ""),
    ],
)
def test_what_a_process_that_went_on_alone_has_to_make_good(generation, stored_open, known, is_open, due):
    assert amends(Standing(generation, stored_open), known, is_open=is_open) == due


def test_a_refused_lease_is_asked_for_again_when_it_may_be_free():
    assert wait_for_lease_s(Standing(left_s=7), 1.0) == 7
    assert wait_for_lease_s(Standing(leased_s=30), 1.0) == 1
    assert wait_for_lease_s(Standing(leased_s=0.2), 1.0) == 0.2
    assert wait_for_lease_s(Standing(), 1.0) > 0
