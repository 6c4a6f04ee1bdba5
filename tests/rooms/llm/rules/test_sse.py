"""Any split of the bytes gives the same events, and nothing makes the reader raise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.llm.rules import sse
from holdfast.rooms.llm.rules.sse import Event, EventReader


def events(data, *cuts):
    reader, found, start = EventReader(), [], 0
    for cut in (*sorted(cuts), len(data)):
        found += reader.feed(data[start:cut])
        start = max(start, cut)
    return found + reader.end()


def said(data):
    return [event.data.decode() for event in events(data)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("data: 1\n\ndata: 2\n\n", ["1", "2"]),
        ("data:1\r\n\r\ndata:2\r\r", ["1", "2"]),
        ("data: a\ndata: b\n\n", ["a\nb"]),
        ("data:  two blanks\n\n", [" two blanks"]),
        ("data\n\n", [""]),
        ("data:\n\n", [""]),
        (": a comment\n:\n\ndata: 1\n\n", ["1"]),
        ("id: 7\nretry: 10\nunknown: x\nno colon\ndata: 1\n\n", ["1"]),
        ("\ufeffdata: 1\n\n", ["1"]),
        ("data: 1\n\n\ufeffdata: 2\n\n", ["1"]),
        ("data: {}\n\ndata: [DONE]", ["{}", "[DONE]"]),
        ("\n\n\n\n", []),
        ("", []),
        ("event: ping\n\ndata: 1\n\n", ["1"]),
        ("data: 안녕 \U0001f600\n\n", ["안녕 \U0001f600"]),
        ('data: {"a": "b"}\r\ndata: {"c"\r\n\n', ['{"a": "b"}\n{"c"']),
    ],
)
def test_streams_and_their_events(stream, expected):
    assert said(stream.encode()) == expected


def test_the_name_of_an_event_is_its_own():
    found = events(b"event: error\ndata: 1\n\ndata: 2\n\nevent:x\ndata: 3\n\n")
    assert found == [Event("error", b"1"), Event("message", b"2"), Event("x", b"3")]


LINES = st.sampled_from(
    [
        "",
        ":",
        ": 주석",
        "data: 1",
        "data:",
        "data",
        "data: 안녕 \U0001f600",
        "event: error",
        "id: 3",
        "dat",
        "data : x",
    ]
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@given(
    st.lists(st.tuples(LINES, ENDS), max_size=20), st.booleans(), st.lists(st.integers(0, 200), max_size=12)
)
def test_any_split_gives_the_same_events(lines, marked, cuts):
    # A CR followed by an empty line that ends in LF is one end, whatever the split.
    data = ("\ufeff" * marked + "".join(line + end for line, end in lines)).encode()
    whole = events(data)
    assert events(data, *(min(cut, len(data)) for cut in cuts)) == whole
    assert events(data, *range(len(data))) == whole


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
def test_no_bytes_make_it_raise(data, cuts):
    assert events(data, *(min(cut, len(data)) for cut in cuts)) == events(data)


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=8
    )
)
def test_what_was_written_is_read(texts):
    data = "".join(f"data: {text}\n\n" for text in texts).encode()
    assert said(data) == texts


def test_what_is_too_large_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(sse, "MAX_BYTES", 20)
    reader = EventReader()
    assert reader.feed(b"data: " + b"x" * 10) == []
    assert reader.feed(b"x" * 1000) == []
    assert reader.feed(b"x\ndata: 1\n\n") == [Event("message", b"1")]
    assert reader.dropped == 1
    many = reader.feed(b"data: 123456789\n" * 3 + b"\ndata: 2\n\n")
    assert [event.name for event in many] == ["dropped", "message"]
    assert reader.dropped == 2


def test_a_long_line_that_drips_in_is_joined_once():
    reader = EventReader()
    parts = [b"x" * 100] * 10_000
    reader.feed(b"data: ")
    for part in parts:
        assert reader.feed(part) == []
    assert reader.feed(b"\n\n") == [Event("message", b"".join(parts))]
