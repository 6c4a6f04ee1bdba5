"""Which scores are taken."""

import pytest

from holdfast.rooms.conversations.rules.problems import AlreadyRated, BadScore
from holdfast.rooms.conversations.rules.ratings import MOST_TEXT_BYTES, Rating, check_rating, check_repeat


@pytest.mark.parametrize(("scale", "taken"), [("thumbs", {-1, 1}), ("stars", {1, 2, 3, 4, 5})])
def test_a_scale_has_its_scores_and_no_others(scale, taken):
    for score in range(-3, 9):
        if score in taken:
            check_rating(scale, score, "고마워요")
        else:
            with pytest.raises(BadScore) as found:
                check_rating(scale, score, "")
            assert "feedback_scale" in found.value.hint


@pytest.mark.parametrize("text", ["가" * (MOST_TEXT_BYTES // 3 + 1), "a\0b", "\ud83d"])
def test_a_text_that_cannot_be_kept_is_refused(text):
    with pytest.raises(BadScore):
        check_rating("thumbs", 1, text)


def test_the_first_score_stands():
    check_repeat(Rating(1, "", 0), 1)
    with pytest.raises(AlreadyRated):
        check_repeat(Rating(1, "", 0), -1)
