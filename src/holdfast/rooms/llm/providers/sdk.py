"""What the adapters over other people's clients share: their errors as ours, their objects as bodies."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from holdfast.kernel.clock import Clock
from holdfast.rooms.llm.providers.endpoint import complete
from holdfast.rooms.llm.providers.provider import Body
from holdfast.rooms.llm.rules.chunks import OpenAIChunks, choices_of
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed
from holdfast.rooms.llm.rules.refusals import refused, texts_of, told
from holdfast.rooms.llm.rules.replies import garbled

_BY_NAME: tuple[tuple[str, Kind], ...] = (
    ("Timeout", Kind.SILENT),
    ("ContextWindowExceeded", Kind.CONTEXT_LENGTH),
    ("ContentPolicyViolation", Kind.CONTENT_FILTER),
    ("ResponseValidation", Kind.GARBLED),
    ("Connection", Kind.CONNECTION),
)
"""What only the name of an error's class says, for both clients spell it so."""


def failure(error: Exception, body: Mapping[str, Any], key: str, clock: Clock) -> ProviderFailed:
    """An error of a client built on openai's: by its class, then by status, code and words.

    Anything else that it raises while it reads an answer (its models, its JSON) means a garbled one.
    """
    if isinstance(error, ProviderFailed):
        return error
    names = [kind.__name__ for kind in type(error).__mro__]
    status = getattr(error, "status_code", 0)
    status = status if isinstance(status, int) else 0
    for part, kind in _BY_NAME:
        if any(part in name for name in names):
            phase = "first byte" if kind is Kind.SILENT else ""
            return ProviderFailed(kind, f"the client says {names[0]}", status=status, phase=phase)
    if isinstance(error, TypeError | UnicodeError):
        return ProviderFailed(Kind.BAD_REQUEST, f"the client does not take the request: {names[0]}")
    if "APIError" not in names and not status:
        return garbled(f"the client cannot read the answer: {names[0]}", code="client")
    given = getattr(error, "body", None)
    said = told(given.get("error", given) if isinstance(given, dict) else given)
    if not said.message:
        said = said._replace(message=str(getattr(error, "message", "")))
    headers = _headers(getattr(getattr(error, "response", None), "headers", None))
    return refused(status, said, headers, clock.wall(), secret=key, prompt=texts_of(body))


@contextmanager
def ours(body: Body, key: str, clock: Clock) -> Iterator[None]:
    """Whatever a foreign client raises in here leaves as ProviderFailed."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - clients raise their models' and their transports' errors too
        raise failure(error, body, key, clock) from None


def _headers(given: Any) -> dict[bytes, bytes]:
    if not isinstance(given, Mapping):
        return {}
    return {
        str(name).lower().encode(): str(value).encode("latin-1", "replace") for name, value in given.items()
    }


def as_body(found: Any) -> Body:
    """A client's object as a JSON object, without the fields that the provider has not sent."""
    for way in ("to_dict", "model_dump"):
        if callable(turn := getattr(found, way, None)):
            found = turn()
            break
    if not isinstance(found, dict):
        raise garbled("the client gave no object", code="client")
    return found


async def streamed(
    chunks: AsyncIterable[Any], body: Body, key: str, clock: Clock
) -> AsyncGenerator[Body, None]:
    """Every chunk as a body; raises unless every choice has ended. A break after that is no failure."""
    progress = OpenAIChunks(choices_of(body))
    try:
        async for item in chunks:
            chunk = as_body(item)
            if chunk.get("error"):
                now = clock.wall()
                raise refused(0, told(chunk["error"]), {}, now, secret=key, prompt=texts_of(body))
            if progress.count(chunk):
                yield chunk
    except Exception as error:  # noqa: BLE001 - whatever a foreign client raises is a provider's failure
        if not progress.finished:
            raise failure(error, body, key, clock) from None
    complete(progress)
