"""Takes in what users thought of answers: stored once an answer, then told as an event of its user."""

from holdfast.kernel.clock import Clock
from holdfast.kernel.context import note
from holdfast.ports.telling import Telling
from holdfast.rooms.conversations.rules.problems import UnknownMessage
from holdfast.rooms.conversations.rules.ratings import Rating, check_rating, check_repeat
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.turns import message_id
from holdfast.rooms.conversations.store.ratings import Ratings
from holdfast.rooms.conversations.store.store import Kept

SATISFACTION = "satisfaction"
"""The action of the event: its `value` is the score."""


class Rater:
    """Scores of answers, of conversations that have been opened for their owner."""

    def __init__(self, ratings: Ratings, config: Config, clock: Clock, telling: Telling) -> None:
        self._ratings = ratings
        self._scale = config.feedback_scale
        self._clock = clock
        self._telling = telling

    async def rate(self, kept: Kept, caller: str, seq: int, score: int, text: str) -> tuple[Rating, bool]:
        """The score of answer `seq`, and whether it was there before.

        Raises BadScore (422), UnknownMessage (404) unless it is an answer that has ended, AlreadyRated (409).
        """
        check_rating(self._scale, score, text)
        rating = Rating(score, text, int(self._clock.wall() * 1000))
        added = await self._ratings.add(kept.id, seq, rating)
        if not added:
            found = await self._ratings.get(kept.id, seq)
            if found is None:
                raise UnknownMessage(
                    f"no answer {message_id(seq)} that has ended in this conversation",
                    hint="score an answer once it is there: its id is the message_id it came with",
                )
            check_repeat(found, score)
            rating = found
        note(conversation={"id": kept.id, "seq": seq, "score": rating.score})
        if added:
            self._telling.tell(
                SATISFACTION,
                kept.owner or caller,
                conversation_id=kept.id,
                message_id=message_id(seq),
                value=rating.score,
            )
        return rating, not added
