"""The cases of the W3C conformance harness as tables, and what must hold for any input."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.edge.tracecontext import (
    TraceParent,
    format_traceparent,
    head_sampled,
    parse_traceparent,
    parse_tracestate,
    valid_request_id,
)

TRACE = "12345678901234567890123456789012"
SPAN = "1234567890123456"
GOOD = f"00-{TRACE}-{SPAN}-01"

hex_digits = "0123456789abcdef"
trace_ids = st.text(hex_digits, min_size=32, max_size=32).filter(lambda text: text.strip("0"))
span_ids = st.text(hex_digits, min_size=16, max_size=16).filter(lambda text: text.strip("0"))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(GOOD, id="version 00"),
        pytest.param(" " + GOOD, id="space before"),
        pytest.param("\t" + GOOD, id="tab before"),
        pytest.param(GOOD + " ", id="space after"),
        pytest.param(GOOD + "\t", id="tab after"),
        pytest.param(f"\t {GOOD} \t", id="white space around"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01", id="later version of the same length"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", id="later version with more fields"),
        pytest.param(f"01-{TRACE}-{SPAN}-01-", id="later version ending in a dash"),
        pytest.param(f"01-{TRACE}-{SPAN}-01-A.\xff", id="later version with bytes of its own"),
    ],
)
def test_traceparent_is_taken_over(value: str) -> None:
    assert parse_traceparent([value.encode("latin-1")]) == TraceParent(TRACE, SPAN, 1)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(GOOD + ".", id="00 with a character more"),
        pytest.param(GOOD + "-", id="00 with a dash more"),
        pytest.param(GOOD + "-what-the-future-brings", id="00 with a field more"),
        pytest.param(GOOD + "\n", id="line feed after"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01.what-the-future-brings", id="later version parted by a dot"),
        pytest.param(f"cc-{TRACE}-{SPAN}-0", id="later version too short"),
        pytest.param(f"ff-{TRACE}-{SPAN}-01", id="version ff"),
        pytest.param(f"ff-{TRACE}-{SPAN}-01-more", id="version ff with more fields"),
        pytest.param(f".0-{TRACE}-{SPAN}-01", id="version starts with a dot"),
        pytest.param(f"0.-{TRACE}-{SPAN}-01", id="version ends with a dot"),
        pytest.param(f"CC-{TRACE}-{SPAN}-01", id="version in upper case"),
        pytest.param(f"000-{TRACE}-{SPAN}-01", id="version of three digits"),
        pytest.param(f"0000-{TRACE}-{SPAN}-01", id="version of four digits"),
        pytest.param(f"0-{TRACE}-{SPAN}-01", id="version of one digit"),
        pytest.param(f"00-{'0' * 32}-{SPAN}-01", id="trace id zero"),
        pytest.param(f"cc-{'0' * 32}-{SPAN}-01", id="trace id zero in a later version"),
        pytest.param(f"00-.{TRACE[1:]}-{SPAN}-01", id="trace id starts with a dot"),
        pytest.param(f"00-{TRACE[:-1]}.-{SPAN}-01", id="trace id ends with a dot"),
        pytest.param(f"00-{'A' + TRACE[1:]}-{SPAN}-01", id="trace id in upper case"),
        pytest.param(f"00-{TRACE}3-{SPAN}-01", id="trace id too long"),
        pytest.param(f"00-{TRACE[:-1]}-{SPAN}-01", id="trace id too short"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="parent id zero"),
        pytest.param(f"00-{TRACE}-.{SPAN[1:]}-01", id="parent id starts with a dot"),
        pytest.param(f"00-{TRACE}-{SPAN[:-1]}.-01", id="parent id ends with a dot"),
        pytest.param(f"00-{TRACE}-{'F' + SPAN[1:]}-01", id="parent id in upper case"),
        pytest.param(f"00-{TRACE}-{SPAN}7-01", id="parent id too long"),
        pytest.param(f"00-{TRACE}-{SPAN[:-1]}-01", id="parent id too short"),
        pytest.param(f"00-{TRACE}-{SPAN}-.0", id="flags start with a dot"),
        pytest.param(f"00-{TRACE}-{SPAN}-0.", id="flags end with a dot"),
        pytest.param(f"00-{TRACE}-{SPAN}-0A", id="flags in upper case"),
        pytest.param(f"00-{TRACE}-{SPAN}-001", id="flags too long"),
        pytest.param(f"00-{TRACE}-{SPAN}-1", id="flags too short"),
        pytest.param(f"00_{TRACE}_{SPAN}_01", id="other delimiters"),
    ],
)
def test_traceparent_starts_a_new_trace(value: str) -> None:
    assert parse_traceparent([value.encode("latin-1")]) is None


def test_traceparent_missing_or_twice_starts_a_new_trace() -> None:
    assert parse_traceparent([]) is None
    assert parse_traceparent([GOOD.encode(), GOOD.encode()]) is None


@pytest.mark.parametrize(
    ("flags", "kept", "sampled"),
    [("00", 0, False), ("01", 1, True), ("02", 2, False), ("03", 3, True), ("09", 1, True), ("fc", 0, False)],
)
def test_only_the_known_flags_are_kept(flags: str, kept: int, sampled: bool) -> None:
    found = parse_traceparent([f"00-{TRACE}-{SPAN}-{flags}".encode()])
    assert found is not None
    assert (found.flags, found.sampled) == (kept, sampled)


@given(trace_ids, span_ids, st.booleans(), st.booleans())
def test_what_is_formatted_is_read_back(trace_id: str, span_id: str, sampled: bool, random: bool) -> None:
    header = format_traceparent(trace_id, span_id, sampled, random=random)
    assert parse_traceparent([header.encode()]) == TraceParent(trace_id, span_id, sampled + 2 * random)


@given(st.lists(st.binary(max_size=80), max_size=3))
def test_any_bytes_are_either_a_place_in_a_trace_or_nothing(values: list[bytes]) -> None:
    found = parse_traceparent(values)
    assert found is None or (set(found.trace_id) <= set(hex_digits) and found.trace_id.strip("0"))
    parse_tracestate(values)


PLAIN_KEY = string.ascii_lowercase + string.digits + "_-*/"
ANY_VALUE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
TENS = [",".join(f"bar{n:02d}={n:02d}" for n in range(start, start + 10)) for start in (1, 11, 21)]


@pytest.mark.parametrize(
    ("values", "combined"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["foo=1"], "foo=1", id="one member"),
        pytest.param(["foo=1,bar=2"], "foo=1,bar=2", id="two members"),
        pytest.param([""], "", id="empty header"),
        pytest.param(["foo=1", ""], "foo=1", id="empty header after"),
        pytest.param(["", "foo=1"], "foo=1", id="empty header before"),
        pytest.param(["foo=1,, ,\t,bar=2,"], "foo=1,bar=2", id="empty members"),
        pytest.param(
            ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
            "foo=1,bar=2,rojo=1,congo=2,baz=3",
            id="several headers in order",
        ),
        pytest.param([f"{PLAIN_KEY}={ANY_VALUE}"], f"{PLAIN_KEY}={ANY_VALUE}", id="every legal character"),
        pytest.param(
            [f"{PLAIN_KEY}@a-z0-9_-*/={ANY_VALUE}"],
            f"{PLAIN_KEY}@a-z0-9_-*/={ANY_VALUE}",
            id="every legal character with a system",
        ),
        pytest.param(["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3", id="spaces and tabs between"),
        pytest.param(["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3", id="tabs and spaces between"),
        pytest.param(["\t foo=1 \t"], "foo=1", id="white space around"),
        pytest.param(["foo= 1"], "foo= 1", id="a leading space belongs to the value"),
        pytest.param(["0tenant@system=1"], "0tenant@system=1", id="a tenant may start with a digit"),
        pytest.param(["foo=1", "z" * 256 + "=1"], "foo=1," + "z" * 256 + "=1", id="key of 256"),
        pytest.param(
            ["t" * 241 + "@" + "v" * 14 + "=1"], "t" * 241 + "@" + "v" * 14 + "=1", id="tenant 241, system 14"
        ),
        pytest.param(["foo=" + "x" * 256], "foo=" + "x" * 256, id="value of 256"),
        pytest.param([*TENS, "bar31=31,bar32=32"], ",".join([*TENS, "bar31=31,bar32=32"]), id="32 members"),
        pytest.param(
            [*TENS, "bar31=31,,bar32=32,"], ",".join([*TENS, "bar31=31,bar32=32"]), id="32 and empty"
        ),
    ],
)
def test_tracestate_is_combined(values: list[str], combined: str) -> None:
    assert parse_tracestate([value.encode() for value in values]) == combined


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["foo=1,foo=1"], id="key twice"),
        pytest.param(["foo=1,foo=2"], id="key twice with two values"),
        pytest.param(["foo=1", "foo=1"], id="key twice over headers"),
        pytest.param(["foo=1", "foo=2"], id="key twice over headers with two values"),
        pytest.param(["foo =1"], id="space after the key"),
        pytest.param(["FOO=1"], id="upper case"),
        pytest.param(["foo.bar=1"], id="dot in the key"),
        pytest.param(["1foo=1"], id="plain key starts with a digit"),
        pytest.param(["foo@=1,bar=2"], id="no system"),
        pytest.param(["@foo=1,bar=2"], id="no tenant"),
        pytest.param(["foo@@bar=1,bar=2"], id="two at signs"),
        pytest.param(["foo@bar@baz=1,bar=2"], id="two systems"),
        pytest.param(["foo@1bar=1"], id="system starts with a digit"),
        pytest.param([*TENS, "bar31=31,bar32=32,bar33=33"], id="33 members"),
        pytest.param(["foo=1", "z" * 257 + "=1"], id="key of 257"),
        pytest.param(["foo=1", "t" * 242 + "@v=1"], id="tenant of 242"),
        pytest.param(["foo=1", "t@" + "v" * 15 + "=1"], id="system of 15"),
        pytest.param(["foo=" + "x" * 257], id="value of 257"),
        pytest.param(["foo=bar=baz"], id="equals sign in the value"),
        pytest.param(["foo=,bar=3"], id="empty value"),
        pytest.param(["foo"], id="no value"),
        pytest.param(["foo=1;bar=2,baz"], id="semicolons"),
        pytest.param(["foo=b\x01r"], id="control character"),
        pytest.param(["foo=\x7f"], id="delete character"),
    ],
)
def test_tracestate_is_discarded(values: list[str]) -> None:
    assert parse_tracestate([value.encode() for value in values]) == ""


def test_tracestate_beyond_ascii_is_discarded() -> None:
    assert parse_tracestate(["foo=값".encode()]) == ""


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z][a-z0-9_*/-]{0,20}", fullmatch=True),
            st.text(ANY_VALUE, min_size=1, max_size=20).map(lambda text: text.rstrip() + "!"),
        ),
        max_size=32,
        unique_by=lambda pair: pair[0],
    ),
    st.data(),
)
def test_how_members_are_split_over_headers_does_not_matter(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    members = [f"{key}={value}" for key, value in pairs]
    cut = data.draw(st.integers(0, len(members)))
    headers = [" , ".join(members[:cut]).encode(), ",\t".join(members[cut:]).encode()]
    combined = parse_tracestate(headers)
    assert combined == ",".join(members)
    assert parse_tracestate([combined.encode()]) == combined


@pytest.mark.parametrize("raw", [b"a", b"A.b_c-9", b"x" * 128])
def test_a_sound_request_id_is_kept(raw: bytes) -> None:
    assert valid_request_id(raw) == raw.decode()


@pytest.mark.parametrize(
    "raw",
    [b"", b"x" * 129, b"a b", b"a\n", b"a\nb", b"\x1b[31m", b"a/b", b"a:b", "값".encode(), b"\xff", b"a\0"],
)
def test_any_other_request_id_is_refused(raw: bytes) -> None:
    assert valid_request_id(raw) is None


@pytest.mark.parametrize(
    ("tail", "rate", "parent", "sampled"),
    [
        ("0" * 14, 1.0, None, True),
        ("f" * 14, 0.0, None, False),
        ("0" * 14, 0.5, None, False),
        ("7" + "f" * 13, 0.5, None, False),
        ("8" + "0" * 13, 0.5, None, True),
        ("f" * 14, 0.5, None, True),
        ("f" * 14, 0.0, True, True),
        ("f" * 14, 1.0, False, False),
    ],
)
def test_head_sampling(tail: str, rate: float, parent: bool | None, sampled: bool) -> None:
    assert head_sampled("1" * 18 + tail, rate, parent) is sampled


@given(trace_ids, st.floats(0, 1), st.floats(0, 1))
def test_a_lower_rate_keeps_a_subset(trace_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert head_sampled(trace_id, high, None) or not head_sampled(trace_id, low, None)


def test_the_share_kept_is_the_rate() -> None:
    kept = sum(head_sampled(f"{n * 0x9E3779B97F4A7C15 % 2**128:032x}", 0.25, None) for n in range(1, 20_001))
    assert abs(kept / 20_000 - 0.25) < 0.01
