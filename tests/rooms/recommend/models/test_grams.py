import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.recommend.models.grams import BUCKETS, MAX_CHARS, gram_counts, normalised


def counts(*texts: str, tags: list[list[str]] | None = None) -> np.ndarray:
    return gram_counts(texts, tags or [[] for _ in texts], 1.0).toarray()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  Two\t WORDS\n", "two words"),
        ("ＡＢＣ１２", "abc12"),
        ("ﬁne", "fine"),
        ("\x00a\x1fb", "a b"),
        ("한글", "한글"),
        ("\u1112\u1161\u11ab", "한"),
        ("", ""),
    ],
)
def test_texts_are_compared_in_one_form(raw: str, expected: str):
    assert normalised(raw) == expected


def test_a_word_has_its_grams_of_two_three_and_four_with_its_edges():
    # " ab ": the pairs " a", "ab", "b "; the triples " ab", "ab "; the whole " ab "
    assert counts("ab").sum() == 6


def test_no_gram_straddles_two_words():
    apart = counts("ab") + counts("cd")
    np.testing.assert_array_equal(counts("ab cd"), apart)


def test_texts_never_run_into_each_other():
    together = counts("무선", "이어폰")
    np.testing.assert_array_equal(together[0], counts("무선")[0])
    np.testing.assert_array_equal(together[1], counts("이어폰")[0])


def test_a_tag_is_one_feature_however_it_is_written_and_repeated():
    found = gram_counts(["", ""], [["Sci-Fi", " sci-fi", ""], ["sci-fi"]], 6.0)
    assert found.nnz == 2
    assert found.data.tolist() == [6.0, 6.0]
    assert found.indices[0] == found.indices[1]


def test_the_hash_is_the_same_in_every_process():
    code = (
        "from holdfast.rooms.recommend.models.grams import gram_counts;"
        "found = gram_counts(['무선 이어폰 abc'], [['전자']], 2.0); print(sorted(found.indices.tolist()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    here = sorted(gram_counts(["무선 이어폰 abc"], [["전자"]], 2.0).indices.tolist())
    assert outputs == {f"{here}\n".encode()}


@given(st.text(max_size=50))
def test_any_text_has_buckets_within_bounds(text: str):
    found = gram_counts([text, "x"], [[text], []], 1.0)
    assert found.shape == (2, BUCKETS)
    assert np.isfinite(found.data).all()


def test_lone_surrogates_and_endless_texts_are_read():
    assert counts("\ud800ab").sum() > 0
    assert counts("ab " * 1_000_000).sum() <= 3 * (MAX_CHARS + 2)
