"""Pages: well-formed whatever stands in them, complete, accessible, and needing nothing from elsewhere."""

import re
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.rooms.experiments.rules.report import html, words
from holdfast.rooms.experiments.rules.report.experiment_page import ExperimentPage
from holdfast.rooms.experiments.rules.report.labels import COUNTED, FINDINGS, LABELS, STATUSES, VERDICTS
from holdfast.rooms.experiments.rules.report.markup import escaped
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage
from holdfast.rooms.experiments.rules.report.style import STYLE
from tests.rooms.experiments.rules.report.reading import read
from tests.rooms.experiments.rules.report.samples import EXPERIMENTS, NOON, RELEASES, metric

PAGES = {**RELEASES, **EXPERIMENTS}
ODD = st.sampled_from(
    [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=y>",
        "</style></svg>",
        "한글 그리고 😀",
        "\u202eمرحبا",
        "\x00\x07\x1b[31m\x7f\x85\ud800\ufffe",
        "]]>&amp;<!--",
        "a" * 300,
        "\r\n\t ",
        "",
    ]
)
TEXT = st.one_of(ODD, st.text(st.characters(), max_size=20))
NUMBERS = st.one_of(
    st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1e300, -1.7e308, 1e-320, float("nan"), float("inf")])
)


@pytest.mark.parametrize("lang", ["ko", "en"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_one_well_formed_document_that_loads_nothing(name, lang):
    text = html.render(PAGES[name](), lang)
    page = read(text)
    assert text.startswith("<!doctype html>")
    assert ("html", "lang", lang) in page.attributes
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"\bnan\b|\binf\b|None", "".join(page.texts), re.IGNORECASE)


def test_the_style_is_balanced_and_fits_a_style_element():
    assert STYLE.count("{") == STYLE.count("}")
    assert "<" not in STYLE
    assert set(re.findall(r"var\((--[\w-]+)\)", STYLE)) <= set(re.findall(r"(--[\w-]+):", STYLE))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_out(name):
    text = html.render(PAGES[name]())
    page = read(text)
    assert page.tags.count("h1") == 1
    assert page.tags.count("h2") == page.tags.count("section")
    heads = [scope for tag, attribute, scope in page.attributes if (tag, attribute) == ("th", "scope")]
    assert len(heads) == page.tags.count("th")
    assert page.tags.count("caption") == page.tags.count("table")
    for picture in re.findall(r"<svg viewBox.*?</svg>", text, re.DOTALL):
        assert ElementTree.fromstring(picture).find("title").text


@pytest.mark.parametrize("name", PAGES)
def test_a_picture_stays_within_its_frame(name):
    for picture in re.findall(r"<svg viewBox.*?</svg>", html.render(PAGES[name]()), re.DOTALL):
        root = ElementTree.fromstring(picture)
        _, _, width, height = map(float, root.get("viewBox").split())
        for element in root.iter():
            for key, most in (
                ("x", width),
                ("x1", width),
                ("x2", width),
                ("cx", width),
                ("y", height),
                ("y1", height),
                ("cy", height),
            ):
                assert 0 <= float(element.get(key, 0)) <= most


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "rolled_back",
            [
                "recommend-engine-4",
                "되돌림",
                "2.02 %",
                "0.30 %",
                "17 / 840",
                "KeyError: 'embedding'",
                "01JD0001Q8Z6",
                "4bf92f3577b34da6a3ce929d0e0e4736",
                "2026-11-27 12:14:00",
                "김서연",
                "4.0.0",
                "Rolled back 14 min after the start",
            ],
        ),
        ("promoted", ["전체 적용", "모든 단계를 통과해", "관찰만", "50 %"]),
        ("held", ["보류", "되돌려도 나아지지 않습니다", "두 버전 모두 오류 한도 초과"]),
        ("draft", ["아직 시작하지 않았습니다.", "시작 전"]),
        (
            "better",
            [
                "새 안이 더 좋습니다",
                "The new arm is better",
                "+4.10 %",
                "+1.20 % … +7.00 %",
                "tier = 유료",
                "10,197",
                "10,214",
                "37",
                "31 %",
                "31,890 원",
                "첫 7일",
                "이도윤",
                "50 %",
                "허용 폭 안",
            ],
        ),
        ("mismatched", ["결과를 믿지 마십시오", "−6.89 %", "512", "판정 보류"]),
        ("three_arms", ["satisfaction · 짧은 답", "−12.0 %", "나빠짐"]),
    ],
)
def test_a_page_says_what_is_asked_of_it(name, wanted):
    said = " ".join("".join(read(html.render(PAGES[name]())).texts).split())
    assert [words for words in wanted if words not in said] == []


def test_a_failed_sample_ratio_comes_before_any_metric():
    page = "".join(read(html.render(EXPERIMENTS["mismatched"]())).texts)
    assert page.index("결과를 믿지 마십시오") < page.index("핵심 지표")


def test_a_p_is_shown_where_the_page_has_one_and_nowhere_else():
    early = metric("clicks", "primary", 0.1, 0.1, (-0.1, 0.0, 0.1), "undecided", scale="share")
    said = read(html.render(ExperimentPage(name="early", status="running", metrics=(early,)))).texts
    assert [text for text in said if re.fullmatch(r"0\.\d{4}", text)] == []
    assert "0.0021" in read(html.render(EXPERIMENTS["better"]())).texts


