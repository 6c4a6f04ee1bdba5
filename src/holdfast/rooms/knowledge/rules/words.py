"""The terms of a chunk and of a question: one function for both, so that they cannot come apart.

What a term is stands in `kernel.text.words`. Here they get the form in which they are indexed: letters and
digits that a full-text tokeniser leaves alone, behind a mark of their tenant, so that no look-up can ever
reach another tenant's.
"""

import re
import zlib
from base64 import b32encode
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log
from struct import pack

from holdfast.kernel.text.words import terms as _terms
from holdfast.kernel.text.words import weight_of

WORDS_VERSION = 1
"""Goes up when the same text would give other terms: part of what an index is told apart by."""
MOST_TERMS = 512
"""Terms of a question that count; a longer one is known by its first."""
_PLAIN = re.compile("[0-9a-zà-öø-ÿ가-힣一-龥ぁ-んァ-ヶー=#.:']+")
"""What SQLite's unicode61 (Unicode 6.1) takes as one token, given the signs as `tokenchars`;
any other term is written in hex."""
WHOLE = 0.6
"""Weight of a whole word beside its bigrams, which count one each. KorQuAD hardly tells 0.5 from 1.5."""


def terms(text: str) -> list[str]:
    """The terms of a text in the form in which they are indexed, in order and as often as they occur.

    >>> terms("서울의 수도는?"), terms("ἀρχή")
    (['서울', '=서울', '수도', '=수도'], ['x-cf81cf87'])
    """
    return [_indexed(term) for term in _terms(text)]


def counted(text: str, path: Iterable[str] = ()) -> Counter[str]:
    """How often each term of a chunk occurs, its headings' included."""
    count = Counter(terms(text))
    for heading in path:
        count.update(terms(heading))
    return count


def asked(text: str) -> list[str]:
    """The terms of a question, each once, in order; at most MOST_TERMS."""
    return list(dict.fromkeys(terms(text)))[:MOST_TERMS]


@lru_cache(maxsize=1024)
def mark(tenant: str) -> str:
    """What stands before each of a tenant's terms; the empty tenant's is the shortest.

    >>> mark(""), mark("acme") == mark("acme") != mark("acm")
    ('~', True)
    """
    if not tenant:
        return "~"
    return b32encode(blake2b(tenant.encode(), digest_size=5).digest()).decode().lower() + "~"


def signature(term: str) -> int:
    """A term as 32 bits, by which a chunk's terms are compared without their text."""
    return zlib.crc32(term.encode())


def packed(count: Counter[str]) -> tuple[str, bytes]:
    """A chunk's terms as they are stored: the text that is indexed, and what ranking reads.

    The second is their signatures, ascending, 32 bits each and little end first, then how often each occurs,
    8 bits each.
    """
    pairs = sorted((signature(term), term) for term in count)
    signs = pack(f"<{len(pairs)}I", *(sign for sign, _ in pairs))
    return " ".join(term for _, term in pairs), signs + bytes(min(255, count[term]) for _, term in pairs)


def rarity(held: int, chunks: int) -> float:
    """What finding a term is worth that `held` of all `chunks` have (BM25's inverse document frequency)."""
    return log(1.0 + (max(chunks - held, 0) + 0.5) / (held + 0.5))


def worth(term: str, held: int, chunks: int) -> float:
    """A term's weight in a question."""
    kind = WHOLE if term[0] == "=" else weight_of(term)
    return kind * rarity(held, chunks)


def rarest(weights: dict[str, float], most: int) -> Sequence[str]:
    """The `most` terms that count most: whoever has none of them is not worth looking at."""
    return sorted(weights, key=weights.__getitem__, reverse=True)[:most]


def _indexed(term: str) -> str:
    return term if _PLAIN.fullmatch(term) else "x-" + term.encode().hex()
