"""Which encoding a text is in."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.knowledge.rules.encodings import decoded, known

KOREAN = "홀드패스트는 파이썬 서비스를 지키는 계층입니다. 문서를 읽습니다."


@pytest.mark.parametrize(
    ("raw", "declared", "text", "encoding"),
    [
        (b"", "", "", "utf-8"),
        (b"plain", "", "plain", "utf-8"),
        (KOREAN.encode(), "", KOREAN, "utf-8"),
        (b"\0" + KOREAN.encode(), "", "\0" + KOREAN, "utf-8"),
        (KOREAN.encode(), "euc-kr", KOREAN, "utf-8"),
        (KOREAN.encode("cp949"), "", KOREAN, "cp949"),
        (KOREAN.encode("euc-kr"), "EUC-KR", KOREAN, "cp949"),
        (KOREAN.encode("cp949"), "utf-8", KOREAN, "cp949"),
        (KOREAN.encode("cp949"), "iso-8859-1", KOREAN, "cp949"),
        (
            "똠방각하 펲시콜라가 나온 한국어 소설을 읽었다".encode("cp949"),
            "",
            "똠방각하 펲시콜라가 나온 한국어 소설을 읽었다",
            "cp949",
        ),
        ((KOREAN * 3).encode("cp949") + b"\xff", "", KOREAN * 3 + "\ufffd", "cp949"),
        (codecs.BOM_UTF8 + KOREAN.encode(), "", KOREAN, "utf-8"),
        (codecs.BOM_UTF16_LE + KOREAN.encode("utf-16-le"), "", KOREAN, "utf-16-le"),
        (codecs.BOM_UTF16_BE + KOREAN.encode("utf-16-be"), "", KOREAN, "utf-16-be"),
        (codecs.BOM_UTF32_LE + KOREAN.encode("utf-32-le"), "", KOREAN, "utf-32-le"),
        ("no mark".encode("utf-16-le"), "", "no mark", "utf-16-le"),
        ("no mark".encode("utf-16-be"), "", "no mark", "utf-16-be"),
        ("café déjà vu".encode("latin-1"), "", "café déjà vu", "latin-1"),
        ("“naïve” façade — größer".encode("cp1252"), "", "“naïve” façade — größer", "latin-1"),
        ("日本語の文章です".encode("shift_jis"), "Shift_JIS", "日本語の文章です", "shift_jis"),
        ("日本語".encode("iso-2022-jp"), "iso-2022-jp", "日本語", "iso_2022_jp"),
        (("많은 글자 " * 60).encode() + b"\xff", "", "많은 글자 " * 60 + "\ufffd", "utf-8"),
    ],
)
def test_what_it_is_written_in(raw, declared, text, encoding):
    assert decoded(raw, declared) == (text, encoding)


@pytest.mark.parametrize("declared", ["utf-7", "hex", "rot13", "idna", "zip", "unicode_escape", "", "x" * 40])
def test_what_is_no_character_set_is_not_believed(declared):
    assert known(declared) == ""


@given(st.binary(max_size=300), st.sampled_from(["", "euc-kr", "utf-16", "gb18030", "iso-2022-kr"]))
def test_any_bytes_become_text(raw, declared):
    decoded(raw, declared)
