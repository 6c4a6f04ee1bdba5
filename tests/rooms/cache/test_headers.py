"""What answers say to browsers and CDNs, as tables; and said by a handler through a real front door."""

import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edge.identity import Config as IdentityConfig
from holdfast.edge.identity import Identities
from holdfast.kernel.context import current_ctx
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.cache.engine.responses import Responses
from holdfast.rooms.cache.rules import kinds
from holdfast.rooms.cache.rules.headers import (
    MAX_TAG_BYTES,
    Lifetimes,
    Rule,
    TooManyTags,
    cache_control,
    cdn_cache_control,
    escape_tag,
    filled,
    is_shared,
    response_headers,
    tag_headers,
    vary_header,
)
from tests.rooms.cache.door import Door, answers

KINDS = kinds.merge({})


@pytest.mark.parametrize(
    ("life", "shared", "told"),
    [
        (Lifetimes(60), True, "public, max-age=60"),
        (Lifetimes(60.9), False, "private, max-age=60"),
        (Lifetimes(0), False, "private, no-cache"),
        (Lifetimes(0.5), True, "public, no-cache"),
        (Lifetimes(1e12), True, "public, max-age=2147483647"),
        (
            Lifetimes(60, stale_s=30, stale_if_error_s=300),
            True,
            "public, max-age=60, stale-while-revalidate=30, stale-if-error=300",
        ),
    ],
)
def test_lifetimes_are_said_in_whole_seconds_rounded_down(life, shared, told):
    assert cache_control(life, shared=shared) == told


def test_a_cdn_is_told_apart_only_where_it_may_keep_longer():
    assert cdn_cache_control(Lifetimes(60)) is None
    assert cdn_cache_control(Lifetimes(60, 60)) is None
    assert cdn_cache_control(Lifetimes(60, 3600)) == "public, max-age=3600"
    assert cdn_cache_control(Lifetimes(60, 0)) == "public, no-cache"


@pytest.mark.parametrize(
    ("public", "identified", "shared"),
    [
        (False, False, False),
        (False, True, False),
        (True, False, True),
        (True, True, False),
        ("everyone", False, True),
        ("everyone", True, True),
    ],
)
def test_what_an_identified_caller_got_is_public_only_when_asked(public, identified, shared):
    assert is_shared(public, identified=identified) is shared


def test_a_private_answer_says_nothing_to_a_cdn():
    said = dict(response_headers(Lifetimes(60, 600), shared=False, tags=["a"], vary=["X-Unit"], age_s=12.7))
    assert said == {b"cache-control": b"private, max-age=60", b"vary": b"X-Unit", b"age": b"12"}


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=300))
def test_every_tag_has_one_escaped_form_that_no_header_breaks(tag):
    escaped = escape_tag(tag)
    assert re.fullmatch(r"[!-~]+", escaped)
    assert not re.search(r'[ ,"A-Z]', escaped)
    assert len(escaped) <= MAX_TAG_BYTES
    if not escaped.startswith("~"):
        assert unquote(escaped, errors="surrogatepass") == tag
    else:
        assert escaped != escape_tag(tag + "x")


def test_tags_stand_once_in_both_headers():
    assert tag_headers(["farm:사과 1", "a,b", "farm:사과 1", ""]) == (
        (b"surrogate-key", b"farm:%ec%82%ac%ea%b3%bc%201 a%2cb"),
        (b"cache-tag", b"farm:%ec%82%ac%ea%b3%bc%201,a%2cb"),
    )
    assert tag_headers([]) == ()
    with pytest.raises(TooManyTags):
        tag_headers([f"item:{number}" for number in range(5_000)])


def test_vary_takes_header_names_only():
    assert vary_header(["Accept-Language", "accept-language", "X-Unit"]) == (
        (b"vary", b"accept-language, X-Unit"),
    )
    assert vary_header(["*"]) == ((b"vary", b"*"),)
    with pytest.raises(Misconfigured):
        vary_header(["X-Evil\r\nSet-Cookie: a"])


def test_tags_are_filled_from_what_is_known():
    assert filled(["farm:{farm_id}", "{none}", "x"], {"farm_id": "제주"}) == ("farm:제주", "{none}", "x")


def door(responses: Responses, handler: Any, *, body: bytes = b"{}", status: int = 200) -> Door:
    answered = answers(body, status=status)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        handler()
        await answered(scope, receive, send)

    identities = Identities(IdentityConfig(), wall=lambda: 0.0, development=True, admin_token="")
    return Door(responses.around(app), identities=identities)


USER = [("X-User-ID", "김농부")]


async def test_a_handler_says_it_for_its_own_answer():
    responses = Responses((), KINDS)

    def handler() -> None:
        responses.respond(
            kind="dashboard", public=True, tags=["farms", "farm:사과"], vary=["Accept-Language"]
        )

    at = door(responses, handler)
    found = await at.get()
    assert found.headers["cache-control"] == (
        "public, max-age=60, stale-while-revalidate=30, stale-if-error=300"
    )
    assert found.headers["surrogate-key"] == "farms farm:%ec%82%ac%ea%b3%bc"
    assert found.headers["cache-tag"] == "farms,farm:%ec%82%ac%ea%b3%bc"
    assert {value for name, value in found.messages[0]["headers"] if name == b"vary"} == {
        b"Accept-Encoding",
        b"Accept-Language",
    }
    assert (await at.get(headers=[("If-None-Match", found.headers["etag"])])).status == 304
    known = await at.get(headers=USER)
    assert known.headers["cache-control"].startswith("private, ")
    assert "surrogate-key" not in known.headers


