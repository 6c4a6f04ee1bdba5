"""Messages as they are kept: roles, what may become of an answer, and the numbers between them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.rooms.conversations.rules.state import Exchange

PENDING, DONE, TIMEOUT, FAILED, CANCELLED, INTERRUPTED = (
    "pending",
    "done",
    "timeout",
    "failed",
    "cancelled",
    "interrupted",
)
STATUSES = (PENDING, DONE, TIMEOUT, FAILED, CANCELLED, INTERRUPTED)
USER, ASSISTANT = "user", "assistant"


class Message(msgspec.Struct, frozen=True, gc=False):
    """One row of the log. Messages have odd numbers, answers even ones; 1 is the first message.

    Here as in the room's other records nothing refers back, so that the collector need not look at them.
    """

    seq: int
    role: str
    text: str
    status: str
    at_ms: int
    done_ms: int = 0
    until_ms: int = 0
    """Of a pending answer: when its claim on the conversation ends."""
    terms: str = ""
    """What the recall looks for; empty: it is no source."""
    facts: dict[str, Any] = {}
    """Of an answer: model, usage, citations, what was recalled, why it failed."""

    def is_running(self, now_ms: int) -> bool:
        """Whether somebody may still be at it."""
        return self.status == PENDING and self.until_ms > now_ms

    def is_left(self, now_ms: int) -> bool:
        """Whether whoever was at it is gone."""
        return self.status == PENDING and self.until_ms <= now_ms


def message_id(seq: int) -> str:
    """The public name of a message within its conversation."""
    return f"m{seq}"


def seq_of(name: str) -> int:
    """The number of a public name; 0 when it is none."""
    digits = name[1:]
    if name[:1] != "m" or not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        return 0
    return int(digits)


def exchanges(messages: Sequence[Message]) -> list[Exchange]:
    """The ended exchanges among `messages`, which stand in order."""
    said: dict[int, Message] = {message.seq: message for message in messages if message.role == USER}
    found = []
    for answer in messages:
        asked = said.get(answer.seq - 1)
        if answer.role == ASSISTANT and answer.status != PENDING and asked is not None:
            found.append(Exchange(answer.seq, asked.text, answer.text, answer.status, bool(answer.terms)))
    return found
