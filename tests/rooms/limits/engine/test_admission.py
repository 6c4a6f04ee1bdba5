"""At the door: routes, callers, tiers, hours, load, headers, and places that come back."""

import asyncio
import inspect
import json
from types import SimpleNamespace

import pytest

from holdfast.edge.identity import Identity
from holdfast.kernel.errors import Problem
from holdfast.rooms.limits.engine.shedder import Place
from tests.rooms.limits.rooms import Harness

RECOMMEND = "/api/v2/recommend/personalized"


def test_an_ordinary_request_is_let_in_without_a_coroutine_and_told_its_state():
    house = Harness()
    request = house.request(user="김하늘")
    assert house.admission.admit(request.scope, request) is None
    assert request.headers == (
        (b"ratelimit-policy", b'"api_call";q=100;w=60'),
        (b"ratelimit", b'"api_call";r=119;t=1'),
    )
    assert request.admitted is None
    assert request.event.facts is None


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "sliding_counter"])
def test_every_algorithm_keeps_the_limit_at_the_door(algorithm):
    house = Harness(f"[limits]\nalgorithm = '{algorithm}'")
    assert house.admitted(150, user="a") == 120
    assert house.admitted(150, user="b") == 120
    house.clock.advance(180)
    assert house.admitted(150, user="a") == 120


def test_a_refusal_is_a_429_with_headers_and_a_fact_on_the_record():
    house = Harness()
    assert house.admitted(120, user="a") == 120
    request = house.request(user="a")
    problem = house.admission.admit(request.scope, request)
    assert isinstance(problem, Problem)
    assert (problem.status, problem.members["policy"]) == (429, "api_call")
    assert dict(problem.headers())[b"retry-after"] == b"1"
    assert dict(request.headers) == {
        b"ratelimit-policy": b'"api_call";q=100;w=60',
        b"ratelimit": b'"api_call";r=0;t=72',
    }
    assert request.event.facts == {"limit": "api_call", "limit_refused": "local"}
    house.clock.advance(0.6)
    assert house.send(user="a") is None


def test_a_refused_request_is_not_counted():
    house = Harness()
    house.admitted(1000, user="a")
    house.clock.advance(72)
    assert house.admitted(150, user="a") == 120


def test_what_is_nearly_used_up_stands_on_the_record():
    house = Harness()
    facts = []
    for _ in range(120):
        request = house.request(user="a")
        house.admission.admit(request.scope, request)
        facts.append(request.event.facts)
    assert facts[:107] == [None] * 107
    assert facts[-1] == {"limit": "api_call", "limit_remaining": 0}


@pytest.mark.parametrize(
    ("tier", "admitted"), [("", 120), ("FREE", 120), ("premium", 240), ("ADMIN", 1200), ("gold", 120)]
)
def test_the_tier_multiplies(tier, admitted):
    assert Harness().admitted(1300, user="a", tier=tier) == admitted


def test_tiers_somebody_invents_do_not_fill_the_memory():
    house = Harness()
    for number in range(1000):
        house.send(user="a", tier=f"gold-{number}")
    assert max(len(line.terms) for line in house.admission.book.lines) <= 65


def test_the_hour_is_felt_within_half_a_minute_of_its_turn_and_of_a_step_of_the_clock():
    house = Harness()
    assert house.admitted(200, user="before") == 120
    house.clock.advance(1.75 * 3600 - 1)
    assert house.admitted(200, user="just before nine") == 120
    house.clock.advance(1)
    assert house.admitted(200, user="at nine") == 96
    house.clock.step_wall(14 * 3600)
    house.clock.advance(30)
    assert house.admitted(200, user="eleven at night") == 180
    house.clock.step_wall(-14 * 3600)
    house.clock.advance(30)
    assert house.admitted(200, user="nine again") == 96


def test_a_zone_moves_the_bands():
    house = Harness("[limits]\ntimezone = 'Asia/Seoul'")  # 07:15 UTC is 16:15 there
    assert house.admitted(200, user="a") == 96


def test_a_step_of_the_wall_clock_touches_no_count():
    house = Harness("[limits]\nhours = []")
    assert house.admitted(120, user="a") == 120
    house.clock.step_wall(-86_400)
    assert house.admitted(5, user="a") == 0
    house.clock.step_wall(10 * 86_400)
    assert house.admitted(5, user="a") == 0


