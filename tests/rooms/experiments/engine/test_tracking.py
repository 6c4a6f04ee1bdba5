"""Product events bear the id that exposures bear, of the caller's choice or the current request's."""

import unicodedata

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import Ctx, Sources
from holdfast.kernel.event import Event
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoEventLog
from holdfast.rooms.experiments.engine.tracking import Tracking
from tests.rooms.experiments.world import inside

NAME = "김철수"


@pytest.fixture
def told():
    return []


@pytest.fixture
def tracking(told):
    log = NoEventLog()
    log.tap(told.append)
    return Tracking(log, ManualClock())


def request(user):
    event = Event(user_id=user, request_id="r", trace_id="t", span_id="s")
    return Ctx(event, Sources(ManualClock(), IdSource()))


@pytest.mark.parametrize(
    ("given", "written"),
    [(42, "42"), (0, "0"), (" 42 ", "42"), (unicodedata.normalize("NFD", NAME), NAME), (4.2, ""), (True, "")],
)
@pytest.mark.parametrize("caller", [None, "somebody-else"])
def test_an_id_is_written_as_exposures_write_it_and_what_is_none_is_nobody_s(
    tracking, told, given, written, caller
):
    if caller is None:
        tracking.track("bought", given)
    else:
        with inside(request(caller)):
            tracking.track("bought", given)
    assert [event.user_id for event in told] == [written]


def test_within_a_request_it_is_its_users_unless_another_is_named(tracking, told):
    with inside(request(NAME)):
        tracking.track("bought", facts={"value": 3})
        tracking.track("bought", "other")
    assert [event.user_id for event in told] == [NAME, "other"]
    assert {(event.request_id, event.trace_id, event.span_id) for event in told} == {("r", "t", "s")}
    assert told[0].facts == {"value": 3}
