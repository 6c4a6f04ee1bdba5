"""What of a model's words may be shown before they are checked."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.rooms.knowledge.rules.citations import without_unknown
from holdfast.rooms.knowledge.rules.unsaid import Unsaid

PIECES = st.lists(
    st.sampled_from(["[1]", " [9]", "[", "1", "] ", "말 ", "a b", "\n", "NO_", "ANSWER", "【2】"])
)


def shown(pieces, known=2):
    unsaid = Unsaid(known)
    taken = [unsaid.take(piece) for piece in pieces]
    return "".join(taken), unsaid.rest()


@given(PIECES)
def test_the_pieces_in_which_it_comes_do_not_matter(pieces):
    text = "말하자면 " + "".join(pieces)
    head, tail = shown(["말하자면 ", *pieces])
    assert head + tail == without_unknown(text, 2)
    assert shown(list(text)) == shown([text]) or "".join(shown(list(text))) == head + tail


def test_a_refusal_is_never_shown():
    assert shown(["NO_", "ANS", "WER"]) == ("", "")
    assert shown(["NO_ANSWER."])[0] == ""


def test_what_only_begins_like_a_refusal_is_shown():
    assert "".join(shown(["NO", " is the answer"])) == "NO is the answer"