def test_two_limits_hold_a_recommendation_and_the_tighter_one_is_told():
    house = Harness()
    request = house.request(RECOMMEND, "POST", user="a")
    assert house.admission.admit(request.scope, request) is None
    assert dict(request.headers) == {
        b"ratelimit-policy": b'"recommendation_request";q=15;w=300, "api_call";q=100;w=60',
        b"ratelimit": b'"recommendation_request";r=17;t=20',
    }
    assert house.admitted(50, RECOMMEND, "POST", user="a") == 17
    assert house.admitted(150, user="a") == 120 - 18  # refusals took nothing from the other limit
    assert house.admitted(30, "/api/v2/recommend/feedback", "POST", user="b") == 30


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/admin/limits", "/console"])
def test_what_must_always_answer_is_never_limited(path):
    house = Harness()
    assert house.admitted(500, path, user="a") == 500
    assert house.send(path, user="a") is None
    assert len(house.admission.ledger) == 0


def test_an_anonymous_caller_is_counted_by_address():
    house = Harness()
    assert house.admitted(200, ip="192.0.2.1") == 120
    assert house.admitted(200, ip="192.0.2.2") == 120
    assert house.admitted(200, ip="2001:db8:1:2::1") == 120
    assert house.admitted(200, ip="2001:db8:1:2:aaaa::9") == 0  # the same /64
    assert house.admitted(200, ip="2001:db8:1:3::1") == 120
    assert house.admitted(200, ip="") == 120


def test_routes_name_actions_costs_and_who_is_counted():
    house = Harness("""
        [[limits.routes]]
        path = "/login"
        method = "POST"
        action = "login_attempt"
        [[limits.routes]]
        path = "/ai/*"
        action = "ai_generation"
        cost = 3
        by = ["tenant", "user+route"]
        [limits]
        everywhere = ""
    """)
    assert house.admitted(20, "/login", "POST", user="a") == 5
    assert house.admitted(20, "/login", "POST", user="b") == 0  # by address, whoever it says it is
    assert house.admitted(20, "/login", "GET", user="a") == 20
    acme = Identity(user_id="a", tenant="acme", source="jwt")
    request = house.request("/ai/x", user="a", identity=acme)
    assert house.admission.admit(request.scope, request) is None
    assert b'"ai_generation-user-route";q=5;w=600' in dict(request.headers)[b"ratelimit-policy"]
    assert house.admitted(5, "/ai/x", user="a", identity=acme) == 1
    assert house.admitted(5, "/ai/y", user="c", identity=acme) == 0  # the tenant's is used up
    assert house.admitted(5, "/ai/y", user="c", identity=Identity(user_id="c", source="jwt")) == 2


def test_only_a_key_that_was_found_good_is_a_name_of_its_own():
    house = Harness("[limits.actions.api_call]\nby = 'key'\nlimit = '5/minute'")
    good = Identity(user_id="robot", source="api_key")
    first, second = {b"x-api-key": [b"one"]}, {b"authorization": [b"Bearer two"]}
    assert house.admitted(9, user="robot", identity=good, credentials=first) == 5
    assert house.admitted(9, user="robot", identity=good, credentials=second) == 5
    unknown = Identity()
    keys = [{b"x-api-key": [b"%d" % number]} for number in range(20)]
    assert sum(house.send(identity=unknown, credentials=each) is None for each in keys) == 5


def test_paths_without_end_take_bounded_memory_and_stay_limited():
    house = Harness()
    let_in = sum(house.send(f"/things/{number}", user="a") is None for number in range(10_000))
    assert let_in == 120
    assert len(house.admission.plans.known) <= 4096
    house.send("/" + "x" * 5000, user="b")
    assert max(map(len, house.admission.plans.known)) <= 256


def test_each_of_several_processes_admits_its_share_and_tells_the_whole():
    house = Harness(nodes=4)
    request = house.request(user="a")
    house.admission.admit(request.scope, request)
    assert dict(request.headers)[b"ratelimit-policy"] == b'"api_call";q=100;w=60'
    assert 1 + house.admitted(200, user="a") == 30
    house.clock.advance(60)
    assert house.admitted(200, user="a") == 25


def test_a_handshake_is_limited_and_holds_no_place():
    house = Harness("[limits.shedding]\nenabled = true")
    assert house.admitted(200, kind="websocket", user="a") == 120
    request = house.request(kind="websocket", user="b")
    assert house.admission.admit(request.scope, request) is None
    assert request.admitted is None


def test_switched_off_it_lets_everything_in_and_says_nothing():
    house = Harness("[limits]\nenabled = false")
    request = house.request(RECOMMEND, "POST", user="a")
    assert house.admission.admit(request.scope, request) is None
    assert request.headers is None
    assert house.admitted(500, RECOMMEND, "POST", user="a") == 500


# -- with a shedder before the limits ------------------------------------------------------------


class Full(Problem):
    """No place."""

    status = 503


