"""Which arm of the release answers whom: asked where it is used, because asking is the exposure."""

from holdfast.ports.flags import Flags
from holdfast.rooms.conversations.rules.arms import CONTROL, Arm, arms_of
from holdfast.rooms.conversations.rules.settings import Config

MEANING = "what conversations are answered with; variants stand in [conversations.variants]"


class Release:
    """The section's settings as control, and each variant's, by the flag that says who gets which."""

    def __init__(self, config: Config, flags: Flags) -> None:
        self.control = Arm(config)
        self._name = config.release
        self._flags = flags
        self._arms = arms_of(config)
        self._is_on = bool(config.release and config.variants)
        if config.release:
            flags.offer(config.release, tuple(self._arms), MEANING)

    def arm(self, owner: str) -> Arm:
        """What this user's message is answered with now; whom nobody knows gets control, uncounted."""
        if not self._is_on or not owner:
            return self.control
        return self._arms.get(self._flags.variant(self._name, owner)) or self._arms[CONTROL]
