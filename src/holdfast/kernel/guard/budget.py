"""How many extra calls - retries and hedges together - a dependency may get."""

from holdfast.kernel.guard.window import Window


class Budget:
    """At most `share` of the calls of the last `window_s` seconds as extras, but always `floor` of them.

    One budget for retries and hedges, so that a slow dependency never gets both. Calls are counted when
    they begin. What is refused is the extra alone; calls under way go on. (Google SRE book, chapter 21.)
    """

    __slots__ = ("floor", "refused", "share", "window")

    def __init__(self, share: float = 0.2, floor: int = 3, window_s: float = 30.0) -> None:
        if not 0 <= share <= 1 or floor < 0 or window_s <= 0:
            raise ValueError("share lies in 0..1, floor is not negative, window_s is positive")
        self.share = share
        self.floor = floor
        self.window = Window(window_s)
        self.refused = 0
        """Extras that there was no room for, since the start."""

    def count(self, now: float) -> None:
        """A call begins."""
        if now >= self.window.turns_at:
            self.window.turn(now)
        self.window.calls += 1

    def left(self, now: float) -> int:
        """Extras that may be taken now."""
        calls, extras = self.window.totals(now)
        return max(0, allowed(calls, self.share, self.floor) - extras)

    def take(self, now: float) -> bool:
        """One extra, if there is room for it."""
        if self.left(now) < 1:
            self.refused += 1
            return False
        self.window.marked += 1
        return True


def allowed(calls: int, share: float, floor: int) -> int:
    """Extras that `calls` calls allow.

    >>> [allowed(n, 0.2, 3) for n in (0, 10, 15, 20, 100)]
    [3, 3, 3, 4, 20]
    """
    # A hair is added because 0.07 * 100 is less than 7 in binary.
    return max(floor, int(share * calls + 1e-9))
