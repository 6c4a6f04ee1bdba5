"""What of a model's words may be shown already: no mark that nobody gave, and no word of a refusal."""

from holdfast.rooms.knowledge.rules.citations import without_unknown
from holdfast.rooms.knowledge.rules.prompts import NO_ANSWER

LONGEST_MARK = 82
"""Characters from a bracket on that may still become a mark."""
_BEGINS = "[［【"


class Unsaid:
    """Takes words as they come; gives those that can be shown. `known` passages were given."""

    def __init__(self, known: int) -> None:
        self._known = known
        self._held = ""
        self._may_refuse = True

    def take(self, text: str) -> str:
        """What can be shown now, perhaps nothing."""
        self._held += text
        if self._may_refuse:
            begun = self._held.lstrip(" \n[\"'`*")
            if len(begun) < len(NO_ANSWER) and NO_ANSWER.startswith(begun):
                return ""
            if begun.startswith(NO_ANSWER):
                self._held = ""
                return ""
            self._may_refuse = False
        ready, self._held = self._held[: self._safe()], self._held[self._safe() :]
        return without_unknown(ready, self._known)

    def rest(self) -> str:
        """What was held back, when no more comes."""
        held, self._held = self._held, ""
        return without_unknown(held, self._known)

    def _safe(self) -> int:
        """Where an unfinished mark, or the white space before one, begins."""
        at = max(self._held.rfind(sign) for sign in _BEGINS)
        if (
            at >= 0
            and len(self._held) - at <= LONGEST_MARK
            and not any(sign in self._held[at:] for sign in "]］】\n")
        ):
            return len(self._held[:at].rstrip())
        return len(self._held.rstrip())
