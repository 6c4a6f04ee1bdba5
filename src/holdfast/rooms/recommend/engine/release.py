"""Which arm of the release answers whom: asked where it is used, because asking is the exposure."""

from holdfast.ports.flags import Flags
from holdfast.rooms.recommend.rules.settings import CONTROL, Config

MEANING = "what personalised recommendations are made with; variants stand in [recommend.variants]"


class Release:
    """The section's settings as control, and each variant's, by the flag that says who gets which."""

    def __init__(self, config: Config, flags: Flags) -> None:
        self.control = config
        self._flags = flags
        self._arms = config.arms()
        self._is_on = bool(config.release and config.variants)
        if config.release:
            flags.offer(config.release, tuple(self._arms), MEANING)

    def arm(self, user_id: str) -> tuple[str, Config]:
        """The variant that answers this user now, "" where there is no release, and its settings."""
        if not self._is_on:
            return "", self.control
        name = self._flags.variant(self.control.release, user_id)
        found = self._arms.get(name)
        return (CONTROL, self.control) if found is None else (name, found)
