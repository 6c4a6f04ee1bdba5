"""Keys of entries that differ by variant: what one arm of an experiment computed is never another's answer.

The entry of an arm lies under the caller's key with its variants behind it, so that a prefix reaches it, and
has a tag made of the caller's key, so that whoever drops that key, anywhere, drops the entries of all arms.
"""

from collections.abc import Mapping

APART = "\x1f"
"""Between a key and its variants (ASCII's own unit separator)."""


def arms_of(variants: Mapping[str, str]) -> str:
    """The variants as text, the same in whatever order they were assigned.

    >>> arms_of({"search": "b", "price": "control"})
    'price=control\\x1fsearch=b'
    """
    if len(variants) == 1:  # what nearly all requests of an experiment have: no list, no sorting
        for flag, variant in variants.items():
            return f"{flag}={variant}"
    return APART.join([f"{flag}={variant}" for flag, variant in sorted(variants.items())])


def key_of(key: str, arms: str) -> str:
    """Where the entry of these arms lies; the key itself where there are none."""
    return f"{key}{APART}{arms}" if arms else key


def tag_of(key: str) -> str:
    """What the entries of all arms of a key are tagged with."""
    return APART + key


def is_of_an_arm(key: str) -> bool:
    """Whether such a key holds variants."""
    return APART in key
