"""The algorithms once more, exact and slow: integers only, and by other formulas than ours."""


class TokenBucket:
    """GCRA's twin: a bucket of `capacity` tokens, filled at quota / window. Times in whole microseconds."""

    def __init__(self, quota: int, window_us: int, capacity: int) -> None:
        self.quota = quota
        self.window_us = window_us
        self.capacity = capacity
        self.level = capacity * window_us
        self.at = 0

    def take(self, now_us: int, cost: int = 1) -> bool:
        self.level = min(self.capacity * self.window_us, self.level + (now_us - self.at) * self.quota)
        self.at = now_us
        if self.level < cost * self.window_us:
            return False
        self.level -= cost * self.window_us
        return True


class CallsWithin:
    """At most `capacity` units within any window; looks at every call anew."""

    def __init__(self, quota: int, window_us: int, capacity: int) -> None:
        self.window_us = window_us
        self.capacity = capacity
        self.calls: list[tuple[int, int]] = []

    def take(self, now_us: int, cost: int = 1) -> bool:
        self.calls = [(at, units) for at, units in self.calls if at > now_us - self.window_us]
        if sum(units for _, units in self.calls) + cost > self.capacity:
            return False
        self.calls.append((now_us, cost))
        return True


class TwoWindows:
    """The sliding-window counter over a dictionary of fixed windows, in whole numbers."""

    def __init__(self, quota: int, window_us: int, capacity: int) -> None:
        self.window_us = window_us
        self.capacity = capacity
        self.counts: dict[int, int] = {}

    def take(self, now_us: int, cost: int = 1) -> bool:
        index, elapsed_us = divmod(now_us, self.window_us)
        before = self.counts.get(index - 1, 0) * (self.window_us - elapsed_us)
        if before + (self.counts.get(index, 0) + cost) * self.window_us > self.capacity * self.window_us:
            return False
        self.counts[index] = self.counts.get(index, 0) + cost
        return True


REFERENCES = {"gcra": TokenBucket, "sliding_window": CallsWithin, "sliding_counter": TwoWindows}
