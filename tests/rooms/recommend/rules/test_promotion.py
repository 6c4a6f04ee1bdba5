"""When to train, and what may serve."""

import pytest

from holdfast.rooms.recommend.rules.promotion import is_due, judge


@pytest.mark.parametrize(
    ("candidate", "current", "promoted"),
    [
        (0.1, None, True),
        (0.0, None, True),
        (0.2, 0.1, True),
        (0.1, 0.1, True),
        (0.098, 0.1, True),
        (0.0979, 0.1, False),
        (float("nan"), 0.1, False),
    ],
)
def test_a_worse_model_is_refused(candidate: float, current: float | None, promoted: bool) -> None:
    verdict = judge(candidate, current, 0.02)
    assert verdict.promoted is promoted
    assert verdict.reason


@pytest.mark.parametrize(
    ("new", "age_s", "events", "reason"),
    [
        (0, None, 1000, ""),
        (50, None, 50, ""),
        (200, None, 200, "nothing trained yet"),
        (10, 10.0, 1000, ""),
        (500, 10.0, 1000, "500 new events"),
        (1, 3600.0, 1000, "3600 s since the last training"),
        (0, 99999.0, 1000, ""),
    ],
)
def test_training_is_due_by_events_or_by_time(
    new: int, age_s: float | None, events: int, reason: str
) -> None:
    found = is_due(
        new_events=new, age_s=age_s, after_events=500, after_s=3600.0, min_events=200, events=events
    )
    assert found == reason
