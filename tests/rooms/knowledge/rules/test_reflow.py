"""Printed lines become paragraphs again."""

import pytest

from holdfast.rooms.knowledge.rules.reflow import Reflow, same_words, without_heads, without_ligatures

FULL = "The keeper of the lighthouse wrote the weather down every day"


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([], ""),
        ([FULL, "and went to sleep."], f"{FULL} and went to sleep."),
        ([FULL, "short.", "Next paragraph here"], f"{FULL} short.\nNext paragraph here"),
        ([FULL, "", "After a gap"], f"{FULL}\n\nAfter a gap"),
        ([FULL, "• an item", "2. another"], f"{FULL}\n• an item\n2. another"),
        ([FULL, "제2장 다음"], f"{FULL}\n제2장 다음"),
        ([FULL, "Name     Price"], f"{FULL}\nName     Price"),
        (["An impor-", "tant day"], "An important day"),
        ([FULL + " impor-", "tant"], f"{FULL} important"),
        (["A well-known day, a well-", "known night"], "A well-known day, a well-known night"),
        (["Pages 12-", "15 of it"], "Pages 12-\n15 of it"),
        (["Anglo-", "Saxon"], "Anglo-\nSaxon"),
    ],
)
def test_lines_are_joined(lines, wanted):
    assert Reflow([lines]).page(lines) == wanted


def test_korean_lines_are_joined_without_a_space_where_the_printer_kept_spaces():
    kept = [
        "한강은 서울을 가로지르는 강으로서 길이가 매우 길며 여러 ",
        "다리가 놓여 있고 물이 맑아 많은 사람이 찾는 곳으로 알려져 있",
    ]
    lines = [*kept, *kept, *kept, "으며 공원도 많다."]
    text = Reflow([lines]).page(lines)
    assert "여러 다리가" in text
    assert "있으며" in text
    plain = [line.strip() for line in kept]
    assert "여러 다리가" in Reflow([plain]).page(plain)


def test_a_head_that_is_on_most_pages_goes():
    pages = [
        [
            "보고서",
            f"{number + 3} / 20",
            f"body {'abcde'[number]} one",
            f"more {'vwxyz'[number]}",
            f"- {number + 1} -",
        ]
        for number in range(5)
    ]
    left = without_heads(pages, [set()] * 5)
    assert left == [[f"body {'abcde'[number]} one", f"more {'vwxyz'[number]}"] for number in range(5)]
    assert without_heads(pages[:3], [set()] * 3) == pages[:3]


def test_a_heading_of_the_outline_stays_and_a_page_is_never_emptied():
    pages = [[f"Chapter {number}", "words", "x" * number] for number in range(5)]
    assert without_heads(pages, [{same_words(f"Chapter {n}")} for n in range(5)])[2][0] == "Chapter 2"
    only = [["the same"]] * 6
    assert without_heads(only, [set()] * 6) == only


def test_numbers_that_do_not_count_with_the_pages_stay():
    pages = [[f"제{chapter}조 정의", f"본문 {'가나다라마'[chapter % 5]}"] for chapter in (1, 5, 2, 9, 7)]
    assert without_heads(pages, [set()] * 5) == pages


def test_ligatures_become_letters():
    assert without_ligatures("ﬁne oﬀ eﬃcient ﬂow") == "fine off efficient flow"
