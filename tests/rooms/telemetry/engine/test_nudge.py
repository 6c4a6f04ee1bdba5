from pathlib import Path

from holdfast.rooms.telemetry.engine.nudge import Nudger
from holdfast.rooms.telemetry.store.writer import SegmentLog
from tests.waiting import until


class Counting(SegmentLog):
    nudges = 0

    def nudge(self) -> None:
        self.nudges += 1


async def test_the_log_is_nudged_until_the_stop(tmp_path: Path):
    log = Counting(tmp_path)
    nudger = Nudger(log)
    nudger.start()
    nudger.start()
    await until(lambda: log.nudges >= 3)
    nudger.stop()
    nudger.stop()
    assert nudger._timer is None
