"""Word documents, and archives that only look like them."""

import zipfile

import pytest

from holdfast.rooms.knowledge.parsing.docx import read_docx
from holdfast.rooms.knowledge.rules.parsed import DOCX, Limits, Section
from holdfast.rooms.knowledge.rules.parsing_problems import (
    HostileMarkup,
    TooDeep,
    TooMuchUnpacked,
    Unreadable,
    UnsupportedType,
)
from tests.rooms.knowledge.documents import docx_of, lying_zip, p, word, zip_of

STYLES = (
    '<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>'
    '<w:style w:styleId="1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:styleId="My"><w:name w:val="My own"/><w:basedOn w:val="2"/></w:style>'
    '<w:style w:styleId="2"><w:name w:val="제목 2"/></w:style>'
    '<w:style w:styleId="Out"><w:name w:val="x"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>'
    '<w:style w:styleId="Loop"><w:name w:val="y"/><w:basedOn w:val="Loop"/></w:style>'
)
NUMBERING = (
    '<w:abstractNum w:abstractNumId="5"><w:lvl w:ilvl="0"><w:start w:val="3"/>'
    '<w:numFmt w:val="decimal"/></w:lvl>'
    '<w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>'
    '<w:num w:numId="7"><w:abstractNumId w:val="5"/></w:num>'
)
ITEM = '<w:numPr><w:ilvl w:val="%d"/><w:numId w:val="7"/></w:numPr>'
BODY = (
    p("계획서", "Titel") + p("1장", "1") + "<w:p><w:r><w:t>서울은</w:t></w:r><w:r><w:tab/>"
    '<w:t xml:space="preserve"> 수도</w:t><w:br/><w:t>이다</w:t></w:r>'
    '<w:del><w:r><w:delText>지운 글</w:delText></w:r></w:del><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    + p("셋", "", ITEM % 0)
    + p("안", "", ITEM % 1)
    + p("넷", "", ITEM % 0)
    + p("글", "Loop")
    + p("소제목", "My")
    + f"<w:tbl><w:tr><w:tc>{p('이름')}</w:tc><w:tc>{p('값')}{p('둘')}</w:tc></w:tr>"
    f"<w:tr><w:tc>{p('가')}</w:tc><w:tc><w:tbl><w:tr><w:tc>{p('안')}</w:tc></w:tr></w:tbl></w:tc></w:tr></w:tbl>"
    + p("깊은", "Out")
    + p("끝")
)
NOTES = f'<w:footnote w:id="0" w:type="separator">{p("-")}</w:footnote>'
NOTES += f'<w:footnote w:id="2">{p("각주 글")}</w:footnote>'
TEXT = """계획서

1장

서울은\t 수도
이다[2]

3. 셋
  - 안
4. 넷

글

소제목

이름 | 값 둘
가 | 안

깊은

끝

[2] 각주 글"""


def test_a_document():
    parsed = read_docx(docx_of(BODY, styles=STYLES, numbering=NUMBERING, footnotes=NOTES), Limits())
    assert parsed.text == TEXT
    assert parsed.title == "계획서"
    assert parsed.sections == (
        Section(0, "계획서", 1),
        Section(TEXT.index("1장"), "1장", 1),
        Section(TEXT.index("소제목"), "소제목", 2),
        Section(TEXT.index("깊은"), "깊은", 3),
    )
    assert (parsed.media_type, parsed.language) == (DOCX, "ko")


def test_a_text_box_is_read_once():
    box = f"<w:txbxContent>{p('in the box')}</w:txbxContent>"
    mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    body = (
        f"<w:p><w:r><w:t>around</w:t></w:r><w:r><mc:AlternateContent {mc}><mc:Choice>{box}</mc:Choice>"
        f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r></w:p>"
    )
    assert read_docx(docx_of(body), Limits()).text == "in the box\n\naround"


BILLION = (
    '<!DOCTYPE w [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    '<w:document xmlns:w="http://x"><w:t>&b;</w:t></w:document>'
)
OUTSIDE = '<!DOCTYPE w SYSTEM "file:///etc/passwd"><w/>'


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (zip_of({"word/document.xml": BILLION}), HostileMarkup),
        (zip_of({"word/document.xml": OUTSIDE}), HostileMarkup),
        (zip_of({"word/document.xml": "<w:document>"}), Unreadable),
        (docx_of("<w:p>" * 300 + "</w:p>" * 300), TooDeep),
        (
            zip_of({"word/document.xml": word("document", "a"), "word/media/x": b"\0" * 3_000_000}),
            TooMuchUnpacked,
        ),
        (zip_of({f"{n}": b"" for n in range(200)}), TooMuchUnpacked),
        (zip_of({"a": b"\0" * 900_000, "b": b"\0" * 900_000, "c": b"\0" * 900_000}), TooMuchUnpacked),
        (zip_of({"inner.zip": zip_of({"word/document.xml": "x"})}, zipfile.ZIP_STORED), UnsupportedType),
        (zip_of({"xl/workbook.xml": "<a/>"}), UnsupportedType),
        (zip_of({"Contents/content.hpf": "<a/>"}), UnsupportedType),
        (lying_zip(docx_of(p("x" * 5_000)), b"word/document.xml", 50), Unreadable),
        (docx_of(p("x"))[:-30], Unreadable),
        (docx_of(p("x")).replace(b"PK\x03\x04", b"PK\x03\x05"), Unreadable),
        (b"PK\x03\x04", Unreadable),
    ],
)
def test_what_is_refused(raw, kind):
    limits = Limits(zip_entries=100, zip_bytes=2_500_000 if kind is TooMuchUnpacked else 10**8, zip_ratio=50)
    with pytest.raises(kind) as caught:
        read_docx(raw, limits)
    assert type(caught.value) is kind
    assert caught.value.hint


def test_a_high_ratio_is_refused_where_the_whole_would_be_allowed():
    raw = zip_of({"word/document.xml": word("document", "a"), "word/media/x": b"\0" * 3_000_000})
    with pytest.raises(TooMuchUnpacked, match="200 times"):
        read_docx(raw, Limits())
