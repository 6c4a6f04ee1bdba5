"""What becomes of a version that nobody may be working on."""

import pytest

from holdfast.rooms.knowledge.rules.healing import GRACE_MS, UPLOAD_MS, heal


@pytest.mark.parametrize(
    ("is_whole", "age_ms", "job", "what", "reason"),
    [
        (True, GRACE_MS + 1, (None,), "enqueue", ""),
        (True, GRACE_MS, (None,), "leave", ""),
        (True, 10**9, ("running",), "leave", ""),
        (True, 10**9, ("retrying",), "leave", ""),
        (True, 0, ("failed", "no memory"), "fail", "failed: no memory"),
        (True, 0, ("cancelled",), "fail", "cancelled"),
        (True, 0, ("succeeded",), "enqueue", ""),
        (False, UPLOAD_MS, (None,), "leave", ""),
        (False, UPLOAD_MS + 1, (None,), "fail", "the upload broke off"),
    ],
)
def test_every_case_has_one_end(is_whole, age_ms, job, what, reason):
    assert heal(is_whole, age_ms, *job) == (what, reason)
