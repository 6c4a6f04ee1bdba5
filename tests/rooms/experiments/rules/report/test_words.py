"""What became of a release, in words."""

import pytest
from msgspec.structs import replace

from holdfast.rooms.experiments.rules.report.page import Words
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage
from holdfast.rooms.experiments.rules.report.words import decision, told
from tests.rooms.experiments.rules.report.samples import NOON, draft, held, promoted, rolled_back


@pytest.mark.parametrize(
    ("page", "ko", "en"),
    [
        (
            rolled_back(),
            "시작한 지 14분 만에 자동으로 되돌렸습니다. "
            "새 버전의 오류 비율은 2.02 %이고 같은 시간 기존 버전은 0.30 %입니다(6.7×).",
            "Rolled back 14 min after the start: the error rate was 2.02 % in the new version "
            "and 0.30 % in the old one over the same time (6.7×).",
        ),
        (replace(rolled_back(), cause="absolute"), "한도는 1 %입니다.", "the limit is 1 %."),
        (replace(rolled_back(), cause="late"), "도중에 나빠졌습니다.", "got worse on the way."),
        (replace(rolled_back(), cause="crash"), "성공한 요청이 없었습니다.", "none succeeded."),
        (
            replace(rolled_back(), cause="deadline"),
            "근거가 모이지 않았습니다.",
            "without enough evidence that it is safe.",
        ),
        (replace(rolled_back(), cause="stale"), "측정값이 들어오지 않아", "measurements stopped arriving"),
        (
            replace(rolled_back(), cause="operator"),
            "담당자가 되돌렸습니다.",
            "Rolled back by hand 14 min after the start.",
        ),
        (
            replace(rolled_back(), cause="relative", gate="latency"),
            "0.8초보다 느린 비율",
            "the share slower than 0.8 s",
        ),
        (ReleasePage(name="a", status="rolled_back"), "자동으로 되돌렸습니다.", "Rolled back."),
        (
            promoted(),
            "모든 단계를 통과해 모든 사용자에게 적용했습니다.",
            "no evidence that it is worse than the old one.",
        ),
        (replace(promoted(), cause="operator"), "담당자가 모든 사용자에게", "Promoted to everybody by hand."),
        (
            held(),
            "새 버전(2.18 %)과 기존 버전(2.15 %)에서 모두 한도를 넘었습니다.",
            "rolling back would not help.",
        ),
        (
            replace(held(), gates=tuple(replace(row, limit=0.0216) for row in held().gates)),
            "지금 두 버전에서 모두 나쁩니다(이 단계 전체로는 새 버전 2.18 %, 기존 버전 2.15 %)",
            "over the whole stage 2.18 % in the new one, 2.15 % in the old one",
        ),
        (replace(held(), share=10_000), "일부를 기존 버전으로", "as everybody has it nobody can tell"),
        (
            ReleasePage(name="a", status="running", share=500, cause="undecided"),
            "아직 비교할 수 없습니다",
            "too little was seen of the old one to compare yet; it stays at 5 % of users",
        ),
        (replace(held(), gate=""), "두 버전이 모두 나쁘므로", "both versions are bad"),
        (draft(), "아직 시작하지 않았습니다.", "Not started yet."),
        (
            ReleasePage(name="a", status="paused", share=2500),
            "25 %에서 일시 중지",
            "Paused at 25 % of users.",
        ),
        (
            ReleasePage(name="a", status="running", share=500),
            "사용자 5 %에게 적용했고",
            "Under way: 5 % of users",
        ),
        (
            ReleasePage(name="a", status="running", share=500, cause="stale"),
            "판단할 수 없습니다.",
            "Inconclusive:",
        ),
    ],
)
def test_every_end_has_its_sentence(page, ko, en):
    said = decision(page)
    assert ko in said.ko
    assert en in said.en


def test_words_that_were_given_stay():
    page = ReleasePage(name="a", status="running", decision=Words("가", "a"))
    assert told(page) is page


def test_a_release_without_a_beginning_is_not_said_to_have_taken_a_time():
    page = replace(rolled_back(), began_s=None, decided_s=NOON)
    assert decision(page).en.startswith("Rolled back: ")
