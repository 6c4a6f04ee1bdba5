import msgspec
import pytest

from holdfast.rooms.console.rules import Status


def test_version_and_uptime_are_all_a_status_needs():
    status = msgspec.convert({"version": "1", "uptime_s": 2}, Status)
    assert (status.traffic.requests_total, status.traffic.latency_p95_s) == (0, None)


@pytest.mark.parametrize(
    "wrong", [{"version": 1}, {"uptime_s": "long"}, {"rooms_on": "all"}, {"traffic": {"in_flight": None}}]
)
def test_a_status_of_another_shape_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"version": "1", "uptime_s": 2.0, **wrong}, Status)
