"""Whether dead letters grow: so many new ones within ten minutes (requirement S: five)."""

import msgspec

WINDOW_MS = 600_000


class Growth(msgspec.Struct, frozen=True):
    """What was last judged, and what there is to say about it."""

    dead: int = 0
    new: int = 0
    is_raised: bool = False
    said: str = ""
    """A line for the log, when it has just begun or ended; empty otherwise."""

    @property
    def detail(self) -> str:
        """For a health check; empty when all is well."""
        if not self.is_raised:
            return ""
        return f"{self.new} new dead letters in 10 minutes, {self.dead} in all: `holdfast jobs dead`"


def judge(before: Growth, dead: int, new: int, threshold: int) -> Growth:
    """The next judgement, of `dead` letters in all and `new` ones within the window.

    It ends when fewer than half as many are new, so that one that comes and goes is no alarm each time.
    """
    raised = new >= threshold or (before.is_raised and new * 2 >= threshold)
    found = Growth(dead, new, raised)
    if raised and not before.is_raised:
        return Growth(dead, new, raised, found.detail)
    if before.is_raised and not raised:
        return Growth(
            dead, new, raised, f"dead letters no longer grow: {new} new in 10 minutes, {dead} in all"
        )
    return found
