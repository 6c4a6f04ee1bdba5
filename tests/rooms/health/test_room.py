import msgspec
import pytest

from holdfast.kernel.clock import SystemClock
from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.room import Check, Finding
from holdfast.kernel.tasks import Supervisor
from holdfast.ports.services import NoMeter
from holdfast.rooms.health.room import Config, HealthRoom


async def test_the_checks_are_asked_for_at_the_start_and_not_before():
    """The room is built before the rooms whose checks it asks."""
    checks = []

    async def probe():
        return Finding()

    room = HealthRoom(
        Config(),
        clock=SystemClock(),
        meter=NoMeter(),
        supervisor=Supervisor(),
        checks=lambda: checks,
        about=dict,
    )
    checks.append(Check("late", probe))
    await room.start()
    assert [state.name for state in room.engine.states()] == ["late"]
    await room.stop()
    assert room.engine.states() == []


@pytest.mark.parametrize("bad", [{"interval_s": 0}, {"jitter": 2}, {"stale_after": 0.5}, {"timeout_s": -1}])
def test_settings_out_of_bounds_are_refused_by_name(bad):
    with pytest.raises(Misconfigured, match=f"health.{next(iter(bad))}"):
        load_settings({"health": Config}, overrides={"health": bad})


def test_every_setting_says_what_it_means():
    settings = load_settings({"health": Config})
    assert all(option.meaning.endswith(".") for option in settings.options)
    assert msgspec.structs.asdict(settings.section("health", Config))["interval_s"] == 5.0
