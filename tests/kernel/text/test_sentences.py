"""Where sentences end, and that their offsets leave nothing out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.text.sentences import MAX_SENTENCE, sentences


def split(text):
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        (" \n\t", []),
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ("그는 떠났다. 나는 남았다.", ["그는 떠났다.", "나는 남았다."]),
        ("그는 떠났다.나는 남았다.", ["그는 떠났다.", "나는 남았다."]),
        ("1989. 3. 12. 그는 돌아왔다. 끝.", ["1989. 3. 12. 그는 돌아왔다.", "끝."]),
        ("Pi is 3.14 or so. Yes.", ["Pi is 3.14 or so.", "Yes."]),
        ("Dr. Kim met Mr. Lee at 5 p.m. today. Good.", ["Dr. Kim met Mr. Lee at 5 p.m. today.", "Good."]),
        ("J. R. R. Tolkien wrote it. I read it.", ["J. R. R. Tolkien wrote it.", "I read it."]),
        ("1. First point. 2. Second point.", ["1. First point.", "2. Second point."]),
        ("“간다.”라고 그가 말했다. 그는 갔다.", ["“간다.”라고 그가 말했다.", "그는 갔다."]),
        ("“간다.” 라고 그가 말했다.", ["“간다.” 라고 그가 말했다."]),
        ('"Stop!" he said. She did.', ['"Stop!" he said.', "She did."]),
        ("今日は晴れ。明日は雨。", ["今日は晴れ。", "明日は雨。"]),
        ("첫 줄\n둘째 줄\n\n셋째 줄", ["첫 줄", "둘째 줄", "셋째 줄"]),
        ("정말...? 그래!!", ["정말...?", "그래!!"]),
        ("(그는 갔다.) 나는 왔다.", ["(그는 갔다.)", "나는 왔다."]),
    ],
)
def test_where_sentences_end(text, wanted):
    assert split(text) == wanted


@given(st.text(alphabet=st.sampled_from('가나다 .!?\n"”’1aB다'), max_size=300) | st.text(max_size=200))
def test_nothing_is_left_out_but_white_space(text):
    spans = sentences(text)
    at = 0
    for start, end in spans:
        assert at <= start < end
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


@pytest.mark.parametrize("text", ["가" * 2_000, "단어 " * 1_000, "x" * 599 + " y"])
def test_what_runs_on_is_cut(text):
    assert all(end - start <= MAX_SENTENCE for start, end in sentences(text))
    assert "".join("".join(split(text)).split()) == "".join(text.split())
