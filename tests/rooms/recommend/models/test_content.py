import numpy as np
import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.recommend.models.content import MAX_FEATURES, ContentIndex

TEXTS = [
    "무선 이어폰 블루투스",
    "블루투스 스피커",
    "유선이어폰",
    "캠핑 텐트 camping tent",
    "",
    "Camping chair",
]
TAGS = [["전자"], ["전자"], ["전자"], ["캠핑"], [], ["캠핑"]]
INDEX = ContentIndex.fit(TEXTS, TAGS)


def test_korean_is_found_whether_it_is_spaced_or_not():
    for text in ("무선이어폰", "무선 이어폰을", "이어폰"):
        assert set(np.argsort(-INDEX.query(text))[:2]) == {0, 2}


def test_an_item_is_like_what_shares_its_words_and_tags_and_not_itself():
    found = INDEX.similar(3)
    assert int(found.argmax()) == 5
    assert found[3] == 0.0
    assert found.max() <= 1.0


def test_a_text_finds_itself_with_cosine_one():
    assert INDEX.query(TEXTS[3], TAGS[3])[3] == pytest.approx(1.0, abs=1e-5)


def test_an_item_without_text_and_tags_is_like_nothing_and_breaks_nothing():
    assert not INDEX.similar(4).any()
    assert not INDEX.query("", ()).any()


@pytest.mark.parametrize(
    "index", [INDEX, INDEX.with_items(["고급 캠핑 의자"], [["캠핑"]])], ids=["fit", "grown"]
)
def test_parts_sum_to_the_score(index: ContentIndex):
    history = np.asarray([3, index.n_items - 1, 0, 3])
    weights = np.asarray([1.0, 0.5, -0.25, 1.0], dtype=np.float32)
    scores = index.score(history, weights)
    for item in range(index.n_items):
        parts = index.explain(history, weights, item)
        assert float(parts.sum()) == pytest.approx(float(scores[item]), rel=1e-5, abs=1e-6)


def test_a_new_item_is_reached_at_once_and_the_old_index_is_unchanged():
    grown = INDEX.with_items(["방수 텐트"], [["캠핑"]]).with_items(["골프 장갑"], [[]])
    assert (INDEX.n_items, grown.n_items) == (6, 8)
    assert grown.query("방수 텐트").argmax() == 6
    assert grown.similar(3)[6] > 0
    assert grown.score(np.asarray([7]), np.ones(1, dtype=np.float32)).argmax() == 7
    np.testing.assert_array_equal(grown.query("스피커")[:6], INDEX.query("스피커"))


def test_an_index_may_begin_empty():
    grown = ContentIndex.fit([], []).with_items(["첫 상품"], [[]])
    assert grown.query("상품").argmax() == 0
    assert grown.query("상품")[0] > 0


def test_taken_apart_and_put_together_it_answers_the_same():
    grown = INDEX.with_items(["방수 텐트"], [["캠핑"]])
    again = ContentIndex.from_arrays(grown.arrays())
    np.testing.assert_allclose(again.query("텐트"), grown.query("텐트"), rtol=1e-6)
    assert again.with_items(["a"], [[]]).n_items == 8


def test_an_empty_history_scores_zero():
    nothing = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    assert not INDEX.score(*nothing).any()
    assert INDEX.explain(*nothing, 2).size == 0


def test_a_long_text_keeps_a_bounded_number_of_features():
    text = "".join(chr(0xAC00 + 7 * place) for place in range(900))
    assert ContentIndex.fit([text], [["t"]]).vectors(np.asarray([0])).values.size == MAX_FEATURES


@pytest.mark.parametrize("weights", [[float("nan")], [1.0, 1.0]])
def test_bad_weights_are_refused(weights: list[float]):
    with pytest.raises(BadInput):
        INDEX.score(np.asarray([1]), np.asarray(weights, dtype=np.float32))


def test_texts_and_tags_must_pair():
    with pytest.raises(BadInput):
        ContentIndex.fit(["a", "b"], [[]])
