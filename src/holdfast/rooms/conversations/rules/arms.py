"""The arms of the room's release: what each variant does otherwise than the section `[conversations]`.

A conversation belongs to a user and assignment is by user, so it stays in its arm while the rollout grows.
When the release rolls back, it goes on as control from its next message: that is what a rollback is for.
"""

from collections.abc import Mapping

import msgspec

from holdfast.rooms.conversations.rules.personas import DEFAULT, Persona, chosen
from holdfast.rooms.conversations.rules.problems import BadVariant
from holdfast.rooms.conversations.rules.settings import Config
from holdfast.rooms.conversations.rules.variants import Variant

CONTROL = "control"
_OF_THE_VOICE = ("style", "style_ko", "model", "max_tokens", "temperature")


class Arm(msgspec.Struct, frozen=True):
    """What a message is answered with: the settings, and how the voice differs."""

    config: Config
    name: str = ""
    """The variant; empty where nobody was asked for one."""
    variant: Variant = Variant()

    def voice(self, name: str) -> Persona:
        """The persona of that name as this arm has it."""
        if name == DEFAULT and self.variant.persona:
            name = self.variant.persona
        _, persona = chosen(name, self.config.personas)
        said = {key: getattr(self.variant, key) for key in _OF_THE_VOICE}
        if said["style"] is not None and said["style_ko"] is None:
            said["style_ko"] = ""  # else Korean conversations would keep control's prompt
        return msgspec.structs.replace(persona, **{key: one for key, one in said.items() if one is not None})


def arms_of(config: Config) -> Mapping[str, Arm]:
    """Every arm by name; raises BadVariant for a second control or a persona that is not there."""
    if CONTROL in config.variants:
        raise BadVariant(
            "[conversations.variants.control] is the section [conversations] itself",
            hint="move its settings there, or give the variant another name",
        )
    arms = {CONTROL: Arm(config, CONTROL)}
    for name, variant in config.variants.items():
        given = msgspec.structs.asdict(variant)
        said = {
            key: value
            for key, value in given.items()
            if value is not None and key in config.__struct_fields__ and key not in _OF_THE_VOICE
        }
        arms[name] = Arm(msgspec.structs.replace(config, **said), name, variant)
        chosen(variant.persona, config.personas)
    return arms