class Door:
    """A shedder that does as it is told, and writes down what it was asked."""

    def __init__(self, *answers):
        self.load = 0.0
        self.answers = list(answers)
        self.entered, self.left, self.forgotten = [], [], []

    def enter(self, work, priority, deadline=None):
        self.entered.append((work, priority))
        return self.answers.pop(0) if self.answers else Place(None, 0.0)

    def lane(self, work):
        return SimpleNamespace(pulse=SimpleNamespace(is_calm=False))

    def leave(self, place, failed=False, sample=True):
        self.left.append((failed, sample))

    def forget(self, place):
        self.forgotten.append(place)


def with_door(text="", *answers):
    house = Harness(text)
    house.admission.shedder = door = Door(*answers)
    return house, door


def test_work_and_priority_come_from_action_and_tier():
    house, door = with_door()
    house.send(user="a")
    house.send(RECOMMEND, "POST", user="a")
    house.send(RECOMMEND, "POST", user="a", tier="ADMIN")
    house.send("/health")
    assert door.entered == [("api_call", 1), ("recommendation_request", 2), ("recommendation_request", 1)]


@pytest.mark.parametrize("path", ["/api/v1/things", RECOMMEND])
def test_a_place_is_kept_for_the_work_and_given_back_once(path):
    house, door = with_door()
    for _ in range(2):  # met for the first time, and known
        request = house.request(path, "POST", user="a")
        assert house.admission.admit(request.scope, request) is None
        assert request.admitted is not None
        request.event.status = 200
        house.admission.release(request)
        house.admission.release(request)
    assert door.left == [(False, True)] * 2
    assert door.forgotten == []


def test_the_end_of_a_request_says_whether_its_time_means_anything():
    house, door = with_door()
    for status, ended, stream in [
        (500, "", False),
        (200, "", True),
        (200, "client_disconnect", False),
        (0, "", False),
    ]:
        request = house.request(user="a")
        house.admission.admit(request.scope, request)
        request.event.status, request.event.ended, request.event.stream = status, ended, stream
        house.admission.release(request)
    assert door.left == [(True, True), (False, False)]
    assert len(door.forgotten) == 2


@pytest.mark.parametrize("path", ["/api/v1/things", RECOMMEND])
def test_who_is_refused_by_a_limit_gives_the_place_back_at_once(path):
    house, door = with_door()
    refused = None
    while refused is None:
        request = house.request(path, "POST", user="a")
        refused = house.admission.admit(request.scope, request)
    assert refused.status == 429
    assert request.admitted is None
    assert len(door.forgotten) == 1


@pytest.mark.parametrize("path", ["/api/v1/things", RECOMMEND])
def test_who_finds_no_place_is_not_charged(path):
    house, _ = with_door("", None, *[Full()] * 200)
    house.admission.shedder.answers[0] = Place(None, 0.0)
    house.send(path, "POST", user="a")
    assert house.admitted(200, path, "POST", user="a") == 0
    assert house.send(path, "POST", user="a") is None  # 200 refusals cost nothing


@pytest.mark.parametrize("path", ["/api/v1/things", RECOMMEND])
async def test_who_waits_at_the_door_is_charged_after_it(path):
    house, door = with_door()
    loop = asyncio.get_running_loop()
    for answer in (Place(None, 0.0), loop.create_future(), loop.create_future()):
        door.answers.append(answer)
    house.send(path, "POST", user="a")
    waiting = door.answers[0]
    request = house.request(path, "POST", user="a")
    found = house.admission.admit(request.scope, request)
    assert inspect.isawaitable(found)
    waiting.set_result(Place(None, 0.0))
    assert await found is None
    assert request.admitted is not None
    assert b"ratelimit" in dict(request.headers)
    refusing = door.answers[0]
    found = house.send(path, "POST", user="a")
    refusing.set_result(Full())
    assert isinstance(await found, Full)


def test_load_lowers_the_limits_of_what_matters_less_first():
    house, door = with_door("[[limits.routes]]\npath = '/ai'\naction = 'ai_generation'\n")
    house.admission.book.turn(0, 0)
    door.load = 0.86
    assert house.admitted(50, "/ai", user="a") == 3  # 5 and 2 at 0.55, rounded down
    assert house.admitted(500, user="b") == 120
    door.load = 3.0
    assert house.admitted(500, user="c") == 60
    request = house.request(user="c")
    problem = house.admission.admit(request.scope, request)
    assert json.loads(problem.body(""))["type"].endswith("temporary-reduced-capacity")
    door.load = 0.2
    assert house.admitted(500, user="d") == 120


def test_load_is_left_out_where_settings_say_so():
    house, door = with_door("[limits]\nby_load = false")
    door.load = 3.0
    assert house.admitted(500, user="c") == 120