async def test_credentials_that_nobody_understood_make_an_answer_private_too():
    responses = Responses((), KINDS)
    at = door(responses, lambda: responses.respond(public=True))
    without = Door(at.edge.app)
    found = await without.get(headers=[("Authorization", "Basic Zm9vOmJhcg==")])
    assert found.headers["cache-control"].startswith("private, ")


@pytest.mark.parametrize("where", ["door", "used on the way"])
@pytest.mark.parametrize("tag", [True, "7"])
async def test_what_depends_on_a_variant_is_for_no_shared_cache_and_asked_for_anew(where, tag):
    """A CDN would give one arm's answer to everybody; a browser would keep it beyond a rollback."""
    responses = Responses((), KINDS)

    def handler() -> None:
        responses.respond(public="everyone", tags=["farms"], etag=tag)
        ctx = current_ctx()
        assert ctx is not None
        if where == "door":
            ctx.variants = {"rank": "control"}
        else:
            ctx.event.note(exposed="rank=control 1 u")

    found = await door(responses, handler).get()
    assert found.headers["cache-control"] == "private, no-cache"
    assert "surrogate-key" not in found.headers
    assert "cdn-cache-control" not in found.headers
    # The hash of the body tells arms apart; a version of the handler's own may not.
    assert ("etag" in found.headers) is (tag is True)


async def test_a_failure_says_nothing_and_no_store_says_it_all():
    responses = Responses((), KINDS)
    failed = await door(responses, lambda: responses.respond(public=True), status=500).get()
    assert "cache-control" not in failed.headers
    forbidden = await door(responses, lambda: responses.respond(store=False)).get()
    assert forbidden.headers["cache-control"] == "no-store"
    assert "etag" not in forbidden.headers


async def test_a_version_of_ones_own_is_an_etag():
    responses = Responses((), KINDS)
    at = door(responses, lambda: responses.respond(etag='판 "7"'))
    found = await at.get()
    assert found.headers["etag"] == '"%ed%8c%90%20%227%22"'
    assert (await at.get(headers=[("If-None-Match", found.headers["etag"])])).status == 304


async def test_too_many_tags_keep_an_answer_out_of_shared_caches(caplog):
    responses = Responses((), KINDS)
    tags = [f"item:{number}" for number in range(5_000)]
    found = await door(responses, lambda: responses.respond(public=True, tags=tags)).get()
    assert found.headers["cache-control"].startswith("private")
    assert "stays private" in caplog.text


async def test_the_table_covers_addresses_with_names_in_them():
    rules = [
        Rule("/farms", kind="farm_list", public=True, tags=("farms",)),
        Rule("/farms/{farm_id}", ttl_s=10, cdn_ttl_s=100, public=True, tags=("farm:{farm_id}",), etag=False),
    ]
    at = door(Responses(rules, KINDS), lambda: None)
    farms = await at.get("/farms")
    assert farms.headers["surrogate-key"] == "farms"
    assert farms.headers["cache-control"].startswith("public, max-age=300")
    one = await at.get("/farms/a%20b")
    assert one.headers["surrogate-key"] == "farm:a%20b"
    assert one.headers["cdn-cache-control"].startswith("public, max-age=100")
    assert "etag" not in one.headers
    for other in (await at.get("/farms/1/x"), await at.get("/"), await at.call("POST", "/farms")):
        assert "cache-control" not in other.headers


def test_a_table_of_an_unknown_kind_stops_the_start():
    with pytest.raises(Misconfigured):
        Responses([Rule("/x", kind="nonsense")], KINDS)
    with pytest.raises(Misconfigured):
        Responses([Rule("/x", vary=("a b",))], KINDS)


def test_without_a_table_the_app_stays_as_it_is():
    app = answers()
    assert Responses((), KINDS).around(app) is app


async def test_the_decorator_fills_tags_from_arguments_of_both_kinds_of_handlers():
    responses = Responses((), KINDS)

    @responses.responds(public=True, tags=["farm:{farm_id}"])
    async def awaited(farm_id: str) -> str:
        return farm_id

    @responses.responds(public=True, tags=["field:{field}"])
    def called(farm_id: str, field: int = 3) -> str:
        return farm_id

    assert await awaited(farm_id="사과") == "사과"  # outside a request it only passes the call on
    assert called.__name__ == "called"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await awaited("사과") if scope["path"] == "/a" else called("x")
        await answers()(scope, receive, send)

    at = Door(app)
    assert (await at.get("/a")).headers["surrogate-key"] == "farm:%ec%82%ac%ea%b3%bc"
    assert (await at.get("/b")).headers["surrogate-key"] == "field:3"
