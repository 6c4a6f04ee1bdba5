"""What one variant of the room's release may do otherwise than the section `[conversations]`."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One arm, `[conversations.variants.<name>]`; what it leaves out is as the section says."""

    persona: str = ""
    """Who answers in conversations that chose no persona."""
    style: str | None = None
    """The system prompt in place of every persona's; in Korean `style_ko`, where that is given."""
    style_ko: str | None = None
    model: str | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    context_bytes: Annotated[int, Meta(ge=256, le=10_000_000)] | None = None
    recall: Literal["all", "archived", "off"] | None = None
    recall_messages: Annotated[int, Meta(ge=0, le=50)] | None = None
    recall_bytes: Annotated[int, Meta(ge=64, le=1_000_000)] | None = None
    recall_score: Annotated[float, Meta(ge=0, le=1)] | None = None
    summarise_every: Annotated[int, Meta(ge=0, le=1000)] | None = None
