"""The wire format: what goes in comes out; what is not ours is poison, never an exception of another kind."""

from random import Random

import pytest

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.cache.rules.entry import Entry
from holdfast.rooms.cache.store import wire
from holdfast.rooms.cache.store.keys import Keys
from holdfast.rooms.cache.store.wire import (
    Life,
    Poisoned,
    Unreadable,
    decode_entry,
    decode_message,
    encode_entry,
    encode_message,
)

LIFE = Life(1_750_000_000_000_000, 1000.0)
HARD_KEYS = [
    "",
    " ",
    "a b",
    "nul\0here",
    "농장:가락",
    "}",
    "{",
    "a}b",
    "{}",
    "#",
    "가" * 10_000,
    "\ud800",
    "k" * 200,
]


def entry(key="k", body: bytes | None = b'{"a":1}', **rest) -> Entry:
    settings = {"born": LIFE.shared_us, "fresh_until": 1060.0, "stale_until": 1120.0, "kind": "farm", **rest}
    return Entry(key=key, value=None, body=body, **settings)


def through(given: Entry, life: Life = LIFE, compress_above: int | None = 1000) -> Entry:
    return decode_entry(encode_entry(given, LIFE, compress_above), given.key, life, 1 << 20)


@pytest.mark.parametrize("key", HARD_KEYS)
def test_any_key_and_tag_comes_back(key):
    found = through(entry(key, tags=(key, "t")))
    assert (found.key, found.tags, found.body, found.kind) == (key, (key, "t"), b'{"a":1}', "farm")


@pytest.mark.parametrize("is_bytes", [False, True])
@pytest.mark.parametrize("body", [None, b"", b"\x00\xff", b"x" * 5_000, Random(1).randbytes(5_000)])
def test_bodies_come_back_as_they_are(body, is_bytes):
    found = through(entry(body=body, is_bytes=is_bytes, is_negative=body is None, load_s=0.25))
    assert (found.body, found.is_bytes, found.is_negative, found.load_s) == (
        body,
        is_bytes,
        body is None,
        0.25,
    )


def test_times_are_told_by_the_reader_s_own_clock():
    found = through(entry(), Life(LIFE.shared_us + 10_000_000, 5.0))
    assert found.fresh_until == pytest.approx(55.0)
    assert found.stale_until == pytest.approx(115.0)
    assert found.born == LIFE.shared_us


def test_a_large_body_shrinks_by_either_packer(monkeypatch):
    given = entry(body=b"abc" * 10_000)
    assert len(encode_entry(given, LIFE, 1000)) < 2_000
    assert len(encode_entry(given, LIFE, None)) > 30_000
    monkeypatch.setattr(wire, "_has_zstd", False)
    blob = encode_entry(given, LIFE, 1000)
    assert len(blob) < 2_000
    assert decode_entry(blob, "k", LIFE, 1 << 20).body == given.body


def test_a_value_packed_by_what_this_process_lacks_is_unreadable_and_not_poison(monkeypatch):
    blob = encode_entry(entry(body=b"abc" * 10_000), LIFE, 1000)
    monkeypatch.setattr(wire, "_has_zstd", False)
    with pytest.raises(Unreadable):
        decode_entry(blob, "k", LIFE, 1 << 20)


def test_any_single_damage_is_poison():
    rng, blob = Random(3), encode_entry(entry(tags=("a", "b"), body=b"abc" * 1000), LIFE, 1000)
    for at in range(len(blob)):
        changed = bytearray(blob)
        changed[at] ^= 1 << rng.randrange(8)
        with pytest.raises(Poisoned):
            decode_entry(bytes(changed), "k", LIFE, 1 << 20)
    for length in range(len(blob)):
        with pytest.raises(Poisoned):
            decode_entry(blob[:length], "k", LIFE, 1 << 20)


def test_any_noise_is_poison():
    rng = Random(4)
    for _ in range(2_000):
        noise = rng.randbytes(rng.randrange(200))
        for blob in (noise, bytes([1]) + noise):
            with pytest.raises(Poisoned):
                decode_entry(blob, "k", LIFE, 1 << 20)


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x02" + b"x" * 100, 7, ["a"], Exception("WRONGTYPE")])
def test_other_schemas_and_types_are_poison(blob):
    with pytest.raises(Poisoned):
        decode_entry(blob, "k", LIFE, 1 << 20)


def test_another_key_s_value_is_poison():
    with pytest.raises(Poisoned, match="another key"):
        decode_entry(encode_entry(entry("one"), LIFE, None), "two", LIFE, 1 << 20)


def test_a_bomb_is_poison():
    blob = encode_entry(entry(body=bytes(5 << 20)), LIFE, 1000)
    assert len(blob) < 10_000
    with pytest.raises(Poisoned):
        decode_entry(blob, "k", LIFE, 1 << 20)


def test_bytes_of_the_first_schema_are_read_for_ever():
    given = entry("농장", b"[1]", tags=("t",), load_s=0.5)
    assert encode_entry(given, LIFE, None).hex() == FIRST
    assert decode_entry(bytes.fromhex(FIRST), "농장", LIFE, 1 << 20).body == b"[1]"


FIRST = (
    "01000006379da05b60000006379da3eee7000006379da7826e003fe00000000000000000000300000012bbeb0f8b"
    "93c406eb868dec9ea5a46661726d91c401745b315d"
)


@pytest.mark.parametrize("name", HARD_KEYS)
def test_messages_come_back(name):
    payload = b"M" + b"0001750000000000" + encode_message("node", "tag", name)
    assert decode_message(payload) == ("M", 1_750_000_000_000, "node", "tag", name)


@pytest.mark.parametrize("payload", [b"", b"M", b"X0001750000000000\x93", b"M00017500000000x0", b"\xff" * 40])
def test_a_strange_message_is_a_value_error(payload):
    with pytest.raises(ValueError, match=r"^.+$"):
        decode_message(payload)


def slot_tag(key: bytes) -> bytes:
    """What a cluster hashes (cluster specification, "hash tags")."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else key


@pytest.mark.parametrize("key", HARD_KEYS)
def test_what_a_script_touches_has_one_slot(key):
    trio = Keys("holdfast").trio(key)
    assert len({slot_tag(name) for name in trio}) == 1
    assert len(set(trio)) == 3
    assert trio[0] == Keys("holdfast").value(key)
    assert max(map(len, trio)) < 300


def test_different_keys_have_different_names():
    names = Keys("holdfast")
    keys = [*HARD_KEYS, "#" + names.value("}").decode()[-41:-1], "=", "=a", "a"]
    assert len({names.value(key) for key in keys}) == len(set(keys))


def test_a_namespace_with_a_brace_is_refused():
    with pytest.raises(Misconfigured, match="brace"):
        Keys("team{1}")
