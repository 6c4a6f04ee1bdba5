"""Which stored model serves: the current one, else the previous, else popularity, and what went wrong."""

import asyncio
import logging
from math import inf
from pathlib import Path
from typing import NamedTuple

from holdfast.kernel.errors import Problem
from holdfast.ports.storage import Sql
from holdfast.rooms.recommend import store
from holdfast.rooms.recommend.engine.training import serving_rows
from holdfast.rooms.recommend.models import artefact
from holdfast.rooms.recommend.models.collaborative import Collaborative

logger = logging.getLogger("holdfast.recommend")


class Held(NamedTuple):
    """A model, and what to know of it."""

    model: Collaborative | None = None
    version: int = 0
    artefact: str = ""
    half_life_events: float = inf
    """How histories are weighted before it scores them."""


class Shelf:
    """Loads artefacts by what the database says is current."""

    def __init__(self, sql: Sql, folder: Path) -> None:
        self._sql = sql
        self._folder = folder
        self.trouble = ""
        """Why the current model does not serve; empty when it does or when there is none yet."""
        self.held = Held()
        """What `pick` gave last."""

    async def pick(self) -> Held:
        """The best model that can be read; one without a model when there is none."""
        rows = serving_rows(await self._sql.fetch(store.SERVING))
        troubles: list[str] = []
        for version, identity, standing in rows:
            try:
                model, meta = await asyncio.to_thread(artefact.load, self._folder, identity)
            except Problem as problem:
                troubles.append(f"the {standing} model cannot be read: {problem.detail}")
                logger.error("recommend: %s", troubles[-1])
                continue
            self.trouble = "; ".join(troubles)
            self.held = Held(model, version, identity, float(meta.get("half_life_events") or inf))
            return self.held
        self.trouble = "; ".join([*troubles, "popularity answers"]) if troubles else ""
        self.held = Held()
        return self.held
