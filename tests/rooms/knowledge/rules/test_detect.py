"""What a document is, whatever it is called."""

import pytest

from holdfast.rooms.knowledge.rules.detect import detect
from holdfast.rooms.knowledge.rules.language import language_of
from holdfast.rooms.knowledge.rules.parsed import DOCX, HTML, MARKDOWN, PDF, PLAIN, Section, page_of, path_of
from holdfast.rooms.knowledge.rules.parsing_problems import Unreadable, UnsupportedType


@pytest.mark.parametrize(
    ("head", "media_type", "name", "wanted"),
    [
        (b"%PDF-1.4\n", "text/plain", "a.txt", PDF),
        (b"junk\n%PDF-1.4\n", "", "", PDF),
        (b"PK\x03\x04rest", "application/pdf", "a.pdf", DOCX),
        (b"<!DOCTYPE html><p>", "text/plain", "a.txt", HTML),
        (b"\n<!-- c --><html lang=ko>", "", "", HTML),
        (b"<p>part</p>", "text/html; charset=utf-8", "", HTML),
        (b"<p>part</p>", "", "a.htm", HTML),
        (b"no tags at all", "text/html", "a.html", PLAIN),
        (b"# Head", "text/markdown", "", MARKDOWN),
        (b"# Head", "application/octet-stream", "README.MD", MARKDOWN),
        (b"# Head", "text/plain", "README.md", MARKDOWN),
        (b"# Head", "", "notes.txt", PLAIN),
        (b"words", "", "", PLAIN),
        (b"stray \0" + b"words " * 20, "", "", PLAIN),
        (b"", "application/pdf", "a.pdf", PLAIN),
        ("한글".encode("utf-16-le"), "", "a.txt", PLAIN),
        ("plain words".encode("utf-16-le"), "", "a.txt", PLAIN),
    ],
)
def test_what_it_is(head, media_type, name, wanted):
    if head == "한글".encode("utf-16-le"):
        head = b"\xff\xfe" + head
    assert detect(head, media_type, name) == wanted


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"\x89PNG\r\n", "a.pdf", UnsupportedType),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.hwp", UnsupportedType),
        (b"\x1f\x8b\x08", "a.txt", UnsupportedType),
        (b"{\\rtf1", "a.docx", UnsupportedType),
        (bytes(range(256)), "a.txt", UnsupportedType),
        (b"words", "a.pdf", Unreadable),
        (b"words", "a.docx", Unreadable),
    ],
)
def test_what_it_is_not(head, name, kind):
    with pytest.raises(kind) as caught:
        detect(head, "", name)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("홀드패스트(Holdfast)는 FastAPI 서비스를 위한 production layer 입니다", "ko"),
        ("The quick brown fox is in the garden.", "en"),
        ("Price list", "en"),
        ("これは日本語の文章です。", "other"),
        ("Это русский текст", "other"),
        (
            "Le conseil municipal se réunit chaque mois pour discuter des projets de la ville, des écoles et"
            " des routes avec les habitants qui le souhaitent et leurs représentants élus",
            "other",
        ),
        ("1234 !!", "other"),
    ],
)
def test_which_language_it_is_in(text, wanted):
    assert language_of(text) == wanted


def test_pages_and_headings_are_found_by_offset():
    assert [page_of((0, 10, 10, 25), at) for at in (0, 9, 10, 24, 25, 99)] == [1, 1, 3, 3, 4, 4]
    assert page_of((), 5) == 0
    sections = (Section(2, "A"), Section(4, "B", 2), Section(6, "C", 3), Section(8, "D", 2), Section(9, "E"))
    assert [path_of(sections, at) for at in (0, 2, 7, 8, 9)] == [
        (),
        ("A",),
        ("A", "B", "C"),
        ("A", "D"),
        ("E",),
    ]
