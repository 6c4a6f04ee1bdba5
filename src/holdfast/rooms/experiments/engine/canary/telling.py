"""What follows a decision: the report is kept, the log says it, and then it counts as told.

A process that dies in between leaves it untold, and whoever takes the next turn tells it: a report is written
over itself, so counts go last; a line may stand in the log twice, and nothing is decided again.
"""

import logging

from holdfast.kernel.codec import encode_json
from holdfast.rooms.experiments.engine.canary.figures import Figures
from holdfast.rooms.experiments.engine.canary.reporting import Reporting
from holdfast.rooms.experiments.engine.canary.state import read_verdict
from holdfast.rooms.experiments.rules.canary.verdicts import ROLLS_BACK
from holdfast.rooms.experiments.rules.releases import ENDED
from holdfast.rooms.experiments.store.release_rows import Standing
from holdfast.rooms.experiments.store.releases import ReleaseStore

logger = logging.getLogger("holdfast.experiments")
_LEVELS = {"rolled_back": logging.ERROR, "held": logging.ERROR}


class Telling:
    """Tells what was decided, as often as it takes."""

    def __init__(self, store: ReleaseStore, reporting: Reporting, figures: Figures) -> None:
        self._store = store
        self._reporting = reporting
        self._figures = figures

    async def tell(self, standing: Standing) -> None:
        """The last decision of this release."""
        if standing.status in ENDED:
            page = await self._reporting.made(standing)
            await self._store.report(standing.name, standing.run, encode_json(page).decode())
        logger.log(
            _LEVELS.get(standing.status, logging.INFO),
            "release %s is %s at stage %d of %d%s",
            standing.name,
            standing.status.replace("_", " "),
            standing.stage + 1,
            len(standing.definition.stages),
            f": {standing.reason}" if standing.reason else "",
        )
        first = await self._store.told(standing.name, standing.generation)
        if first and standing.status == "rolled_back":
            verdict = read_verdict(standing)
            judged = verdict is not None and verdict.kind in ROLLS_BACK
            self._figures.rolled_back(verdict.why if judged and verdict is not None else "operator")
        # What comes late belongs to the stage before; of an ended release nothing is counted any more.
        judged_from = standing.period - (standing.status not in ENDED)
        await self._store.forget_counts(standing.name, judged_from)
