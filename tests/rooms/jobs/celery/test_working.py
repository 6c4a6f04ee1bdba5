"""What Celery, and so Flower, sees of how a job ended."""

import pytest
from celery.exceptions import Ignore, Retry

from holdfast.rooms.jobs.celery.taking import DROPPED, Took
from holdfast.rooms.jobs.celery.working import JobDidNotSucceed, mirrored


@pytest.mark.parametrize(
    ("took", "raised", "said"),
    [
        (Took(DROPPED), Ignore, ""),
        (
            Took("failed", "validation", "글이 없습니다"),
            JobDidNotSucceed,
            "failed (validation: 글이 없습니다)",
        ),
        (Took("failed"), JobDidNotSucceed, "failed"),
        (Took("cancelled", "cancelled"), JobDidNotSucceed, "cancelled (cancelled)"),
        (Took("retrying", "network", "reset"), Retry, "retrying (network: reset)"),
        (Took("available"), Retry, "available"),
    ],
)
def test_states_are_mirrored(took, raised, said):
    with pytest.raises(raised) as caught:
        mirrored(took)
    assert said in str(caught.value)


def test_success_is_success():
    assert mirrored(Took("succeeded")) == "succeeded"
