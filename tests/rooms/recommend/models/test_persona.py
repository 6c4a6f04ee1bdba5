import numpy as np
import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.content import ContentIndex
from holdfast.rooms.recommend.models.interactions import gather
from holdfast.rooms.recommend.models.persona import PersonaIndex

TEXTS = ["무선 이어폰", "블루투스 스피커", "캠핑 텐트", "라면"]
TAGS = [["전자"], ["전자", "음악"], ["캠핑"], []]
CONTENT = ContentIndex.fit(TEXTS, TAGS)
# Users 0-9 are of segment "a" and take item 2; users 10-49 of "b" and take item 3; user 50 has none.
LOG = gather([*range(10), *range(10, 50), 50], [2] * 10 + [3] * 40 + [0], shape=(51, 4)).matrix
INDEX = PersonaIndex.fit(CONTENT, TAGS, LOG, ["a"] * 10 + ["b"] * 40 + [""])


def test_a_declared_tag_matches_fully():
    assert INDEX.score(["전자"], "")[:2].tolist() == [1.0, 1.0]
    assert INDEX.score(["전자"], "")[2] < 0.5


def test_free_text_matches_by_what_the_items_say():
    assert INDEX.score(["캠핑용 텐트"], "").argmax() == 2


def test_a_segment_leans_to_what_its_members_take():
    few, many = INDEX.score([], "a"), INDEX.score([], "b")
    assert few[2] / few[3] > many[2] / many[3]
    assert many.argmax() == 3


def test_a_small_segment_is_pulled_to_everybodys_popularity():
    assert INDEX.score([], "a")[3] > 0.5


def test_with_nothing_known_it_is_everybodys_popularity():
    expected = np.log1p([1, 0, 10, 40]) / np.log(41)
    np.testing.assert_allclose(INDEX.score([], ""), expected, rtol=1e-6)
    np.testing.assert_array_equal(INDEX.score([], "no such segment"), INDEX.score([], ""))


@pytest.mark.parametrize("interests", [[], ["전자"], ["캠핑", "이어폰", " 캠핑 "], [""]])
@pytest.mark.parametrize("segment", ["", "a", "unknown"])
def test_parts_sum_to_the_score(interests: list[str], segment: str):
    scores = INDEX.score(interests, segment)
    assert 0.0 <= scores.min() <= scores.max() <= 1.0 + 1e-6
    for item in range(4):
        parts = INDEX.explain(interests, segment, item)
        assert sum(parts.values()) == pytest.approx(float(scores[item]), rel=1e-5, abs=1e-7)


def test_a_part_is_named_by_what_was_said():
    assert set(INDEX.explain(["음악"], "a", 1)) == {"interest:음악", "segment:a"}
    assert INDEX.segments == ["a", "b"]


def test_a_new_item_is_reached_by_its_tag_at_once():
    content = CONTENT.with_items(["코펠"], [["캠핑"]])
    grown = INDEX.with_items(content, [["캠핑"]])
    assert grown.score(["캠핑"], "a")[4] == 0.5
    assert grown.explain(["캠핑"], "a", 4) == {"interest:캠핑": 0.5, "segment:a": 0.0}
    assert INDEX.n_items == 4


def test_taken_apart_and_put_together_it_answers_the_same():
    again = PersonaIndex.from_arrays(INDEX.arrays())
    np.testing.assert_array_equal(again.score(["음악", "텐트"], "b"), INDEX.score(["음악", "텐트"], "b"))


def test_an_empty_catalogue_has_nothing_to_say():
    nobody = PersonaIndex.fit(ContentIndex.fit([], []), [], gather([], [], shape=(0, 0)).matrix, [])
    assert nobody.score(["a"], "b").size == 0
    assert PersonaIndex.from_arrays(nobody.arrays()).n_items == 0


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(BadInput):
        PersonaIndex.fit(CONTENT, TAGS[:3], LOG, ["a"] * 51)
    with pytest.raises(BadInput):
        PersonaIndex.fit(CONTENT, TAGS, LOG, ["a"])
    with pytest.raises(BadInput):
        INDEX.with_items(CONTENT, [["새"]])
