"""What conversations refuse, and what to do about each."""

from holdfast.kernel.errors import BadInput, Conflict, Misconfigured, NotFound, Problem, TooLarge
from holdfast.rooms.conversations.rules.turns import DONE, FAILED, TIMEOUT, Message, message_id


class UnknownConversation(NotFound):
    """No such conversation."""

    code = "conversation-unknown"


class UnknownMessage(NotFound):
    """No such answer in this conversation."""

    code = "conversation-unknown-message"


class Busy(Conflict):
    """The conversation is answering another message."""

    code = "conversation-busy"
    retryable = True


class Full(Conflict):
    """The conversation has as many messages as it may have."""

    code = "conversation-full"


class KeyReused(BadInput):
    """This idempotency key was already used with another message."""

    code = "conversation-key-reused"


class UnknownPersona(BadInput):
    """No such persona."""

    code = "conversation-unknown-persona"


class BadMessage(BadInput):
    """The message cannot be taken."""

    code = "conversation-bad-message"


class MessageTooLarge(TooLarge):
    """The message is too large."""

    code = "conversation-message-too-large"


class NoUser(BadInput):
    """Nobody whose conversations are meant."""

    code = "conversation-no-user"


class NotYours(Problem):
    """These are the conversations of somebody else."""

    code = "conversation-not-yours"
    status = 403


class AnswerTimedOut(Problem):
    """The answer did not come in time; the turn is kept, with what there was of it."""

    code = "conversation-timeout"
    status = 504
    retryable = True


class AnswerFailed(Problem):
    """There is no answer; the turn is kept."""

    code = "conversation-failed"
    status = 502
    retryable = True


class AnswerStopped(Problem):
    """The answer was ended early; the turn is kept, with what there was of it."""

    code = "conversation-stopped"
    status = 503
    retryable = True


class BadVariant(Misconfigured):
    """A variant of the release cannot be used."""

    code = "conversation-bad-variant"


class BadScore(BadInput):
    """The score cannot be taken."""

    code = "conversation-bad-score"


class AlreadyRated(Problem):
    """The answer has another score already."""

    code = "conversation-already-rated"
    status = 409


def unknown_conversation() -> UnknownConversation:
    """The same words whether it never was, has expired, was erased, or belongs to somebody else."""
    return UnknownConversation(
        "no such conversation",
        hint="it may have expired or belong to another user; start one with POST /api/v2/conversations/start",
    )


def check_message(text: str, limit: int) -> str:
    """`text` when it can be taken; raises BadMessage (422) or MessageTooLarge (413)."""
    if len(text) > limit or len(text.encode("utf-8", "replace")) > limit:
        raise MessageTooLarge(
            f"a message of {len(text.encode('utf-8', 'replace'))} bytes", hint=f"send at most {limit} bytes"
        )
    if not text.strip():
        raise BadMessage("the message is empty", hint='send "message" with some text')
    if "\0" in text:
        raise BadMessage("the message holds a NUL character", hint="remove it; it is no text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadMessage(
            "the message holds half of a surrogate pair", hint="send whole characters, as UTF-8"
        ) from None
    return text


def check_key(key: str) -> str:
    """An idempotency key that can be kept."""
    if len(key) > 256 or "\0" in key:
        raise BadInput("the idempotency key is too long or holds NUL", hint="send a UUID")
    return key


def why_not_whole(message: Message) -> Problem | None:
    """Why an answer is not whole, as a Problem with the turn on it; None for one that is."""
    if message.status == DONE:
        return None
    kinds: dict[str, type[Problem]] = {TIMEOUT: AnswerTimedOut, FAILED: AnswerFailed}
    error = message.facts.get("error", {})
    return kinds.get(message.status, AnswerStopped)(
        error.get("detail", ""),
        hint=error.get("hint") or "the turn is kept; ask again, with a new idempotency key",
        cause=error.get("code", ""),
        message_id=message_id(message.seq),
        turn_status=message.status,
        text=message.text,
    )
