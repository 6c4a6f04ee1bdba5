"""The error kinds: how an attempt may fail, and what each kind allows.

The default table is one try and at most four retries after 1, 5, 25 and 125 seconds (requirement S). The
page docs/rooms/jobs.md shows this table; a test compares the two.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

import msgspec

from holdfast.kernel.errors import Misconfigured

DELAYS_S = (1.0, 5.0, 25.0, 125.0)
"""Pauses before the first, second, third and fourth retry."""


class Policy(msgspec.Struct, frozen=True):
    """What an error kind allows: `delays_s[n]` is the pause before retry n + 1; none: never again."""

    delays_s: tuple[float, ...] = ()
    heeds_retry_after: bool = False


class Kind(msgspec.Struct, frozen=True):
    """One way to fail."""

    name: str
    policy: Policy
    meaning: str
    counts: bool = True
    """Whether an attempt that ends so is a failure, in figures and alerts."""


TEMPORARY = "temporary"
RATE_LIMITED = "rate_limited"
TIMEOUT = "timeout"
PROVIDER_DOWN = "provider_down"
VALIDATION = "validation"
NOT_FOUND = "not_found"
QUOTA = "quota"
AUTH = "auth"
OUT_OF_MEMORY = "out_of_memory"
CANCELLED = "cancelled"
DEPENDENCY = "dependency"
CONFLICT = "conflict"
CORRUPT_INPUT = "corrupt_input"
UNSUPPORTED = "unsupported"
TOO_LARGE = "too_large"
NETWORK = "network"
STORAGE = "storage"
DEADLINE = "deadline"
UNKNOWN = "unknown"

_USUAL = Policy(DELAYS_S)
_HEEDING = Policy(DELAYS_S, heeds_retry_after=True)
_NEVER = Policy()

DEFAULT = (
    Kind(TEMPORARY, _HEEDING, "it failed in passing and is likely to work soon"),
    Kind(RATE_LIMITED, _HEEDING, "the other side asks to slow down (429)"),
    Kind(TIMEOUT, Policy((5.0, 125.0)), "the attempt, or what it waited for, took too long"),
    Kind(PROVIDER_DOWN, _HEEDING, "a service that this needs does not answer (502, 503)"),
    Kind(VALIDATION, _NEVER, "the payload is not valid and will not become so"),
    Kind(NOT_FOUND, _NEVER, "what the job is about does not exist"),
    Kind(QUOTA, Policy((125.0,), heeds_retry_after=True), "a budget or quota is used up until it is renewed"),
    Kind(AUTH, Policy((25.0,)), "credentials were refused; once more, in case a key is being replaced"),
    Kind(
        OUT_OF_MEMORY, Policy((25.0,)), "it needed more memory than there was; once more, on a calmer worker"
    ),
    Kind(CANCELLED, _NEVER, "somebody asked it to stop", counts=False),
    Kind(DEPENDENCY, _HEEDING, "something of ours that this needs is not ready"),
    Kind(CONFLICT, _USUAL, "somebody else changed the same thing at once"),
    Kind(CORRUPT_INPUT, _NEVER, "the input is damaged: it cannot be read"),
    Kind(UNSUPPORTED, _NEVER, "the input is of a kind that is not handled"),
    Kind(TOO_LARGE, _NEVER, "the input is larger than is allowed"),
    Kind(NETWORK, _USUAL, "the connection failed, broke or was refused"),
    Kind(STORAGE, Policy((5.0, 25.0, 125.0)), "the disk is full or fails"),
    Kind(DEADLINE, _NEVER, "its deadline had passed before it could begin"),
    Kind(UNKNOWN, _USUAL, "anything else, a worker's death included"),
)


class Kinds:
    """The table by name: the default kinds and those declared beside them.

    A declared kind of a known name replaces it.
    """

    def __init__(self, declared: Iterable[Kind] = ()) -> None:
        self._kinds: dict[str, Kind] = {kind.name: kind for kind in DEFAULT}
        self.errors: dict[type[BaseException], str] = {}
        """The kinds of the app's own exceptions; that of the nearest class counts."""
        for kind in declared:
            self.declare(kind)

    def declare(self, kind: Kind) -> None:
        """Add a kind, or replace the one of its name; raises Misconfigured for one that cannot be kept."""
        self._kinds[_checked(kind).name] = kind

    def map(self, error: type[BaseException], name: str) -> None:
        """What raises `error` fails as kind `name`, which must be known."""
        self.errors[error] = self[name].name

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __getitem__(self, name: str) -> Kind:
        """The kind of this name; raises Misconfigured for a name that nobody declared."""
        kind = self._kinds.get(name)
        if kind is None:
            near = get_close_matches(name, self._kinds, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "declare it: one of " + ", ".join(self._kinds)
            raise Misconfigured(f"there is no error kind {name[:80]!r}", hint=hint)
        return kind

    def named(self, name: str) -> Kind:
        """The kind of this name, or `unknown`: what a row or a job says must never stop its retry."""
        return self._kinds.get(name) or self._kinds[UNKNOWN]

    def policy(self, name: str, own: Mapping[str, Policy] | None = None) -> Policy:
        """What `name` allows a job that has `own` policies by kind."""
        if own and name in own:
            return own[name]
        return self.named(name).policy

    def check(self, own: Mapping[str, Policy]) -> None:
        """Raises Misconfigured for a policy of no known kind, or one that cannot be kept."""
        for name, policy in own.items():
            _checked(Kind(self[name].name, policy, ""))


def _checked(kind: Kind) -> Kind:
    if not kind.name.isidentifier() or len(kind.name) > 40:
        raise Misconfigured(
            f"{kind.name[:60]!r} is no name of an error kind", hint="use at most 40 letters, digits and _"
        )
    for delay_s in kind.policy.delays_s:
        if not 0 <= delay_s <= 31_536_000:
            raise Misconfigured(
                f"a retry of {kind.name} after {delay_s} seconds", hint="give 0 seconds to a year"
            )
    return kind
