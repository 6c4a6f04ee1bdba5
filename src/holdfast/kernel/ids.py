"""Identifiers: W3C trace and span ids, request ids, and sortable ids for rows and files."""

import os
import random
import weakref
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case: sorts as the number does
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_SHIFTS = tuple(range(120, -1, -10))


class IdSource:
    """Random ids from a generator seeded by the operating system once a process.

    A Mersenne Twister is enough: these ids must be unique, never secret. A forked child
    reseeds, or two workers would hand out the same ids.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed if seed is not None else os.urandom(32))  # noqa: S311 - ids, not secrets
        self._risen = 0
        self.bits: Callable[[int], int] = self._random.getrandbits
        """That many random bits, for whoever makes ids too often to pay for a call."""
        if seed is None:
            weak = weakref.WeakMethod(self._reseed)
            os.register_at_fork(after_in_child=lambda: (found := weak()) and found())

    def _reseed(self) -> None:
        self._random.seed(os.urandom(32))

    def trace_id(self) -> str:
        """32 lower-case hex digits, never all zero (W3C Trace Context 3.2.2.3)."""
        return f"{self.bits(128) or 1:032x}"

    def span_id(self) -> str:
        """16 lower-case hex digits, never all zero (W3C Trace Context 3.2.2.4)."""
        return f"{self.bits(64) or 1:016x}"

    def sortable(self, wall_s: float) -> str:
        """26 characters that sort by time: 48 bits of milliseconds, 80 random bits (the ULID layout)."""
        return _spelled((int(wall_s * 1000) & (1 << 48) - 1) << 80 | self.bits(80))

    def rising(self, wall_s: float) -> str:
        """As `sortable`, and always behind the one before it of this source: what came first stays first."""
        number = (int(wall_s * 1000) & (1 << 48) - 1) << 80 | self.bits(80)
        if number >> 80 <= self._risen >> 80:
            # The same millisecond, or a clock that stepped back. The step leaves room for other processes.
            number = self._risen + 1 + self.bits(40)
        self._risen = number
        return _spelled(number)


def _spelled(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
