"""Plain text: only its encoding is to be found."""

from holdfast.rooms.knowledge.rules.draft import Draft
from holdfast.rooms.knowledge.rules.encodings import decoded
from holdfast.rooms.knowledge.rules.parsed import PLAIN, Limits, Parsed


def read_plain(raw: bytes, limits: Limits) -> Parsed:
    """The text as it is, cleaned."""
    draft = Draft(limits)
    draft.add(text_of(raw, draft))
    return draft.finish(PLAIN)


def text_of(raw: bytes, draft: Draft, declared: str = "") -> str:
    """The decoded bytes; with a warning where some of them fit no encoding."""
    text, encoding = decoded(raw, declared)
    lost = text.count("\ufffd")
    if lost:
        draft.warn(f"{lost} places are not valid {encoding}")
    return text
