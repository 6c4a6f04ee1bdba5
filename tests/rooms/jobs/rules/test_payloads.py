import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.jobs.rules.payloads import (
    LONGEST_KEY,
    LONGEST_PAYLOAD,
    UniqueKey,
    check_upgrades,
    decode,
    digest_of,
    encode,
    given_key,
    repeat_key,
    signature_of,
    spread,
)
from holdfast.rooms.jobs.rules.problems import BadPayload, PayloadTooLarge, PayloadTooNew


class Doc(msgspec.Struct):
    doc_id: str
    pages: int = 0


async def build(run, doc_id: int, force: bool = False): ...


async def index(run, doc: Doc): ...


def plain(title: str = "x"): ...


def test_a_payload_is_what_the_parameters_say():
    made = signature_of(build)
    assert (made.takes_run, made.is_spread) == (True, True)
    payload = decode("build", made.payload, b'{"doc_id": 7}', 1, 1, {})
    assert spread(payload) == {"doc_id": 7, "force": False}
    with pytest.raises(BadPayload):
        encode("build", made.payload, {"doc_id": 7, "forced": True})


def test_one_struct_is_the_payload_itself():
    assert signature_of(index).payload is Doc
    assert not signature_of(index).is_spread
    assert not signature_of(plain).takes_run


def test_a_parameter_without_type_or_name_is_an_error_where_it_is_declared():
    with pytest.raises(Misconfigured, match="doc_id has no type"):
        signature_of(lambda run, doc_id: None)

    async def many(run, *ids: int): ...

    with pytest.raises(Misconfigured, match="takes"):
        signature_of(many)


@pytest.mark.parametrize(
    "payload",
    [
        {"doc_id": 7},
        {},
        [],
        {"doc_id": "a", "pages": math.nan},
        {"doc_id": "a", "pages": object()},
        {"doc_id": "\ud800"},
    ],
)
def test_what_is_not_of_the_type_or_no_json_is_refused_when_it_is_enqueued(payload):
    with pytest.raises(BadPayload) as raised:
        encode("index", Doc, payload)
    assert raised.value.hint


def test_a_struct_that_was_made_of_anything_is_checked_as_well():
    with pytest.raises(BadPayload, match="doc_id"):
        encode("index", Doc, Doc(doc_id=7))  # type: ignore[arg-type]  # that is the point
    assert encode("index", Doc, Doc("문서")) == '{"doc_id":"문서","pages":0}'.encode()


def test_bytes_are_counted_and_a_reference_is_asked_for():
    fits = "가" * ((LONGEST_PAYLOAD - 2) // 3)
    assert encode("note", str, fits)
    with pytest.raises(PayloadTooLarge) as raised:
        encode("note", str, fits + "가")
    assert raised.value.status == 413
    assert "pass its id" in raised.value.hint


def test_an_older_payload_is_brought_up_and_a_newer_one_waits_for_an_upgrade():
    upgrades = {
        1: lambda old: {"doc": old["id"]},
        2: lambda old: {"doc_id": str(old["doc"])},
    }
    check_upgrades("index", 3, upgrades)
    assert decode("index", Doc, b'{"id": 7}', 1, 3, upgrades) == Doc("7")
    assert decode("index", Doc, '{"doc": 7}', 2, 3, upgrades) == Doc("7")
    with pytest.raises(PayloadTooNew) as raised:
        decode("index", Doc, b"{}", 4, 3, upgrades)
    assert raised.value.retryable
    with pytest.raises(BadPayload, match="version 2"):
        decode("index", Doc, b"{}", 2, 4, {3: lambda old: old})
    with pytest.raises(BadPayload):
        decode("index", Doc, b"\xff", 1, 1, {})


@pytest.mark.parametrize(("version", "given_"), [(0, []), (3, [1]), (3, [1, 3]), (1, [0]), (2, [2])])
def test_upgrades_with_a_gap_are_an_error_where_they_are_declared(version, given_):
    with pytest.raises(Misconfigured):
        check_upgrades("index", version, dict.fromkeys(given_, dict))


def test_a_unique_key_is_made_of_fields():
    assert UniqueKey("index", "doc:{doc_id}", Doc).of(b'{"doc_id": "a", "pages": 1}') == "/index/doc:a"
    assert UniqueKey("index", "all", Doc).of(b'{"doc_id": "a"}') == "/index/all"
    assert UniqueKey("index", "", Doc).of(b"{}") == ""
    assert UniqueKey("index", "all", Doc).of(b"{}", "farm/a") == "farm%2Fa/index/all"


def test_parts_of_an_idempotency_key_never_meet_in_one():
    kept = repeat_key("a", "b/c", "index", "k/1%")
    assert kept != repeat_key("a/b", "c", "index", "k/1%")
    assert given_key(kept) == "k/1%"


@pytest.mark.parametrize("template", ["doc:{document}", "doc:{}", "doc:{doc_id", "doc:{doc_id!r}", "}"])
def test_a_field_that_the_payload_has_not_is_an_error_where_it_is_declared(template):
    with pytest.raises(Misconfigured, match="unique"):
        UniqueKey("index", template, Doc)


def test_of_a_payload_of_any_shape_the_field_is_missed_when_it_is_enqueued():
    key = UniqueKey("index", "{doc_id}", dict)
    assert key.of(b'{"doc_id": null}') == "/index/null"
    with pytest.raises(BadPayload, match="doc_id"):
        key.of(b"{}")
    with pytest.raises(BadPayload, match="no fields"):
        key.of(b"[]")


class Pair(msgspec.Struct):
    a: str
    b: str


@given(st.text(max_size=90), st.text(max_size=90), st.text(max_size=90), st.text(max_size=90))
def test_two_payloads_never_meet_in_one_key(a, b, c, d):
    key = UniqueKey("pair", "{a}:{b}", Pair)
    one, other = (key.of(msgspec.json.encode({"a": x, "b": y})) for x, y in ((a, b), (c, d)))
    assert (one == other) == ((a, b) == (c, d))
    assert len(one.encode()) <= LONGEST_KEY


def test_a_digest_tells_payloads_and_jobs_apart():
    assert len({digest_of("a", b"x"), digest_of("a", b"y"), digest_of("b", b"x")}) == 3
    assert digest_of("a", b"x") == digest_of("a", b"x")
