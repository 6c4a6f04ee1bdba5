"""What is counted of an arm."""

import msgspec


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """Units counted, and how many of them were bad."""

    n: int = 0
    bad: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.n + other.n, self.bad + other.bad)

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(self.n - other.n, self.bad - other.bad)

    @property
    def rate(self) -> float:
        """The share of bad ones; of nothing, zero: ask for `n` first."""
        return self.bad / self.n if self.n else 0.0


NO_COUNTS = Counts()


class Delta(msgspec.Struct, frozen=True):
    """What both arms counted since the last turn, and how long that was."""

    treatment: Counts = NO_COUNTS
    control: Counts = NO_COUNTS
    seconds: float = 0.0
