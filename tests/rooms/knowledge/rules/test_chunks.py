"""Chunks are spans of the text: in order, whole, stripped, and cut where it parts best."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.kernel.text.graphemes import is_boundary
from holdfast.rooms.knowledge.rules.chunks import Chunking, chunks, why_not_cut
from holdfast.rooms.knowledge.rules.parsed import Section, path_of

ODD = '가나다. !?\n\n\t"”’1aB`|-#\u0301\u1112\u1161\u11ab🇰👩\u200d、。'
TEXT = st.text(st.sampled_from(ODD), max_size=500) | st.text(max_size=200)


def cut(text, *, size, overlap=0, longest=200, sections=()):
    how = Chunking(size=size, overlap=overlap, longest=longest)
    return [text[start:end] for start, end, _ in chunks(text, sections, how)]


@settings(max_examples=200)
@given(
    TEXT,
    st.integers(1, 80),
    st.integers(0, 60),
    st.integers(40, 120),
    st.lists(st.integers(0, 500), max_size=6),
)
def test_they_are_ordered_whole_stripped_and_never_too_long(text, size, overlap, longest, offsets):
    sections = tuple(Section(at, f"h{at}", 1 + at % 3) for at in sorted(offsets) if at <= len(text))
    how = Chunking(size=size, overlap=overlap, longest=longest)
    found = chunks(text, sections, how)
    covered = set()
    last = (-1, -1)
    for start, end, path in found:
        assert last[0] < start < end <= len(text)
        assert last[1] < end <= start + longest
        assert text[start:end] == text[start:end].strip()
        for at in (start, end):
            # A mark on white space is one character for a reader; but a chunk may not begin with white space.
            assert is_boundary(text, at) or text[at - 1].isspace() or text[at].isspace()
        assert path == path_of(sections, start)
        covered.update(range(start, end))
        last = start, end
    assert all(char.isspace() for at, char in enumerate(text) if at not in covered)
    assert found == chunks(text, sections, how)
    assert why_not_cut(text, found, how) == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        (" \n\t\n ", []),
        ("Short.", ["Short."]),
        ("One is here. Two is there. Three.", ["One is here. Two is there.", "Three."]),
        ("그는 서울로 떠났다. 나는 부산에 남았다. 끝.", ["그는 서울로 떠났다. 나는 부산에 남았다. 끝."]),
        (
            "First part here.\n\nSecond part is over there.",
            ["First part here.", "Second part is over there."],
        ),
        ("- one two\n- four five six\n- seven", ["- one two\n- four five six", "- seven"]),
        ("a | b c d e f\n1 | 2 g h i j\n3 | 4", ["a | b c d e f\n1 | 2 g h i j", "3 | 4"]),
        ("```\nx = 1. + 2.\ny = 2. + 3.\nz = 3.\n```", ["```\nx = 1. + 2.\ny = 2. + 3.", "z = 3.\n```"]),
    ],
)
def test_where_a_text_is_cut(text, wanted):
    assert cut(text, size=24) == wanted


def test_an_endless_line_is_cut_between_graphemes():
    family = "👩\u200d👩\u200d👧"
    found = cut(family * 40, size=60, longest=64)
    assert "".join(found) == family * 40
    assert all(len(part) <= 64 and len(part) % len(family) == 0 for part in found)


def test_a_text_of_nothing_but_flags_is_cut_between_them():
    found = cut("a" + "🇰🇷" * 100_000, size=60, longest=65)
    assert all(len(part) % 2 == 0 for part in found[1:])


def test_a_section_begins_a_chunk_and_small_ones_are_joined():
    text = "A\n\nLong enough text of the first.\n\nB\n\nb.\n\nC\n\nc."
    sections = tuple(Section(text.index(f"{name}\n"), name) for name in "ABC")
    found = chunks(text, sections, Chunking(size=100, overlap=0, longest=200))
    assert [(text[start:end], path) for start, end, path in found] == [
        ("A\n\nLong enough text of the first.", ("A",)),
        ("B\n\nb.\n\nC\n\nc.", ("B",)),
    ]


def test_the_path_is_the_headings_above():
    text = "Top\n\nSub\n\nSome words are here.\n\nNext\n\nOther words."
    sections = (Section(0, "Top"), Section(5, "Sub", 2), Section(32, "Next", 2))
    found = chunks(text, sections, Chunking(size=30, overlap=0, longest=60))
    assert [path for _, _, path in found] == [("Top",), ("Top", "Next")]


def test_an_overlap_is_whole_sentences_of_the_chunk_before():
    text = "Aaa aaa one. Bbb bbb two. Ccc ccc three. Ddd ddd four. Eee eee five."
    assert cut(text, size=40, overlap=15) == [
        "Aaa aaa one. Bbb bbb two. Ccc ccc three.",
        "Ccc ccc three. Ddd ddd four. Eee eee five.",
    ]
    assert cut(text, size=40) == ["Aaa aaa one. Bbb bbb two. Ccc ccc three.", "Ddd ddd four. Eee eee five."]


def test_the_key_tells_ways_of_cutting_apart():
    assert Chunking().key == Chunking().key
    assert Chunking().key != Chunking(overlap=0).key
