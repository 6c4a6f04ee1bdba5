"""Which regular expressions may be asked of attributes: those that cannot take long on any text.

Python's engine goes back over every choice that it made. So choices are bounded: none inside what repeats
(exponential), few repetitions (each multiplies by the text's length), few alternatives and optional parts
(each multiplies by their number). What is left takes milliseconds at worst, on texts of LONGEST_MATCHED.
"""

import re

LONGEST_MATCHED = 256
"""Characters of an attribute that are looked at; of a longer one nothing is said: it does not match."""
LONGEST_PATTERN = 200
MOST_WAYS = (4096, 256, 4)
"""Ways through a pattern's alternatives and optional parts, by how many repetitions it has."""
_COUNTED = re.compile(r"\{(\d*)(,?)(\d*)\}")


def pattern_fault(pattern: object) -> str:
    """Why this pattern may not be used; "" where it may."""
    if not isinstance(pattern, str):
        return "a pattern is text"
    if len(pattern) > LONGEST_PATTERN:
        return f"a pattern has at most {LONGEST_PATTERN} characters"
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"not a regular expression: {error}"
    return _Walk(pattern).fault()


class _Walk:
    """One pass over a valid pattern, counting where it can go more ways than one."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._varies = [False]
        self._bars = [0]
        self._ways = 1
        self._repeats = 0
        self._after_varying_group = False

    def fault(self) -> str:
        at = 0
        while at < len(self._pattern):
            try:
                at += self._step(at)
            except ValueError as refused:
                return str(refused)
        self._ways *= self._bars[0] + 1
        if self._repeats >= len(MOST_WAYS):
            return f"at most {len(MOST_WAYS) - 1} repetitions stand in one pattern"
        if self._ways > MOST_WAYS[self._repeats]:
            return "too many alternatives and optional parts: use `in`, or several conditions"
        return ""

    def _step(self, at: int) -> int:
        """The width of what stands here."""
        char, pattern = self._pattern[at], self._pattern
        quantified = char in "*+?" or (char == "{" and _COUNTED.match(pattern, at) is not None)
        if quantified:
            return self._quantifier(at)
        self._after_varying_group = False
        if char == "\\":
            if pattern[at + 1].isdigit():
                raise ValueError("references back are not taken")
            return 2
        if char == "[":
            return _class_width(pattern, at)
        if char == "(":
            return self._opens(at)
        if char == ")":
            self._ways *= self._bars.pop() + 1
            self._after_varying_group = self._varies.pop()
            self._varies[-1] |= self._after_varying_group
        elif char == "|":
            self._bars[-1] += 1
            self._varies[-1] = True
        return 1

    def _opens(self, at: int) -> int:
        plain = self._pattern[at + 1] != "?"
        if not plain and self._pattern[at + 2] != ":":
            raise ValueError("of groups only (...) and (?:...) are taken")
        self._varies.append(False)
        self._bars.append(0)
        return 1 if plain else 3

    def _quantifier(self, at: int) -> int:
        if self._after_varying_group and self._pattern[at] != "?":
            raise ValueError("what repeats may hold neither repetitions nor alternatives")
        counted = _COUNTED.match(self._pattern, at)
        width = 1 if counted is None else len(counted[0])
        if self._pattern[at] == "?":
            self._ways *= 2
        elif counted is None or counted[2]:
            self._repeats += 1
        self._varies[-1] = True
        return width + (self._pattern[at + width : at + width + 1] in ("?", "+"))


def _class_width(pattern: str, at: int) -> int:
    end = at + 1
    if pattern[end] == "^":
        end += 1
    if pattern[end] == "]":
        end += 1
    while pattern[end] != "]":
        end += 2 if pattern[end] == "\\" else 1
    return end - at + 1
