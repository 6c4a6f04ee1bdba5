"""What can go wrong with stored documents, and what to do about it."""

from holdfast.kernel.errors import Conflict


class VersionGone(Conflict):
    """This version of the document is no longer being made."""

    code = "knowledge-version-gone"

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            detail or "it was deleted, superseded by a newer one, or has ended",
            hint="stop working on it; upload the document again if it is still wanted",
        )


class NameTaken(Conflict):
    """A document of this name cannot be made now."""

    code = "knowledge-name-taken"
    retryable = True
