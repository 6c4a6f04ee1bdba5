"""The room as it is wired, and behind a real edge."""

import asyncio

import pytest

from holdfast.edge.identity import Config as IdentityConfig
from holdfast.edge.identity import Identities
from holdfast.edge.pipeline import Edge
from holdfast.edge.respond import Responder
from holdfast.edge.router import Router
from holdfast.edge.settings import Config as EdgeConfig
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import NoEventLog, NoMeter
from tests.rooms.limits.rooms import Harness


def test_a_zone_nobody_knows_stops_the_start_by_name():
    with pytest.raises(Misconfigured) as caught:
        Harness("[limits]\ntimezone = 'Asia/Soul'")
    assert "limits.timezone" in str(caught.value)
    assert "Asia/Soul" in str(caught.value)


async def test_it_may_be_started_and_stopped_twice():
    room = Harness("[limits.shedding]\nenabled = true").room
    for _ in range(2):
        await room.start()
        await room.start()
        await room.stop()
        await room.stop()


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Service:
    """An app behind an edge that asks this room."""

    def __init__(self, text="", *, trusted=(), app=app):
        self.house = Harness(text)
        clock = self.house.clock
        self.edge = Edge(
            app,
            config=EdgeConfig(),
            router=Router(()),
            responder=Responder(max_body_bytes=1000, admin_token="", open_admin=True),
            log=NoEventLog(),
            meter=NoMeter(),
            clock=clock,
            ids=IdSource(),
            wake=self.wake,
            identities=Identities(IdentityConfig(trusted_proxies=trusted), wall=clock.wall, development=True),
            admission=self.house.admission,
        )

    async def wake(self):
        self.edge.awake = True

    async def get(self, path="/things", *, peer="203.0.113.9", headers=()):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": list(headers), "client": (peer, 1234), "http_version": "1.1", "scheme": "http",
        }  # fmt: skip
        await self.edge(scope, asyncio.Queue().get, send)
        return sent[0]["status"], dict(sent[0]["headers"])

    async def admitted(self, count, **request):
        return sum([(await self.get(**request))[0] == 200 for _ in range(count)])


async def test_answers_carry_the_state_and_a_refusal_says_when_to_return():
    service = Service()
    status, headers = await service.get()
    assert (status, headers[b"ratelimit-policy"]) == (200, b'"api_call";q=100;w=60')
    assert headers[b"ratelimit"] == b'"api_call";r=119;t=1'
    assert await service.admitted(150) == 119
    status, headers = await service.get()
    assert (status, headers[b"content-type"]) == (429, b"application/problem+json")
    assert (headers[b"retry-after"], headers[b"ratelimit"]) == (b"1", b'"api_call";r=0;t=72')


async def test_a_forged_forwarded_address_buys_nothing():
    service = Service()
    let_in = 0
    for number in range(300):
        forged = [(b"x-forwarded-for", b"198.51.100.%d" % (number % 250))]
        let_in += (await service.get(headers=forged))[0] == 200
    assert let_in == 120


async def test_behind_a_trusted_proxy_its_word_counts_and_what_the_client_wrote_does_not():
    service = Service(trusted=("10.0.0.0/8",))
    let_in = 0
    for number in range(300):
        forged = [(b"x-forwarded-for", b"198.51.100.%d, 192.0.2.77" % (number % 250))]
        let_in += (await service.get(peer="10.0.0.1", headers=forged))[0] == 200
    assert let_in == 120
    other = [(b"x-forwarded-for", b"192.0.2.78")]
    assert await service.admitted(130, peer="10.0.0.1", headers=other) == 120


async def test_callers_are_counted_apart():
    service = Service()
    for user in ("김하늘".encode(), b"b"):
        assert await service.admitted(130, headers=[(b"x-user-id", user)]) == 120


async def test_a_limit_taken_inside_a_handler_answers_429():
    taken = []

    async def costly(scope, receive, send):
        taken.append(await service.house.room.limits.take("login_attempt", by="user"))
        await app(scope, receive, send)

    service = Service(app=costly)
    assert await service.admitted(9) == 5
    status, headers = await service.get()
    assert status == 429
    assert headers[b"retry-after"] == b"60"
    assert len(taken) == 5


async def test_with_shedding_on_every_place_comes_back():
    service = Service("[limits.shedding]\nenabled = true")
    assert await service.admitted(150) == 120
    shedder = service.house.room.shedder
    assert shedder._count_inside() == 0
    shedder.stop()
