"""Markdown as its words."""

import pytest

from holdfast.rooms.knowledge.parsing.markdown import plain_words, read_markdown
from holdfast.rooms.knowledge.parsing.plain import read_plain
from holdfast.rooms.knowledge.rules.parsed import Limits, Section

PAGE = """---
title: "안내서"
tags: [a]
---
# 첫째 **제목** #

글은 *여러* 줄에
걸칩니다. 끝\\
새 줄

둘째
====

* one
  goes on
* [ ] two
    1. sub
- three
---

| 이름 | 값 |
|------|:--:|
| **가** | 1 \\| 2 |

```python
# not a heading <!-- stays -->

x = [a](b)
```
> quoted
> words
<!-- hidden
lines -->
[ref]: http://x.y "t"
See [the ref][ref].
"""
TEXT = """첫째 제목

글은 여러 줄에 걸칩니다. 끝
새 줄

둘째

- one goes on
- two
    1. sub
- three

이름 | 값
가 | 1 | 2

```python
# not a heading <!-- stays -->

x = [a](b)
```

quoted words

See the ref."""


def test_a_page():
    parsed = read_markdown(PAGE.encode(), Limits())
    assert parsed.text == TEXT
    assert parsed.title == "안내서"
    assert parsed.sections == (Section(0, "첫째 제목", 1), Section(TEXT.index("둘째"), "둘째", 1))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[a](http://x/(y) 'z') ![pic](p.png) [![b](c)](d) <http://e.f>", "a pic b http://e.f"),
        ("**a b** __c__ *d* _e_ ~~f~~", "a b c d e f"),
        ("snake_case_name 2*3*4 a * b", "snake_case_name 2*3*4 a * b"),
        ("`a*b*` ``c ` d``", "`a*b*` ``c ` d``"),
        ("\\*a\\* \\[b\\](c)", "*a* [b](c)"),
        ("<b>a</b> 1 < 2 > 0", "a 1 < 2 > 0"),
        ("한국어**강조**는", "한국어**강조**는"),
    ],
)
def test_marks_are_taken_off(text, wanted):
    assert plain_words(text) == wanted


def test_an_open_fence_ends_with_the_text():
    assert read_markdown(b"a\n~~~\ncode\n# x", Limits()).text == "a\n\n~~~\ncode\n# x"


def test_plain_text_keeps_its_lines():
    parsed = read_plain("첫 줄\r\n둘째 줄\r\n\r\n\r\n\r\n끝".encode("cp949"), Limits())
    assert parsed.text == "첫 줄\n둘째 줄\n\n끝"
    assert (parsed.title, parsed.sections, parsed.language) == ("", (), "ko")
