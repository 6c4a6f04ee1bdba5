"""Which facts are secrets, told by their key, and what stands in their place."""

import re
from itertools import pairwise
from typing import Any

import msgspec

MASK = "***"

DENIED = frozenset(
    {
        "authorization",
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "pwd",
        "secret",
        "token",
        "cookie",
        "credential",
        "credentials",
        "bearer",
        "jwt",
        "otp",
        "cvc",
        "cvv",
        "ssn",
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "signingkey",
        "encryptionkey",
        "sessionid",
        "sessionkey",
        "비밀번호",
        "암호",
        "인증번호",
        "주민등록번호",
        "카드번호",
        "토큰",
    }
)
"""Words, or two words that follow each other, which make a key's value a secret."""

ALLOWED = frozenset(
    {
        "token_count",
        "token_type",
        "token_limit",
        "token_budget",
        "token_usage",
        "token_cost",
        "cookie_count",
        "password_length",
    }
)
"""Whole keys that hold such a word and are harmless."""

_DEEPEST = 8
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_GAP = re.compile(r"[\W_]+")


class Redaction(msgspec.Struct, frozen=True):
    """The deny and allow lists in force; keys are compared in lower case with `_` between words.

    >>> Redaction().hides("X-Api-Key"), Redaction().hides("input_tokens")
    (True, False)
    """

    denied: frozenset[str] = DENIED
    allowed: frozenset[str] = ALLOWED

    def hides(self, key: str) -> bool:
        """Whether the value under `key` is masked."""
        words = _words(key)
        whole = "_".join(words)
        if whole in self.allowed:
            return False
        if whole in self.denied or not self.denied.isdisjoint(words):
            return True
        return any(first + second in self.denied for first, second in pairwise(words))

    def masked(self, value: Any, depth: int = 0) -> Any:
        """A copy of `value` with every secret in it masked, however deep; the value itself is untouched."""
        if depth > _DEEPEST:
            return "…"
        if isinstance(value, dict):
            return {
                key: MASK if self.hides(str(key)) else self.masked(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.masked(item, depth + 1) for item in value]
        return value


def redaction(denied: tuple[str, ...], allowed: tuple[str, ...]) -> Redaction:
    """The standing lists plus an operator's own keys."""
    return Redaction(
        DENIED | {"_".join(_words(key)) for key in denied},
        ALLOWED | {"_".join(_words(key)) for key in allowed},
    )


def _words(key: str) -> list[str]:
    return [word for word in _GAP.split(_HUMP.sub("_", key).lower()) if word]
