"""The room over HTTP: parse, check, ask the engine, answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.kernel.route import Call, Route
from holdfast.rooms.recommend.rules.answers import Explained, Listed, Personalized
from holdfast.rooms.recommend.rules.events import check_id
from holdfast.rooms.recommend.rules.problems import NotYours, NoUser
from holdfast.rooms.recommend.rules.settings import Config

if TYPE_CHECKING:
    from holdfast.rooms.recommend.engine.engine import Engine

BASE = "/api/v2/recommend"
MAX_EXCLUDED = 1_000
MAX_INTERESTS = 50

Unit = Annotated[float, Meta(ge=0, le=1)]


class PersonalizedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to recommend for, and how."""

    user_id: str = ""
    """Left out: the caller, as the edge identified it."""
    limit: int | None = None
    interests: list[str] | None = None
    segment: str | None = None
    remember: bool = False
    """Whether interests and segment are kept for the user's next answers."""
    exclude: list[str] = []
    diversity: Unit | None = None
    """How much likeness to an earlier pick costs; the setting when left out."""
    weights: dict[str, float] | None = None
    """The blend of sources instead of the one by evidence; made to sum to 1."""
    explain: bool = False


class FeedbackEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing the user did with one item."""

    item_id: str
    type: str = "view"
    """view, click, cart, like, purchase, rating, dislike or hide."""
    value: float | None = None
    at: float | str | None = None
    id: str = ""


class FeedbackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event in place, or many under `events`."""

    user_id: str = ""
    item_id: str = ""
    type: str = "view"
    value: float | None = None
    at: float | str | None = None
    id: str = ""
    events: list[FeedbackEvent] | None = None
    idempotency_key: str = ""
    """Or the header Idempotency-Key, which wins."""


class FeedbackAnswer(msgspec.Struct, frozen=True):
    """What became of the events; a retry with the same key gets the same answer."""

    user_id: str
    accepted: int
    duplicates: int
    event_ids: list[str]


class ListQuery(msgspec.Struct, frozen=True):
    """How many items, and for whom: what that user has seen is left out."""

    limit: int | None = None
    user_id: str = ""


class SimilarQuery(msgspec.Struct, frozen=True):
    """How many items, for whom, and whether each says why."""

    limit: int | None = None
    user_id: str = ""
    explain: bool = False


class RecommendHttp:
    """The handlers. `engine` is asked for at each call: it is there once the room has started."""

    def __init__(self, engine: "Callable[[], Engine | None]", config: Config) -> None:
        self._engine = engine
        self._config = config

    async def personalized(self, call: Call) -> Personalized:
        from holdfast.rooms.recommend.engine.recommender import Ask
        from holdfast.rooms.recommend.engine.writing import save_persona

        engine, body = self._ready(), call.body or PersonalizedBody()
        user_id = self._user(call, body.user_id)
        limit = self._limit(body.limit)
        interests = None if body.interests is None else _interests(body.interests)
        if len(body.exclude) > MAX_EXCLUDED:
            raise BadInput(f"{len(body.exclude)} items to exclude", hint=f"send at most {MAX_EXCLUDED}")
        if body.remember and (interests is not None or body.segment is not None):
            await save_persona(engine.sql, user_id, interests, body.segment)
            await engine.repeating.drop_user(user_id)
        return await engine.recommender.personalized(
            Ask(
                user_id=user_id,
                limit=limit,
                interests=interests,
                segment=body.segment,
                exclude=tuple(body.exclude),
                diversity=body.diversity,
                weights=body.weights,
                explain=body.explain,
            )
        )

    async def similar(self, call: Call) -> Listed:
        engine, query = self._ready(), call.query or SimilarQuery()
        user_id = self._user(call, query.user_id, needed=False)
        return await engine.recommender.similar(
            call.params["item_id"], self._limit(query.limit), user_id, reasons=query.explain
        )

    async def trending(self, call: Call) -> Listed:
        engine, query = self._ready(), call.query or ListQuery()
        user_id = self._user(call, query.user_id, needed=False)
        return await engine.recommender.trending(self._limit(query.limit), user_id)

    async def feedback(self, call: Call) -> FeedbackAnswer:
        from holdfast.rooms.recommend.engine.feedback import Action

        engine, body = self._ready(), call.body
        user_id = self._user(call, body.user_id)
        key = call.header("idempotency-key") or body.idempotency_key
        if len(key) > 256:
            raise BadInput("the idempotency key is longer than 256 characters", hint="send a UUID")
        given: Sequence[Any] = [body] if body.events is None else body.events
        if body.events is not None and body.item_id:
            raise BadInput("both item_id and events were given", hint="send one event or a list, not both")
        actions = [Action(one.item_id, one.type, one.value, one.at, one.id) for one in given]
        receipt = await engine.feedback.take(user_id, actions, key)
        return FeedbackAnswer(receipt.user_id, receipt.accepted, receipt.duplicates, receipt.event_ids)

    async def explain(self, call: Call) -> Explained:
        params: Mapping[str, str] = call.params
        user_id = self._user(call, params["user_id"])
        return await self._ready().recommender.explain(user_id, params["item_id"])

    def _ready(self) -> "Engine":
        engine = self._engine()
        if engine is None:
            raise Unavailable("recommendations have not started yet", retry_after_s=1.0)
        return engine

    def _user(self, call: Call, named: str, *, needed: bool = True) -> str:
        """Who is asked for: whom the request names, else the caller."""
        user_id = named or call.user_id
        if not user_id:
            if needed:
                raise NoUser("no user_id was given", hint='send "user_id", or identify the caller')
            return ""
        if self._config.own_user_only and user_id != call.user_id:
            raise NotYours("this caller may only ask for itself", hint="leave user_id out, or send your own")
        return check_id("user_id", user_id)

    def _limit(self, asked: int | None) -> int:
        if asked is None:
            return self._config.limit
        if not 1 <= asked <= self._config.max_limit:
            raise BadInput(f"a limit of {asked}", hint=f"ask for 1 to {self._config.max_limit} items")
        return asked


def _interests(given: Sequence[str]) -> tuple[str, ...]:
    if len(given) > MAX_INTERESTS:
        raise BadInput(f"{len(given)} interests", hint=f"send at most {MAX_INTERESTS}")
    return tuple(text.strip()[:200] for text in given if text.strip())


def routes(http: RecommendHttp) -> list[Route]:
    """The room's addresses."""
    return [
        Route(
            "POST",
            f"{BASE}/personalized",
            http.personalized,
            "Recommend for one user, explained, diverse, with a recorded exploration slot",
            body=PersonalizedBody,
            answer=Personalized,
        ),
        Route(
            "GET",
            f"{BASE}/similar/{{item_id}}",
            http.similar,
            "Items like this one, without what the user has seen",
            query=SimilarQuery,
            answer=Listed,
        ),
        Route(
            "GET",
            f"{BASE}/trending",
            http.trending,
            "What is taken most lately, without what the user has seen",
            query=ListQuery,
            answer=Listed,
        ),
        Route(
            "POST",
            f"{BASE}/feedback",
            http.feedback,
            "Take in what a user did; the next answer knows it",
            body=FeedbackBody,
            answer=FeedbackAnswer,
        ),
        Route(
            "GET",
            f"{BASE}/explain/{{user_id}}/{{item_id}}",
            http.explain,
            "Why an item has its score for a user, in parts that add up",
            answer=Explained,
        ),
    ]