@pytest.mark.parametrize("name", PAGES)
def test_json_holds_the_same_page(name):
    page = PAGES[name]()
    back = msgspec.json.decode(html.encode(page), type=type(page))
    assert html.render(back) == html.render(page)
    assert back == (words.told(page) if isinstance(page, ReleasePage) else page)


def test_json_of_a_release_says_its_decision():
    assert "14분 만에" in msgspec.json.decode(html.encode(RELEASES["rolled_back"]()))["decision"]["ko"]


def test_a_long_path_is_thinned_on_the_page_and_whole_in_json():
    page = RELEASES["rolled_back"]()
    path = tuple(
        msgspec.structs.replace(page.evidence[0], at_s=NOON + at, log_e_relative=at / 1000)
        for at in range(5000)
    )
    page = msgspec.structs.replace(page, evidence=path)
    drawn = re.findall(r'd="(M[^"]*)"', html.render(page))
    assert 300 < max(points.count("L") for points in drawn) <= 401
    assert len(msgspec.json.decode(html.encode(page))["evidence"]) == 5000


def test_examples_have_no_column_that_says_nothing():
    page = RELEASES["rolled_back"]()
    bare = tuple(msgspec.structs.replace(row, route="") for row in page.examples)
    assert "경로" in read(html.render(page)).texts
    assert "경로" not in read(html.render(msgspec.structs.replace(page, examples=bare))).texts


def test_a_release_that_is_decided_at_its_first_reading_has_a_path():
    page = RELEASES["rolled_back"]()
    page = msgspec.structs.replace(page, evidence=page.evidence[14:15], examples=())
    paths = re.findall(r'<path d="[^"]*" class="line-0">', html.render(page))
    assert [path.count("L") for path in paths][:1] == [1]


def test_many_examples_are_folded_and_all_there():
    page = RELEASES["rolled_back"]()
    many = tuple(msgspec.structs.replace(page.examples[0], request_id=f"request-{at:02}") for at in range(12))
    found = read(html.render(msgspec.structs.replace(page, examples=many)))
    assert [f"request-{at:02}" for at in range(12) if f"request-{at:02}" not in found.texts] == []
    assert "더 보기 (7)" in found.texts


def test_a_sample_ratio_of_nobody_is_not_said_to_hold():
    page = EXPERIMENTS["better"]()
    nobody = tuple(msgspec.structs.replace(arm, units=0, expected=0.0) for arm in page.arms)
    ratio = msgspec.structs.replace(page.sample_ratio, arms=nobody, p=1.0)
    said = "".join(read(html.render(msgspec.structs.replace(page, sample_ratio=ratio))).texts)
    assert "계획대로입니다" not in said


def test_strata_of_several_metrics_say_which_is_which():
    page = EXPERIMENTS["better"]()
    other = msgspec.structs.replace(page.strata[0], metric="dwell")
    several = html.render(msgspec.structs.replace(page, strata=(page.strata[0], other)))
    assert "click-through · treatment · 월" in several
    assert "dwell · treatment · 월" in several


def test_every_word_stands_in_both_languages():
    words = [*LABELS.values(), *(row[2] for row in (*STATUSES.values(), *VERDICTS.values()))]
    words += COUNTED.values()
    words += [row[2] for name, row in FINDINGS.items() if name]
    assert [pair for pair in words if not pair.ko or not pair.en] == []


def _strewn(value, draw):
    """The same struct with every text and figure replaced by whatever may come."""
    if isinstance(value, msgspec.Struct):
        known = {"at_s", "dwell_s", "alpha", "power", "warm_up_s", "stale_s", "threshold"}
        kept = {"kind", "of", "scale", "role", "better", "finding", "state", "cause", "decision"}
        return msgspec.structs.replace(
            value,
            **{
                name: draw(st.floats()) if name in known else _strewn(getattr(value, name), draw)
                for name in value.__struct_fields__
                if name not in kept
            },
        )
    if isinstance(value, tuple):
        return tuple(_strewn(part, draw) for part in value[:2])
    if isinstance(value, str):
        return draw(TEXT)
    return draw(NUMBERS) if isinstance(value, float) else value


@pytest.mark.parametrize("name", ["rolled_back", "better", "mismatched"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_no_text_and_no_figure_breaks_a_page(name, data):
    page = _strewn(PAGES[name](), data.draw)
    text = html.render(page)
    found = read(text)
    assert not {"script", "img"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    for picture in re.findall(r"<svg viewBox.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(picture)
        assert not re.search(
            r'="[^"]*\b(nan|inf)\b[^"]*"', re.sub(r'(aria-label|class)="[^"]*"', "", picture)
        )


@given(TEXT)
def test_text_comes_out_as_it_went_in_or_as_a_sign_for_it(text):
    back = "".join(read(f"<p>{escaped(text)}</p>").texts)
    assert len(back) == len(text)
    assert all(
        there == here or there in "\ufffd" or 0x2400 <= ord(there) <= 0x2421
        for here, there in zip(text, back, strict=True)
    )


@pytest.mark.parametrize(
    "page",
    [
        ReleasePage(name="a", status="running"),
        ReleasePage(name="a", status="new-word"),
        ExperimentPage(name="a", status="running"),
    ],
)
def test_a_page_of_nothing_but_a_name_is_a_page(page):
    assert read(html.render(page, "en")).tags.count("h1") == 1
