"""What the knowledge room refuses, and what to do about each; what is wrong with files: parsing_problems."""

from holdfast.kernel.errors import BadInput, NotFound, Problem, TooLarge


class UnknownDocument(NotFound):
    """No such document."""

    code = "knowledge-unknown-document"


class UnknownJob(NotFound):
    """No such job."""

    code = "knowledge-unknown-job"


class BadUpload(BadInput):
    """The upload cannot be taken."""

    code = "knowledge-bad-upload"


class UploadTooLarge(TooLarge):
    """The file is larger than a document may be."""

    code = "knowledge-upload-too-large"


class BadQuestion(BadInput):
    """The question cannot be asked."""

    code = "knowledge-bad-question"


class BadTemplate(BadInput):
    """The template cannot be filled."""

    code = "knowledge-bad-template"


class NothingFound(Problem):
    """No document says enough about this to write from."""

    code = "knowledge-nothing-found"
    status = 422


MAX_NAME_BYTES = 512
MAX_TAGS = 32
MAX_TAG_BYTES = 128
MAX_QUESTION = 4_000
MAX_TOPIC = 500
"""Characters of a question; what is longer is a document."""


def unknown_document() -> UnknownDocument:
    """The same words whether it never was, was deleted, or belongs to another tenant."""
    return UnknownDocument("no such document", hint="GET /api/v2/knowledge/documents lists what there is")


def check_name(name: str) -> str:
    """A document's name without white space around it; raises BadUpload."""
    plain = name.strip()
    if not plain or len(plain.encode("utf-8", "replace")) > MAX_NAME_BYTES or not _is_plain(plain):
        raise BadUpload(
            "the document has no name that can be kept",
            hint=f"give a name of at most {MAX_NAME_BYTES} bytes without control characters",
        )
    return plain


def check_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Tags sorted, each once; raises BadUpload."""
    found = tuple(sorted({tag.strip() for tag in tags} - {""}))
    if len(found) > MAX_TAGS or any(
        len(tag.encode("utf-8", "replace")) > MAX_TAG_BYTES or not _is_plain(tag) for tag in found
    ):
        raise BadUpload(
            "these tags cannot be kept", hint=f"give at most {MAX_TAGS} of at most {MAX_TAG_BYTES} bytes"
        )
    return found


def check_question(question: str) -> str:
    """A question as it is asked; raises BadQuestion."""
    plain = question.strip()
    if not plain:
        raise BadQuestion("the question is empty", hint='send "question" with some text')
    if len(plain) > MAX_QUESTION:
        raise BadQuestion(
            f"a question of {len(plain)} characters", hint=f"ask in at most {MAX_QUESTION} characters"
        )
    if "\0" in plain or not _encodes(plain):
        raise BadQuestion("the question is no text", hint="send whole characters, as UTF-8")
    return plain


def check_topic(topic: str) -> str:
    """What a text is to be about; raises BadQuestion. It stands in every prompt, as often as they say."""
    plain = check_question(topic)
    if len(plain) > MAX_TOPIC:
        raise BadQuestion(
            f"a topic of {len(plain)} characters",
            hint=f"name it in at most {MAX_TOPIC} characters; the rest belongs into prompts of sections",
        )
    return plain


def _is_plain(text: str) -> bool:
    return _encodes(text) and all(sign.isprintable() for sign in text)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
