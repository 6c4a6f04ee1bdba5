"""The routes: what they take, what they refuse, what they answer."""

from collections.abc import Mapping

import msgspec
import pytest

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.errors import BadInput, Problem, Unavailable
from holdfast.kernel.event import Event
from holdfast.kernel.route import Call
from holdfast.rooms.recommend.http import (
    FeedbackBody,
    FeedbackEvent,
    ListQuery,
    PersonalizedBody,
    RecommendHttp,
    SimilarQuery,
    routes,
)
from holdfast.rooms.recommend.rules.problems import NotYours, NoUser, UnknownItem
from holdfast.rooms.recommend.rules.settings import Config
from tests.rooms.recommend.conftest import World


def call(
    body: object = None,
    *,
    user: str = "",
    query: object = None,
    headers: Mapping[bytes, bytes] | None = None,
    **params: str,
) -> Call:
    return Call(Event(user_id=user), params=params, query=query, body=body, headers=headers)


@pytest.fixture
async def http(world: World) -> RecommendHttp:
    await world.items(*(f"i{n}" for n in range(20)))
    return RecommendHttp(lambda: world.engine, Config())


def test_the_routes_are_those_of_the_api() -> None:
    found = {(route.method, route.path) for route in routes(RecommendHttp(lambda: None, Config()))}
    assert found == {
        ("POST", "/api/v2/recommend/personalized"),
        ("GET", "/api/v2/recommend/similar/{item_id}"),
        ("GET", "/api/v2/recommend/trending"),
        ("POST", "/api/v2/recommend/feedback"),
        ("GET", "/api/v2/recommend/explain/{user_id}/{item_id}"),
    }


async def test_the_user_comes_from_the_body_or_is_the_caller(http: RecommendHttp) -> None:
    assert (await http.personalized(call(PersonalizedBody(user_id="a")))).user_id == "a"
    assert (await http.personalized(call(PersonalizedBody(), user="b"))).user_id == "b"
    assert (await http.personalized(call(PersonalizedBody(user_id="a"), user="b"))).user_id == "a"
    with pytest.raises(NoUser) as refused:
        await http.personalized(call(PersonalizedBody()))
    assert refused.value.hint


async def test_a_caller_may_be_held_to_itself(world: World) -> None:
    await world.items("i0")
    http = RecommendHttp(lambda: world.engine, Config(own_user_only=True))
    assert (await http.personalized(call(PersonalizedBody(), user="b"))).user_id == "b"
    with pytest.raises(NotYours) as refused:
        await http.explain(call(user="b", user_id="a", item_id="i0"))
    assert refused.value.status == 403
    with pytest.raises(NotYours):
        await http.trending(call(query=ListQuery(user_id="a")))


@pytest.mark.parametrize("limit", [0, -1, 101, 10**9])
async def test_limits_out_of_range_are_refused_with_the_range(http: RecommendHttp, limit: int) -> None:
    with pytest.raises(BadInput) as refused:
        await http.personalized(call(PersonalizedBody(user_id="a", limit=limit)))
    assert "1 to 100" in refused.value.hint


async def test_feedback_in_place_and_in_a_list(http: RecommendHttp) -> None:
    one = await http.feedback(call(FeedbackBody(user_id="u", item_id="i1", type="like")))
    many = await http.feedback(
        call(FeedbackBody(events=[FeedbackEvent("i2"), FeedbackEvent("i3", "rating", 4.5)]), user="u")
    )
    assert (one.accepted, many.accepted) == (1, 2)
    shown = await http.personalized(call(PersonalizedBody(user_id="u", limit=20)))
    assert not {item.item_id for item in shown.items} & {"i1", "i2", "i3"}
    with pytest.raises(BadInput):
        await http.feedback(call(FeedbackBody(user_id="u", item_id="i1", events=[])))


async def test_the_header_key_wins_and_a_retry_is_one_event(http: RecommendHttp) -> None:
    body = FeedbackBody(user_id="u", item_id="i1", idempotency_key="in the body")
    headers = {b"idempotency-key": b"in the header"}
    first = await http.feedback(call(body, headers=headers))
    assert await http.feedback(call(body, headers=headers)) == first
    assert (await http.feedback(call(body))).event_ids != first.event_ids
    with pytest.raises(BadInput):
        await http.feedback(call(body, headers={b"idempotency-key": b"x" * 257}))


async def test_similar_trending_and_explain(http: RecommendHttp) -> None:
    await http.feedback(call(FeedbackBody(user_id="u", item_id="i1")))
    similar = await http.similar(call(query=SimilarQuery(limit=3, user_id="u", explain=True), item_id="i2"))
    assert len(similar.items) == 3
    assert not {item.item_id for item in similar.items} & {"i1", "i2"}
    assert similar.items[0].parts
    assert "i1" not in {item.item_id for item in (await http.trending(call(user="u"))).items}
    explained = await http.explain(call(user_id="u", item_id="i1"))
    assert explained.why_not == ["seen"]
    with pytest.raises(UnknownItem):
        await http.similar(call(item_id="none"))


async def test_what_was_shown_stands_on_the_record(http: RecommendHttp) -> None:
    event = Event()
    token = enter(detached(event))
    try:
        answer = await http.personalized(call(PersonalizedBody(user_id="u", limit=5)))
    finally:
        leave(token)
    facts = event.facts or {}
    assert facts["recommend_answer"] == answer.answer_id
    assert facts["recommend_shown"] == [item.item_id for item in answer.items]
    explored = {item.item_id: item.propensity for item in answer.items if item.explored}
    assert facts["recommend_explored"] == explored
    assert len(explored) == 1


async def test_interests_are_remembered_when_asked(http: RecommendHttp, world: World) -> None:
    await http.personalized(call(PersonalizedBody(user_id="u", interests=["캠핑"])))
    assert (await world.engine.people.situation("u")).person.interests == ()
    await http.personalized(call(PersonalizedBody(user_id="u", interests=[" 캠핑 ", ""], remember=True)))
    assert (await world.engine.people.situation("u")).person.interests == ("캠핑",)
    with pytest.raises(BadInput):
        await http.personalized(call(PersonalizedBody(user_id="u", interests=["x"] * 51)))


def test_bodies_refuse_what_they_do_not_know() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"user": "u"}', type=PersonalizedBody)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"user_id": "u", "diversity": 2}', type=PersonalizedBody)


async def test_before_the_start_the_room_says_when_to_come_back() -> None:
    http = RecommendHttp(lambda: None, Config())
    with pytest.raises(Unavailable) as refused:
        await http.trending(call())
    assert refused.value.retry_after_s


@pytest.mark.parametrize("bad", ["a\nb", "x" * 300])
async def test_user_ids_that_cannot_be_stored_are_refused(http: RecommendHttp, bad: str) -> None:
    with pytest.raises(Problem) as refused:
        await http.personalized(call(PersonalizedBody(user_id=bad)))
    assert refused.value.status == 422
