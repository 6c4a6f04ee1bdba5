"""What a caller already has is not sent again, whatever stands between it and the app."""

import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edge.conditional import (
    Keep,
    become_not_modified,
    entity_tag,
    entity_tags,
    has_it,
    say_how_to_keep,
)
from holdfast.edge.passage import Passage
from holdfast.kernel.context import current_ctx
from tests.edge.door import App, Door, answers

LONG = b'{"farm": "\xec\x82\xac\xea\xb3\xbc"}' * 100
NOON, LATER = b"Sun, 06 Nov 1994 12:00:00 GMT", b"Sun, 06 Nov 1994 13:00:00 GMT"


def scope(*headers: tuple[bytes, bytes], method: str = "GET") -> dict[str, Any]:
    return {"method": method, "headers": [(b"host", b"x"), *headers]}


def keeping(app: App, keep: Keep) -> App:
    """The app, after a handler that says how its answer may be kept."""

    async def told(scope: Any, receive: Any, send: Any) -> None:
        ctx = current_ctx()
        assert isinstance(ctx, Passage)
        ctx.keep, ctx.headers = keep, ctx.headers or []
        await app(scope, receive, send)

    return told


def chunks(*parts: bytes, length: bool = True, headers: Any = ()) -> App:
    """An app that announces the length of a body which it sends in parts."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"application/json"), *headers]
        if length:
            head.append((b"content-length", b"%d" % sum(map(len, parts))))
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (b'"a"', [(False, b'"a"')]),
        (b'W/"a", "b"', [(True, b'"a"'), (False, b'"b"')]),
        (b'"a,b" , W/"c"', [(False, b'"a,b"'), (True, b'"c"')]),
        (b'""', [(False, b'""')]),
        ('"사과"'.encode(), [(False, '"사과"'.encode())]),
        (b"a, b", []),
        (b'"unclosed', []),
    ],
)
def test_entity_tags_are_read_whatever_they_hold(listed, found):
    assert entity_tags(listed) == found


@pytest.mark.parametrize(
    ("asked", "answered", "has"),
    [
        ([(b"if-none-match", b'"a"')], [(b"etag", b'"a"')], True),
        ([(b"if-none-match", b'W/"a"')], [(b"etag", b'"a"')], True),
        ([(b"if-none-match", b'"a"')], [(b"etag", b'W/"a"')], True),
        ([(b"if-none-match", b'"x", W/"y","a"')], [(b"etag", b'"a"')], True),
        ([(b"if-none-match", b'"x"'), (b"if-none-match", b'"a"')], [(b"etag", b'"a"')], True),
        ([(b"if-none-match", b"*")], [(b"etag", b'"a"')], True),
        ([(b"if-none-match", b'"A"')], [(b"etag", b'"a"')], False),
        ([(b"if-none-match", b"a")], [(b"etag", b'"a"')], False),
        ([(b"if-none-match", b'"a"')], [(b"etag", b"a")], False),
        ([], [(b"etag", b'"a"')], False),
        ([(b"if-modified-since", NOON)], [(b"last-modified", NOON)], True),
        ([(b"if-modified-since", LATER)], [(b"last-modified", NOON)], True),
        ([(b"if-modified-since", NOON)], [(b"last-modified", LATER)], False),
        ([(b"if-modified-since", b"Sunday, 06-Nov-94 12:00:00 GMT")], [(b"last-modified", NOON)], True),
        ([(b"if-modified-since", b"Sun Nov  6 12:00:00 1994")], [(b"last-modified", NOON)], True),
        ([(b"if-modified-since", b"yesterday")], [(b"last-modified", NOON)], False),
        ([(b"if-modified-since", NOON)], [(b"last-modified", b"\xff")], False),
        # RFC 9110 13.2.2: If-None-Match alone decides where it is given.
        (
            [(b"if-none-match", b'"x"'), (b"if-modified-since", LATER)],
            [(b"etag", b'"a"'), (b"last-modified", NOON)],
            False,
        ),
    ],
)
def test_the_preconditions_of_rfc_9110(asked, answered, has):
    assert has_it(scope(*asked), answered) is has
    assert has_it(scope(*asked, method="HEAD"), answered) is has
    assert has_it(scope(*asked, method="POST"), answered) is False


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_bodies_share_a_tag_when_they_are_the_same(one, other):
    assert (entity_tag(one) == entity_tag(other)) is (one == other)
    assert entity_tags(entity_tag(one)) == [(False, entity_tag(one))]


@pytest.mark.parametrize(
    ("tag", "asked", "encoded", "told"),
    [
        (b'"a"', b'"a"', False, b'"a"'),
        (b'"a"', b'W/"a"', False, b'W/"a"'),
        (b'"a"', b'"a"', True, b'W/"a"'),
        (b'"a"', b'W/"a", "a"', False, b'"a"'),
        (b'W/"a"', b'"a"', False, b'W/"a"'),
        (b'"a"', b"*", False, b'W/"a"'),
    ],
)
def test_a_304_names_its_tag_so_that_every_cache_may_use_it(tag, asked, encoded, told):
    message = {"status": 200, "headers": [(b"etag", tag), (b"content-length", b"3"), (b"vary", b"x")]}
    become_not_modified(message, scope((b"if-none-match", asked)), encoded=encoded)
    assert message == {"status": 304, "headers": [(b"vary", b"x"), (b"etag", told)]}


async def test_what_the_caller_has_is_answered_without_a_body():
    headers = [
        (b"etag", b'"v1"'),
        (b"last-modified", NOON),
        (b"cache-control", b"max-age=60"),
        (b"x-own", b"kept"),
        (b"set-cookie", b"a=b"),
        (b"content-language", b"ko"),
    ]
    door = Door(answers(LONG, headers=headers))
    full = await door.get()
    again = await door.get(headers=[("If-None-Match", '"v1"')])
    assert (full.status, full.body) == (200, LONG)
    assert (again.status, again.body) == (304, b"")
    for name in ("cache-control", "x-own", "set-cookie", "x-request-id", "vary"):
        assert name in again.headers, name
    for name in ("content-length", "content-type", "content-language", "last-modified", "content-encoding"):
        assert name not in again.headers, name
    assert again.headers["etag"] == '"v1"'
    record = door.log.records[-1]
    assert (record.status, record.response_bytes) == (304, 0)
    assert (await door.get(headers=[("If-None-Match", '"v2"')])).status == 200


@pytest.mark.parametrize("status", [201, 206, 404, 500])
async def test_only_a_200_becomes_a_304(status):
    door = Door(answers(b"{}", status=status, headers=[(b"etag", b'"v1"')]))
    assert (await door.get(headers=[("If-None-Match", '"v1"')])).status == status


async def test_a_compressed_answer_has_a_weak_tag_that_is_known_again():
    door = Door(answers(LONG, headers=[(b"etag", b'"v1"')]))
    packed = await door.get(headers=[("Accept-Encoding", "gzip")])
    assert packed.headers["etag"] == 'W/"v1"'
    assert gzip.decompress(packed.body) == LONG
    again = await door.get(headers=[("Accept-Encoding", "gzip"), ("If-None-Match", packed.headers["etag"])])
    assert (again.status, again.headers["etag"], again.body) == (304, 'W/"v1"', b"")
    assert "accept-encoding" in again.headers["vary"].lower()
    assert "content-encoding" not in again.headers


@pytest.mark.parametrize("accept", ["gzip", "identity"])
@pytest.mark.parametrize("length", [True, False])
async def test_a_body_in_parts_is_held_back_too(accept, length):
    door = Door(chunks(LONG, LONG, length=length, headers=[(b"etag", b'"v1"')]))
    asked = [("Accept-Encoding", accept), ("If-None-Match", 'W/"v1"')]
    again = await door.get(headers=asked)
    assert (again.status, again.body, len(again.messages)) == (304, b"", 2)


async def test_a_body_is_tagged_when_its_handler_asks_for_it():
    door = Door(keeping(answers(LONG), Keep()))
    first = await door.get()
    assert first.headers["etag"].encode() == entity_tag(LONG)
    assert first.body == LONG
    again = await door.get(headers=[("If-None-Match", first.headers["etag"])])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    packed = await door.get(headers=[("Accept-Encoding", "gzip")])
    assert packed.headers["etag"] == "W/" + first.headers["etag"]
    assert gzip.decompress(packed.body) == LONG
    assert packed.headers["content-length"] == str(len(packed.body))
    both = [("Accept-Encoding", "gzip"), ("If-None-Match", packed.headers["etag"])]
    assert (await door.get(headers=both)).status == 304


async def test_a_short_and_a_very_long_body_are_tagged_alike():
    for body in (b"{}", b"", LONG * 1000):
        door = Door(keeping(answers(body), Keep()))
        found = await door.get()
        assert (found.headers["etag"].encode(), found.body) == (entity_tag(body), body)


@pytest.mark.parametrize(
    "app",
    [
        chunks(LONG, LONG),
        chunks(LONG, LONG, length=False),
        answers(LONG, status=404),
        answers(LONG, headers=[(b"content-encoding", b"br")]),
    ],
    ids=["parts", "stream", "failure", "encoded"],
)
async def test_what_cannot_be_tagged_goes_out_as_it_is(app):
    door = Door(keeping(app, Keep()))
    found = await door.get(headers=[("If-None-Match", "*")])
    assert "etag" not in found.headers
    assert found.body in (LONG, LONG + LONG)


async def test_a_handlers_own_tag_is_compared_before_the_body_is_there():
    door = Door(keeping(answers(LONG), Keep(headers=((b"etag", b'"v7"'),))))
    assert (await door.get()).headers["etag"] == '"v7"'
    assert (await door.get(headers=[("If-None-Match", '"v7"')])).status == 304
    head = await door.call("HEAD", headers=[("If-None-Match", '"v7"')])
    assert (head.status, head.body) == (304, b"")


async def test_a_failure_after_the_start_is_still_a_failure():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"application/json"), (b"content-length", b"9"), (b"etag", b'"v1"')]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        raise RuntimeError("no body after all")

    found = await Door(app).get(headers=[("If-None-Match", '"v1"')])
    assert found.status == 500


async def test_a_file_in_the_place_of_a_body_is_not_sent_either():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"image/png"), (b"content-length", b"9"), (b"etag", b'"v1"')]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.pathsend", "path": "/x.png"})

    found = await Door(app).get(headers=[("If-None-Match", '"v1"')])
    assert [message["type"] for message in found.messages] == ["http.response.start", "http.response.body"]
    assert found.status == 304


TOLD = Keep(
    headers=(
        (b"cache-control", b"public, max-age=60"),
        (b"cdn-cache-control", b"max-age=600"),
        (b"vary", b"A"),
    ),
    private=((b"cache-control", b"private, max-age=60"), (b"vary", b"A")),
    tagged=False,
)


@pytest.mark.parametrize(
    ("status", "own", "told"),
    [
        (200, [], {b"public, max-age=60", b"max-age=600"}),
        (500, [], set()),
        (404, [], set()),
        (200, [(b"set-cookie", b"a=b")], {b"private, max-age=60"}),
        (200, [(b"cache-control", b"no-store")], {b"no-store"}),
    ],
)
def test_how_to_keep_is_said_of_what_succeeded_and_of_nobody_elses_cookie(status, own, told):
    message = {"status": status, "headers": list(own)}
    say_how_to_keep(TOLD, message)
    assert {value for name, value in message["headers"] if name.endswith(b"cache-control")} == told


async def test_a_failing_handler_leaves_nothing_for_caches():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    found = await Door(keeping(app, TOLD)).get()
    assert (found.status, found.headers["cache-control"]) == (500, "no-store")
