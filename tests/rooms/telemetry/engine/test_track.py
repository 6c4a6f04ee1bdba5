from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.rooms.telemetry.engine.track import Tracker, install, track, uninstall
from tests.rooms.telemetry.engine.sink import Kept


def test_an_action_belongs_to_the_request_and_its_user():
    kept = Kept()
    tracker = Tracker(kept, ManualClock())
    token = enter(detached(Event(trace_id="t", span_id="s", request_id="r", user_id="김")))
    try:
        tracker.track("bought", item="A-17")
        tracker.track("bought for", user_id="이", item="A-17")
    finally:
        leave(token)
    first, second = kept.records
    assert (first.action, first.trace_id, first.span_id, first.request_id) == ("bought", "t", "s", "r")
    assert (first.user_id, second.user_id) == ("김", "이")
    assert first.facts == {"item": "A-17"}
    assert first.timestamp == "2025-06-15T15:06:40.000Z"


def test_outside_a_request_an_action_stands_alone():
    kept = Kept()
    Tracker(kept, ManualClock()).track("opened", user_id="u")
    assert (kept.records[0].user_id, kept.records[0].request_id, kept.records[0].facts) == ("u", "", None)


def test_the_public_function_goes_where_it_was_told_and_nowhere_after():
    first, second = Kept(), Kept()
    one, other = Tracker(first, ManualClock()), Tracker(second, ManualClock())
    track("too early")
    install(one)
    track("one")
    install(other)
    uninstall(one)
    track("other")
    uninstall(other)
    track("too late")
    assert [record.action for record in first.records] == ["one"]
    assert [record.action for record in second.records] == ["other"]
