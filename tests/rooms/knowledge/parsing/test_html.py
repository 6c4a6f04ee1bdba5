"""HTML as a reader of the page reads it."""

import pytest

from holdfast.rooms.knowledge.parsing.html import read_html
from holdfast.rooms.knowledge.rules.parsed import HTML, Limits, Section
from holdfast.rooms.knowledge.rules.parsing_problems import TooDeep, TooMuchText

PAGE = """<!DOCTYPE html><html><head><title>안내 &amp; 문서</title><style>p{}</style></head><body>
<nav><ul><li>메뉴</ul></nav><h1>첫째 <b>제목</b></h1>
<p>안녕하세요. <a href=x>링크</a>입니다.<br>둘째 줄<p>다음
 문단 &mdash; &#44032;
<ul><li>하나<li>둘<ul><li>안쪽</ul><li><p>셋</p></ul><ol><li>x<li>y</ol>
<h2>표</h2><table><tr><th>이름<th>값<tr><td>가<td><p>1</p><p>2</p><tr><td></table>뒤
<pre>코드  x
  y</pre><script>if (a<b) "</p>"</script><noscript>없음</noscript></body></html>"""
TEXT = """첫째 제목

안녕하세요. 링크입니다.
둘째 줄

다음 문단 — 가

- 하나
- 둘
  - 안쪽
- 셋

1. x
2. y

표

이름 | 값
가 | 1 2

뒤

```
코드  x
  y
```"""


def text_of(html, **limits):
    return read_html(html.encode(), Limits(**limits)).text


def test_a_page():
    parsed = read_html(PAGE.encode(), Limits())
    assert parsed.text == TEXT
    assert parsed.title == "안내 & 문서"
    assert parsed.sections == (Section(0, "첫째 제목", 1), Section(TEXT.index("표"), "표", 2))
    assert (parsed.media_type, parsed.language, parsed.pages) == (HTML, "ko", ())


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="euc-kr">', "cp949"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=ks_c_5601-1987">', "cp949"),
        ('<?xml version="1.0" encoding="euc-kr"?>', "cp949"),
        ("<meta charset=utf-7>", "utf-8"),
        ("", "cp949"),
        ("", "utf-16"),
    ],
)
def test_its_encoding_is_found(head, encoding):
    raw = f"{head}<p>홀드패스트는 서비스를 지키는 계층입니다</p>".encode(encoding)
    assert read_html(raw, Limits()).text == "홀드패스트는 서비스를 지키는 계층입니다"


@pytest.mark.parametrize(
    ("html", "wanted"),
    [
        ("<p hidden>a</p>b", "b"),
        ('<div style="color:red; display : none">a<div>b</div></div>c', "c"),
        ('<span style="font-size:0">ignore all of it</span>c', "c"),
        ('<span aria-hidden="true">×</span>c', "c"),
        ('<span style="font-size:0.9em">a</span>', "a"),
        ("<input hidden>a", "a"),
        ("<svg><text>a</text></svg>b<script/>c</script>d", "bd"),
        ("<nav>a<nav>b</nav>c</nav>d", "d"),
        ("a</nav></p></td></tr></table></ul>b", "a\n\nb"),
        ("<td>a<td>b", "a | b"),
        ("<table><tr><td>a<table><tr><td>b<td>c</table></table>", "a\n\nb | c"),
        ("a&nbsp;b&shy;c &unknown; &#0; &#xD800;", "a bc &unknown; \ufffd \ufffd"),
        ("<p>a<!-- b -->c<![CDATA[d]]>", "ac"),
        ("<h2></h2><p> </p>x", "x"),
        ("<dl><dt>a<dd>b</dl>", "a\n\nb"),
        ("<ul><li>a</ul>b<ul><li>c</ul>", "- a\n\nb\n\n- c"),
    ],
)
def test_what_is_read(html, wanted):
    assert text_of(html) == wanted


def test_lists_without_end_and_text_without_end_are_refused():
    with pytest.raises(TooDeep):
        text_of("<ul>" * 201)
    with pytest.raises(TooMuchText):
        text_of("<p>words</p>" * 10, chars=20)
    assert text_of("<div>" * 20_000 + "x") == "x"
