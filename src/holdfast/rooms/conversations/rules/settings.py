"""The `[conversations]` section."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.rooms.conversations.rules.personas import Persona
from holdfast.rooms.conversations.rules.variants import Variant


class Config(msgspec.Struct, frozen=True):
    """Settings of the conversations room."""

    first_token_s: Annotated[
        float,
        Meta(gt=0, le=600, description="seconds until an answer begins; past them the turn is a timeout"),
    ] = 5.0
    total_s: Annotated[
        float, Meta(gt=0, le=3600, description="seconds for the whole answer, counted on a clock of its own")
    ] = 10.0
    on_concurrent: Annotated[
        Literal["conflict", "queue"],
        Meta(description="a message while another is being answered: 409, or answered after it"),
    ] = "conflict"
    queue: Annotated[
        int, Meta(ge=1, le=1000, description="messages that may wait in one conversation, in each process")
    ] = 8
    queue_s: Annotated[float, Meta(gt=0, le=600, description="seconds a message waits for its turn")] = 10.0
    on_repeat: Annotated[
        Literal["join", "conflict"],
        Meta(description="a repeated idempotency key while its answer is on its way: wait for it, or 409"),
    ] = "join"
    on_disconnect: Annotated[
        Literal["cancel", "finish"],
        Meta(description="when the last listener leaves: end the model's answer, or let it be finished"),
    ] = "cancel"
    heartbeat_s: Annotated[
        float, Meta(gt=0, le=600, description="seconds of silence after which a stream sends a comment")
    ] = 10.0
    keep_answers: Annotated[
        int, Meta(ge=0, le=100_000, description="ended answers kept in memory for streams that come back")
    ] = 256
    keep_answers_bytes: Annotated[
        int, Meta(ge=0, description="memory for them, in bytes; older ones come from the database, whole")
    ] = 4_194_304
    state_bytes: Annotated[
        int, Meta(ge=256, le=1024, description="bytes a conversation's state may take at rest")
    ] = 900
    context_bytes: Annotated[
        int, Meta(ge=256, le=10_000_000, description="bytes of earlier turns given to the model in full")
    ] = 16_384
    recall: Annotated[
        Literal["all", "archived", "off"],
        Meta(
            description="earlier messages given as passages when they matter: any, only those past the window"
        ),
    ] = "all"
    recall_messages: Annotated[int, Meta(ge=0, le=50, description="messages recalled at most")] = 4
    recall_bytes: Annotated[int, Meta(ge=64, le=1_000_000, description="bytes of them at most")] = 4_096
    recall_score: Annotated[
        float, Meta(ge=0, le=1, description="score from which a message matters, 0 to 1")
    ] = 0.12
    recall_memory_chars: Annotated[
        int,
        Meta(ge=0, description="characters of messages and their words kept in memory for recall"),
    ] = 8_388_608
    summarise_every: Annotated[
        int,
        Meta(
            ge=0, le=1000, description="folded exchanges after which a model rewrites the summary; 0: never"
        ),
    ] = 5
    summarise_after_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="seconds such a summary waits, so that a lively talk gets one, not many",
        ),
    ] = 2.0
    max_message_bytes: Annotated[
        int, Meta(ge=1, le=16_777_216, description="bytes of one message; more is 413")
    ] = 32_768
    max_messages: Annotated[
        int, Meta(ge=2, le=1_000_000, description="messages and answers of one conversation; more is 409")
    ] = 2_000
    ttl_days: Annotated[
        float, Meta(gt=0, le=36_500, description="days after its last message that a conversation is kept")
    ] = 30.0
    sweep_s: Annotated[float, Meta(gt=0, le=86_400, description="seconds between looks for expired ones")] = (
        60.0
    )
    release: Annotated[
        str,
        Meta(
            pattern=r"^([a-z0-9][a-z0-9._-]{0,99})?$(?!\n)",
            description="flag, release or experiment whose variants answer; empty: none is asked",
        ),
    ] = "conversations"
    variants: Annotated[
        dict[str, Variant],
        Meta(description="what answers under `release` beside `control`, which is this section itself"),
    ] = {}
    feedback_scale: Annotated[
        Literal["thumbs", "stars"],
        Meta(description="scores of an answer: -1 and 1, or 1 to 5; one scale, so that means mean something"),
    ] = "thumbs"
    personas: Annotated[
        dict[str, Persona],
        Meta(description="voices by name: style, language, limits; beside the built-in ones"),
    ] = {}

    def message_limit(self, persona: Persona) -> int:
        """Bytes of one message in this voice."""
        return persona.max_message_bytes or self.max_message_bytes

    def length_limit(self, persona: Persona) -> int:
        """Messages and answers of one conversation in this voice."""
        return persona.max_messages or self.max_messages

    @property
    def lease_s(self) -> float:
        """How long an answer's claim on its conversation holds: its time, and some to write it down."""
        return self.total_s + 5.0
