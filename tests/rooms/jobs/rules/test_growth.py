from holdfast.rooms.jobs.rules.growth import Growth, judge


def run(*counts: int, threshold: int = 5) -> list[Growth]:
    found, before = [], Growth()
    for new in counts:
        before = judge(before, 100 + new, new, threshold)
        found.append(before)
    return found


def test_five_new_ones_raise_it_once_and_few_enough_end_it():
    found = run(0, 4, 5, 9, 4, 3, 2, 4)
    assert [one.is_raised for one in found] == [False, False, True, True, True, True, False, False]
    assert [bool(one.said) for one in found] == [False, False, True, False, False, False, True, False]
    assert "holdfast jobs dead" in found[2].said
    assert "no longer" in found[6].said


def test_a_threshold_of_one_ends_when_none_is_new():
    assert [one.is_raised for one in run(1, 0, threshold=1)] == [True, False]
    assert run(0)[0].detail == ""
