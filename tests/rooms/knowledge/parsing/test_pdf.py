"""PDFs with and without text, whole and broken."""

import contextlib
import importlib
import io
import sys

import pypdf
import pytest
from fpdf import FPDF

from holdfast.rooms.knowledge.parsing.pdf import read_pdf
from holdfast.rooms.knowledge.rules.parsed import PDF, Limits, Section
from holdfast.rooms.knowledge.rules.parsing_problems import (
    Encrypted,
    ParserMissing,
    TooManyPages,
    TooMuchText,
    Unreadable,
)
from tests.rooms.knowledge.documents import assembled, pdf_of, stream

KOREAN = [
    "서울은 대한민국의 수도이며 한강이 흐르는 도시로서 가장 많은 사람이",
    "사는 곳이다.",
    "둘째 문단 ﬁn.",
]


def locked(raw, user="", owner="owner", algorithm="RC4-128"):
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(raw))
    writer.encrypt(user, owner, algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_korean_without_a_font_file():
    parsed = read_pdf(pdf_of(KOREAN, [], ["셋째 쪽"], title="서울 안내"), Limits())
    assert parsed.text == (
        "서울은 대한민국의 수도이며 한강이 흐르는 도시로서 가장 많은 사람이 사는 곳이다."
        "\n둘째 문단 fin.\n\n셋째 쪽"
    )
    assert parsed.title == "서울 안내"
    assert (parsed.media_type, parsed.language, parsed.warnings) == (PDF, "ko", ())
    third = parsed.text.index("셋째")
    assert parsed.pages == (0, third, third)


def test_a_printed_document_reads_like_what_was_written():
    pdf = FPDF()
    pdf.set_font("helvetica", size=11)
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    words = [f"The keeper wrote on {day} the well-known weather down, before breakfast. " * 6 for day in days]
    for number in range(5):
        pdf.add_page()
        pdf.cell(0, 5, "A manual of lighthouses", new_x="LMARGIN", new_y="NEXT")
        pdf.start_section(f"Chapter {number}")
        pdf.cell(0, 8, f"Chapter {number}", new_x="LMARGIN", new_y="NEXT")
        pdf.multi_cell(0, 5, words[number])
        pdf.set_y(-25)
        pdf.cell(0, 5, f"Page {number + 1}")
    parsed = read_pdf(bytes(pdf.output()), Limits())
    assert [section.heading for section in parsed.sections] == [f"Chapter {number}" for number in range(5)]
    assert all(
        parsed.text.startswith(heading, offset) for offset, heading, _ in map(tuple_of, parsed.sections)
    )
    assert "lighthouses" not in parsed.text
    assert "Page" not in parsed.text
    assert all(said.strip() in parsed.text for said in words)
    assert len(parsed.pages) == 5


def tuple_of(section: Section):
    return section.offset, section.heading, section.level


def test_one_that_opens_without_a_password_is_read_and_another_is_not():
    raw = pdf_of(["열린 글"])
    assert read_pdf(locked(raw), Limits()).text == "열린 글"
    assert read_pdf(locked(raw, algorithm="AES-256"), Limits()).text == "열린 글"
    for algorithm in ("RC4-128", "AES-256"):
        with pytest.raises(Encrypted, match="encrypted"):
            read_pdf(locked(raw, user="secret", algorithm=algorithm), Limits())


def test_pages_and_characters_are_limited():
    raw = pdf_of(["하나"], ["둘"], ["셋"])
    with pytest.raises(TooManyPages, match="3 pages"):
        read_pdf(raw, Limits(pages=2))
    with pytest.raises(TooMuchText):
        read_pdf(pdf_of(["가나다라마바사"] * 5), Limits(chars=10))


def test_a_page_that_cannot_be_read_is_a_warning():
    raw = pdf_of(
        ["읽는 쪽"],
        ["못 읽는 쪽"],
        extra={9: b"<< /Length 5 /Filter /FlateDecode >>\nstream\nxxxxx\nendstream"},
    )
    parsed = read_pdf(raw, Limits())
    assert parsed.text == "읽는 쪽"


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    monkeypatch.delitem(sys.modules, "holdfast.rooms.knowledge.parsing.pdf")
    with pytest.raises(ParserMissing) as caught:
        importlib.import_module("holdfast.rooms.knowledge.parsing.pdf")
    assert "holdfast[knowledge]" in caught.value.hint


FORM = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 20 0 R >> >> "
LOOPS = {
    "page tree within itself": {2: b"<< /Type /Pages /Kids [2 0 R 6 0 R] /Count 2 >>"},
    "page tree in a circle": {
        2: b"<< /Type /Pages /Kids [20 0 R] /Count 1 >>",
        20: b"<< /Type /Pages /Kids [2 0 R] /Count 1 /Parent 2 0 R >>",
    },
    "an object that is itself": {3: b"3 0 R"},
    "a length that is itself": {7: b"<< /Length 7 0 R >>\nstream\nBT ET\nendstream"},
    "a parent that is the page": {6: b"<< /Type /Page /Parent 6 0 R /Contents 7 0 R >>"},
    "a form that draws itself": {
        6: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 7 0 R "
        b"/Resources << /XObject << /X 20 0 R >> >> >>",
        7: stream(b"/X Do"),
        20: FORM + stream(b"/X Do /X Do")[3:],
    },
    "an outline in a circle": {
        1: b"<< /Type /Catalog /Pages 2 0 R /Outlines 20 0 R >>",
        20: b"<< /First 21 0 R /Last 21 0 R /Count 1 >>",
        21: b"<< /Title (a) /Next 21 0 R /First 21 0 R /Parent 20 0 R /Dest [6 0 R /Fit] >>",
    },
    "many pages that are one": {2: b"<< /Type /Pages /Kids [" + b"6 0 R " * 50_000 + b"] /Count 50000 >>"},
}


@pytest.mark.parametrize("extra", LOOPS.values(), ids=LOOPS)
def test_what_goes_in_circles_ends(extra):
    with contextlib.suppress(Unreadable, TooManyPages):
        read_pdf(pdf_of(["글"], extra=extra), Limits())


def test_a_table_that_refers_to_itself_ends():
    raw = assembled({1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: b"<< /Type /Pages /Kids [] /Count 0 >>"})
    start = raw.rindex(b"xref\n0")
    looping = raw.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % start)
    assert read_pdf(looping, Limits()).text == ""


@pytest.mark.parametrize("raw", [b"%PDF-1.4", b"%PDF-1.7\n" + b"\xff" * 500, pdf_of(["글"])[:200]])
def test_what_is_broken_is_said(raw):
    with pytest.raises(Unreadable):
        read_pdf(raw, Limits())
