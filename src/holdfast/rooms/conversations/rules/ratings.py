"""What a user thought of an answer: one score each, the first that was given."""

import msgspec

from holdfast.rooms.conversations.rules.problems import AlreadyRated, BadScore

SCALES = {"thumbs": (-1, 1), "stars": (1, 2, 3, 4, 5)}
MOST_TEXT_BYTES = 4_096


class Rating(msgspec.Struct, frozen=True):
    """One answer's score as it is kept."""

    score: int
    text: str
    at_ms: int


def check_rating(scale: str, score: int, text: str) -> None:
    """Raises BadScore for what the scale does not have, or a text that is too long or cannot be kept."""
    scores = SCALES[scale]
    if score not in scores:
        listed = ", ".join(map(str, scores))
        raise BadScore(f"a score of {score}", hint=f"send one of {listed} (conversations.feedback_scale)")
    if len(text.encode("utf-8", "replace")) > MOST_TEXT_BYTES or "\0" in text:
        raise BadScore(
            "the text is too long or holds NUL", hint=f"send at most {MOST_TEXT_BYTES} bytes of text"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadScore("the text holds half of a surrogate pair", hint="send whole characters") from None


def check_repeat(kept: Rating, score: int) -> None:
    """Raises AlreadyRated where the same answer was given another score before."""
    if kept.score != score:
        raise AlreadyRated(
            f"this answer has its score: {kept.score}", hint="the first score of an answer is what counts"
        )
