"""The `[recommend]` section, and what the variants of its release do otherwise."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.rooms.recommend.rules.problems import BadVariant

Source = Literal["collaborative", "content", "persona"]
CONTROL = "control"


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One arm of the release, `[recommend.variants.<name>]`; what it leaves out is as the section says."""

    sources: tuple[Source, ...] | None = None
    evidence_k: Annotated[float, Meta(gt=0, le=10_000)] | None = None
    prior_content: Annotated[float, Meta(ge=0, le=1)] | None = None
    prior_persona: Annotated[float, Meta(ge=0, le=1)] | None = None
    prior_popularity: Annotated[float, Meta(ge=0, le=1)] | None = None
    diversity: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_history: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    explore_slots: Annotated[int, Meta(ge=0, le=20)] | None = None
    explore_single: Annotated[float, Meta(ge=0, le=1)] | None = None


class Config(msgspec.Struct, frozen=True):
    """Settings of the recommend room."""

    limit: Annotated[
        int, Meta(ge=1, le=100, description="items of an answer that does not ask for a number")
    ] = 10
    max_limit: Annotated[int, Meta(ge=1, le=1000, description="items an answer may ask for at most")] = 100
    release: Annotated[
        str,
        Meta(
            pattern=r"^([a-z0-9][a-z0-9._-]{0,99})?$(?!\n)",
            description="flag, release or experiment whose variants answer; empty: none is asked",
        ),
    ] = "recommend"
    variants: Annotated[
        dict[str, Variant],
        Meta(description="what answers under `release` beside `control`, which is this section itself"),
    ] = {}
    sources: Annotated[
        tuple[Source, ...],
        Meta(description="what personal scores rest on; popularity fills in where they say nothing"),
    ] = ("collaborative", "content", "persona")
    evidence_k: Annotated[
        float,
        Meta(gt=0, le=10_000, description="liked items after which collaborative scores count for one half"),
    ] = 5.0
    prior_content: Annotated[
        float, Meta(ge=0, le=1, description="weight of content in what collaborative scores leave over")
    ] = 0.5
    prior_persona: Annotated[
        float, Meta(ge=0, le=1, description="weight of the persona in what collaborative scores leave over")
    ] = 0.35
    prior_popularity: Annotated[
        float, Meta(ge=0, le=1, description="weight of popularity in what collaborative scores leave over")
    ] = 0.15
    diversity: Annotated[
        float, Meta(ge=0, le=1, description="how much likeness to an earlier pick costs, 0 to 1")
    ] = 0.3
    max_history: Annotated[
        int, Meta(ge=1, le=10_000, description="newest liked items that are scored; all of them are excluded")
    ] = 500
    explore_slots: Annotated[
        int, Meta(ge=0, le=20, description="places of each answer drawn at random, their chance recorded")
    ] = 1
    explore_single: Annotated[
        float, Meta(ge=0, le=1, description="chance that an answer of one item is the random one")
    ] = 0.1
    exposure_cap: Annotated[
        float, Meta(gt=0, le=1, description="largest share of recent users one item may be shown to")
    ] = 0.3
    exposure_window: Annotated[
        int, Meta(ge=20, le=100_000, description="recent users over which exposure is counted")
    ] = 1000
    trending_days: Annotated[
        float, Meta(gt=0, le=3650, description="how far back trending looks, in days")
    ] = 14.0
    rating_scale: Annotated[
        float, Meta(gt=0, le=1000, description="the best rating; half of it says nothing either way")
    ] = 5.0
    own_user_only: Annotated[
        bool, Meta(description="a caller may only ask for the user it is identified as")
    ] = False
    train: Annotated[bool, Meta(description="whether this process trains when it is due")] = True
    train_after_events: Annotated[
        int, Meta(ge=1, description="new events after which a new model is trained")
    ] = 2000
    train_after_s: Annotated[
        float, Meta(gt=0, description="seconds after which a new model is trained if any event is new")
    ] = 3600.0
    train_min_events: Annotated[int, Meta(ge=1, description="events before the first training")] = 200
    gate_tolerance: Annotated[
        float,
        Meta(ge=0, le=1, description="share of NDCG a new model may lose and still replace the current"),
    ] = 0.02
    model_bytes: Annotated[
        int, Meta(ge=1_000_000, description="memory a model may take, in bytes; larger ones are not tried")
    ] = 536_870_912
    ease_items: Annotated[
        int, Meta(ge=0, le=20_000, description="largest catalogue on which EASE is tried; 0 never tries it")
    ] = 6000
    refresh_s: Annotated[
        float, Meta(gt=0, le=600, description="seconds between looks for new texts, counts and models")
    ] = 2.0
    inline_items: Annotated[
        int, Meta(ge=0, description="catalogues up to this size are scored without a thread")
    ] = 3000
    repeat: Annotated[
        bool,
        Meta(description="give a user's last answer again while nothing it was made of has changed"),
    ] = True
    keep_shown_days: Annotated[
        float, Meta(gt=0, le=3650, description="days the log of shown items is kept")
    ] = 90.0
    keep_keys_days: Annotated[
        float, Meta(gt=0, le=365, description="days an idempotency key is remembered")
    ] = 7.0

    def arms(self) -> Mapping[str, "Config"]:
        """Every variant by name with all its settings; raises BadVariant for a second control."""
        if CONTROL in self.variants:
            raise BadVariant(
                "[recommend.variants.control] is the section [recommend] itself",
                hint="move its settings there, or give the variant another name",
            )
        arms = {CONTROL: self}
        for name, variant in self.variants.items():
            said = {key: value for key, value in msgspec.structs.asdict(variant).items() if value is not None}
            arms[name] = msgspec.structs.replace(self, **said)
        return arms

    def priors(self) -> dict[str, float]:
        """Weights of the sources that share what the collaborative score leaves over."""
        return {
            "content": self.prior_content,
            "persona": self.prior_persona,
            "popularity": self.prior_popularity,
        }
