"""What counts as one: a unit that errs is counted once for the minute that follows, retries and all.

E-values are valid for units that err independently. Counting each retry, bursts of three rolled back 40 % of
healthy canaries. Until a unit errs each of its requests counts; its first error counts, and opens a burst;
what it does within the burst, error or success, counts neither as bad nor among `n`. So bad/n stays the
chance that a request errs, however long a user then retries, and a burst is never cut in two by the turn of a
minute.
"""

BURST_S = 60.0


def counts(burst_since_s: float | None, at_s: float, failed: bool) -> tuple[bool, float | None]:
    """Whether this one is counted, and since when the unit is in a burst then.

    `burst_since_s` is what the last call for this unit and gate gave; `at_s` any clock, the same for a unit.
    A clock that went back ends the burst rather than have it last.
    """
    if burst_since_s is not None and 0.0 <= at_s - burst_since_s < BURST_S:
        return False, burst_since_s
    return True, at_s if failed else None
