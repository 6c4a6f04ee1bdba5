"""What this room refuses, and what to do about each."""

from holdfast.kernel.errors import BadInput, Misconfigured, NotFound, Problem


class UnknownItem(NotFound):
    """No such item in the catalogue."""

    code = "recommend-unknown-item"


class NoUser(BadInput):
    """Nobody to recommend for."""

    code = "recommend-no-user"


class BadWeights(BadInput):
    """The blend's weights cannot be used."""

    code = "recommend-bad-weights"


class BadVariant(Misconfigured):
    """A variant of the release cannot be used."""

    code = "recommend-bad-variant"


class BadEvent(BadInput):
    """The feedback event is not valid."""

    code = "recommend-bad-event"


class KeyReused(BadInput):
    """This idempotency key was already used with another body."""

    code = "recommend-key-reused"


class NotYours(Problem):
    """You may only ask for yourself."""

    code = "recommend-not-yours"
    status = 403


class NoPrevious(Problem):
    """There is no previous model to go back to."""

    code = "recommend-no-previous-model"
    status = 409


def unknown_item(item_id: str) -> UnknownItem:
    """The UnknownItem that names the item and the way to import it."""
    return UnknownItem(
        f"no item {item_id!r} in the catalogue",
        hint="import it with `holdfast import items FILE`",
        item_id=item_id,
    )
