"""Gives an answer again while nothing it was made of has changed, from the cache of all nodes.

Nothing here relies on being told of a change: the key holds the revision of the person, the version of the
catalogue and of the model, as the one SQL read of the request found them, so an answer made of anything
older is never found. Dropping by tag only frees what nobody will ask for again.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from holdfast.ports.cache import Cache, NoCache
from holdfast.rooms.recommend.rules.answers import Personalized
from holdfast.rooms.recommend.rules.settings import Config

if TYPE_CHECKING:
    from holdfast.rooms.recommend.engine.recommender import Ask

KIND = "recommendation"
EVERY_ANSWER = "recommend:catalogue"
"""The tag of all kept answers: imports, trainings and rollbacks drop them."""
SHAPE = 1
"""Of the answers and of the key; raised when either changes, so that two releases never share an answer."""

_encoded = msgspec.msgpack.Encoder(order="deterministic").encode


def user_tag(user_id: str) -> str:
    """The tag of everything kept for one user."""
    return f"recommend:user:{user_id}"


class Repeating:
    """Answers of earlier requests, by everything that they depend on."""

    def __init__(self, cache: Cache, config: Config) -> None:
        self._cache = cache
        self.is_on = config.repeat and not isinstance(cache, NoCache)
        # Nodes with other settings give other answers: during a roll-out each finds only its own.
        self._settings = hashlib.blake2b(_encoded(config), digest_size=8).digest()

    def key(self, ask: "Ask", revision: int, catalogue: int, model: int) -> str:
        """One key for one question to one state of the world."""
        asked = _encoded((SHAPE, self._settings, ask, revision, catalogue, model))
        return "recommend:" + hashlib.blake2b(asked, digest_size=16).hexdigest()

    async def answer(
        self, key: str, user_id: str, make: Callable[[], Awaitable[Personalized]]
    ) -> tuple[Personalized, str]:
        """The kept answer and `hit`, or the one `make` gives, once for all who ask, and `miss`."""
        made: list[str] = []

        async def made_now() -> Personalized:
            answer = await make()
            made.append(answer.answer_id)
            return answer

        answer = await self._cache.get_or_set(
            key, made_now, kind=KIND, tags=(user_tag(user_id), EVERY_ANSWER), returns=Personalized
        )
        return answer, "miss" if answer.answer_id in made else "hit"

    async def keep(self, key: str, user_id: str, answer: Personalized) -> None:
        """Put a new answer in the place of one that may not be shown any more."""
        await self._cache.set(key, answer, kind=KIND, tags=(user_tag(user_id), EVERY_ANSWER))

    async def drop_user(self, user_id: str) -> None:
        """Forget the answers of one user, on every node."""
        await self._cache.invalidate(tags=(user_tag(user_id),))

    async def drop_all(self) -> None:
        """Forget every answer, on every node."""
        await self._cache.invalidate(tags=(EVERY_ANSWER,))
