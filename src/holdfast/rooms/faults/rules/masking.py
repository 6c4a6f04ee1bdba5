"""What may be shown of the headers that arrived."""

import hashlib
from collections.abc import Mapping

SECRET = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with secrets hidden; the scheme of an authorization stays.

    >>> masked({"authorization": "Bearer sk-1", "accept": "*/*"})
    {'authorization': 'Bearer ***', 'accept': '*/*'}
    """
    return {name: _hidden(value) if name in SECRET else value for name, value in headers.items()}


def _hidden(value: str) -> str:
    scheme, space, _ = value.partition(" ")
    return f"{scheme} ***" if space and scheme.isalpha() else "***"


def key_mark(key: str) -> str:
    """Eight digits that tell two keys apart and give neither away; empty for no key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:8] if key else ""
