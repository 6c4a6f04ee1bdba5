"""What the room refuses, and why."""

from holdfast.kernel.errors import BadInput, Conflict, NotFound


class UnknownName(NotFound):
    """There is no flag, release, experiment or metric of this name."""

    code = "experiments-unknown"


class BadDefinition(BadInput):
    """A definition that contradicts itself or names what is not there."""

    code = "experiments-bad-definition"


class Stale(Conflict):
    """Somebody else changed it since it was read."""

    code = "experiments-stale"


class WrongState(Conflict):
    """What was asked cannot be done in the state it is in."""

    code = "experiments-wrong-state"


def unknown(kind: str, name: str, known: "list[str] | tuple[str, ...]" = ()) -> UnknownName:
    """The refusal, with the names that are there."""
    there = ", ".join(sorted(known)[:20])
    return UnknownName(
        f"there is no {kind} {name!r}", hint=f"there are: {there}" if there else f"there is no {kind} yet"
    )
