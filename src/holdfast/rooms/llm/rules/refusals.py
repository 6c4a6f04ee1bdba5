"""What a provider means by an error: its status, its code and its words, as one of our kinds.

Providers agree on little: the same refusal comes as a status, as a code, as a type, or only in a sentence.
So codes go before sentences, and what the request itself is at fault for goes before the status.
"""

import math
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from holdfast.kernel.codec import clean_text
from holdfast.rooms.llm.rules.bodies import decoded
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed

SHOWN_SIGNS = 300
"""How much of a provider's own words an error shows."""
_WINDOW = 8
"""A run of the prompt of twice this length, less one, is always found in a provider's words."""
_SEARCHED_SIGNS = 1_000_000
"""In a longer prompt nothing is searched: then a provider's words are not shown."""


class Told(NamedTuple):
    """What an error body says; empty where it does not."""

    code: str
    type: str
    message: str
    inner: str
    """The code inside, where Azure puts what its filter found."""


CODES: dict[str, Kind] = {
    "content_filter": Kind.CONTENT_FILTER,
    "content_policy_violation": Kind.CONTENT_FILTER,
    "responsibleaipolicyviolation": Kind.CONTENT_FILTER,
    "content_blocked": Kind.CONTENT_FILTER,
    "prohibited_content": Kind.CONTENT_FILTER,
    "moderation_blocked": Kind.CONTENT_FILTER,
    "invalid_prompt": Kind.CONTENT_FILTER,
    "context_length_exceeded": Kind.CONTEXT_LENGTH,
    "context_window_exceeded": Kind.CONTEXT_LENGTH,
    "string_above_max_length": Kind.CONTEXT_LENGTH,
    "insufficient_quota": Kind.QUOTA,
    "quota_exceeded": Kind.QUOTA,
    "billing_hard_limit_reached": Kind.QUOTA,
    "billing_not_active": Kind.QUOTA,
    "billing_error": Kind.QUOTA,
    "insufficient_balance": Kind.QUOTA,
    "invalid_api_key": Kind.AUTH,
    "account_deactivated": Kind.AUTH,
    "authentication_error": Kind.AUTH,
    "permission_error": Kind.AUTH,
    "permission_denied": Kind.AUTH,
    "unsupported_country_region_territory": Kind.AUTH,
    "model_not_found": Kind.NOT_FOUND,
    "not_found_error": Kind.NOT_FOUND,
    "deploymentnotfound": Kind.NOT_FOUND,
    "request_too_large": Kind.TOO_LARGE,
    "rate_limit_exceeded": Kind.RATE_LIMITED,
    "rate_limit_error": Kind.RATE_LIMITED,
    "ratelimitreached": Kind.RATE_LIMITED,
    "too_many_requests": Kind.RATE_LIMITED,
    "tokens": Kind.RATE_LIMITED,
    "requests": Kind.RATE_LIMITED,
    "overloaded_error": Kind.OVERLOADED,
    "overloaded": Kind.OVERLOADED,
    "engine_overloaded": Kind.OVERLOADED,
    "server_is_overloaded": Kind.OVERLOADED,
    "service_unavailable": Kind.OVERLOADED,
    "server_error": Kind.SERVER,
    "internal_server_error": Kind.SERVER,
    "internal_error": Kind.SERVER,
    "api_error": Kind.SERVER,
    "timeout_error": Kind.SERVER,
    "invalid_request_error": Kind.BAD_REQUEST,
}
"""Codes and types as OpenAI, Azure, Anthropic, Groq, Mistral, DeepSeek and OpenRouter spell them."""

SENTENCES: tuple[tuple[Kind, "re.Pattern[str]"], ...] = (
    (
        Kind.CONTENT_FILTER,
        re.compile(r"content management policy|content filter|content policy|safety system|usage policies"),
    ),
    (
        Kind.CONTEXT_LENGTH,
        re.compile(
            r"context length|context window|context size|prompt is too long|input is too long"
            r"|reduce the length of|maximum (?:input|prompt) length|too many (?:input )?tokens"
            r"|exceed\w* the (?:model'?s )?(?:maximum|max|limit of \d+ tokens)"
        ),
    ),
    (
        Kind.QUOTA,
        re.compile(r"credit balance is too low|exceeded your current quota|insufficient (?:balance|credit)"),
    ),
    (Kind.AUTH, re.compile(r"(?:incorrect|invalid|missing) (?:x-)?api[- ]key|api[- ]key not valid")),
    (Kind.NOT_FOUND, re.compile(r"model .{0,100}(?:does not exist|not found)|no such model|unknown model")),
)
"""For providers that say it in words alone, asked only of 4xx and of errors without a status."""

_REQUEST_S_FAULT = frozenset({Kind.CONTENT_FILTER, Kind.CONTEXT_LENGTH})
_BY_STATUS: dict[int, Kind] = {
    401: Kind.AUTH,
    402: Kind.QUOTA,
    403: Kind.AUTH,
    404: Kind.NOT_FOUND,
    405: Kind.NOT_FOUND,
    # A time-out, a lock, a request too early: said of the moment, not of the request.
    408: Kind.SERVER,
    409: Kind.SERVER,
    413: Kind.TOO_LARGE,
    425: Kind.SERVER,
    429: Kind.RATE_LIMITED,
    503: Kind.OVERLOADED,
    529: Kind.OVERLOADED,
}


def kind_of(status: int, told: Told) -> Kind:
    """The kind of one refusal; `status` is 0 where there was none, as inside a stream."""
    code = told.code
    if status < 300 and code.isdigit() and 300 <= int(code) <= 599:
        status = int(code)  # OpenRouter's way
    coded = [CODES[name] for name in (told.inner, code, told.type) if name in CODES]
    if coded and coded[0] in _REQUEST_S_FAULT | {Kind.QUOTA}:
        return coded[0]
    if status == 429 or status >= 500:
        # Its code may tell a full account or overload from a passing limit, never the request's own fault.
        allowed = (Kind.RATE_LIMITED, Kind.QUOTA, Kind.OVERLOADED)
        said = _said(told.message) if status == 429 else None
        by_code = next((kind for kind in coded if kind in allowed), None)
        return Kind.QUOTA if said is Kind.QUOTA else by_code or _BY_STATUS.get(status, Kind.SERVER)
    said = _said(told.message)
    if said in _REQUEST_S_FAULT | {Kind.QUOTA}:
        return said
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    for kind in coded:
        if kind is not Kind.BAD_REQUEST:
            return kind
    if said is not None:
        return said
    if 300 <= status < 400:
        return Kind.NOT_FOUND  # a redirect: not where it was looked for
    return Kind.BAD_REQUEST if 400 <= status < 500 or coded else Kind.SERVER


def _said(message: str) -> Kind | None:
    words = message.lower()
    return next((kind for kind, pattern in SENTENCES if pattern.search(words)), None)


def told(error: object) -> Told:
    """What an `error` member says, in whatever shape it stands there."""
    if isinstance(error, str):
        return Told("", "", error, "")
    if not isinstance(error, dict):
        return Told("", "", "", "")
    inner = error.get("innererror") or error.get("inner_error")
    message = error.get("message") or error.get("detail")
    return Told(
        _name(error.get("code")),
        _name(error.get("type") or error.get("status")),
        message if isinstance(message, str) else "",
        _name(inner.get("code")) if isinstance(inner, dict) else "",
    )


def told_in(body: bytes) -> Told:
    """What the body of an error says; bodies that are no JSON say nothing that may be shown."""
    try:
        document = decoded(body)
    except (ValueError, RecursionError):
        return Told("", "", "", "")
    if isinstance(document, list) and document:
        document = document[0]  # Gemini's compatible endpoint wraps its errors in a list
    if not isinstance(document, dict):
        return Told("", "", "", "")
    if "error" in document:
        return told(document["error"])
    return told(document)


def _name(value: object) -> str:
    """A code or type as a short lower-case word; a provider's free text is not one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    name = str(value).lower()
    return name if re.fullmatch(r"[a-z0-9][a-z0-9_.\-]{0,63}", name) else ""


def refused(
    status: int, said: Told, headers: Mapping[bytes, bytes], now: float, *, secret: str, prompt: Iterable[str]
) -> ProviderFailed:
    """The failure of an answer with an error status, or with an error inside.

    `now` are epoch seconds, for a Retry-After that is a date. `secret` and what of the `prompt` a provider
    repeats are not shown.
    """
    kind = kind_of(status, said)
    code = masked(said.inner or said.code or said.type, secret)
    what = f"the provider answered {status}" if status else "the provider sent an error"
    words = shown(said.message, secret, prompt)
    message = f"{what} ({code})" if code else what
    if words:
        message = f"{message}: {words}"
    return ProviderFailed(kind, message, status=status, code=code, retry_after_s=retry_after(headers, now))


def retry_after(headers: Mapping[bytes, bytes], now: float) -> float | None:
    """The seconds that the headers ask to wait: milliseconds, seconds or a date; nonsense asks nothing."""
    in_ms = _seconds(headers.get(b"retry-after-ms"))
    if in_ms is not None:
        return in_ms / 1000
    value = headers.get(b"retry-after")
    in_s = _seconds(value)
    if in_s is not None or value is None:
        return in_s
    try:
        wait_s = parsedate_to_datetime(value.decode("ascii")).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return wait_s if wait_s >= 0 else None


def _seconds(value: bytes | None) -> float | None:
    if value is None or not re.fullmatch(rb"\s*\d{1,12}(?:\.\d{0,9})?\s*", value):
        return None
    seconds = float(value)
    return seconds if math.isfinite(seconds) else None


_SECRETS = re.compile(
    r"(?i:bearer|basic)\s+\S+"
    r"|\b(?:sk|pk|rk|gsk|xai|key|hf|nvapi|pplx|r8|AIza)[-_A-Za-z0-9][-_*.A-Za-z0-9]{5,}"
    r"|(?i:api[-_ ]?key)\W{1,4}[-_*.A-Za-z0-9]{6,}"
    r"|\b(?=[-_A-Za-z0-9]*\d)(?=[-_A-Za-z0-9]*[A-Za-z])[-_A-Za-z0-9]{28,}"
)


def masked(text: str, secret: str = "") -> str:
    """`text` without the given secret and without whatever looks like a key."""
    if secret:
        text = text.replace(secret, "…")
    return _SECRETS.sub("…", text)


def shown(message: str, secret: str, prompt: Iterable[str]) -> str:
    """A provider's words as an error may show them: one short line, no key, nothing of the prompt."""
    line = clean_text(" ".join(message.split()))
    if not line:
        return ""
    if _repeats(line, prompt):
        return "(its words repeat the prompt, so they are not shown)"
    line = masked(line, secret)
    return line if len(line) <= SHOWN_SIGNS else line[: SHOWN_SIGNS - 1] + "…"


def _repeats(line: str, prompt: Iterable[str]) -> bool:
    texts = [" ".join(text.split()) if len(text) < _SEARCHED_SIGNS else text for text in prompt]
    if sum(map(len, texts)) > _SEARCHED_SIGNS:
        return True
    pieces = [line[at : at + _WINDOW] for at in range(0, len(line) - _WINDOW + 1, _WINDOW)]
    for text in texts:
        if len(text) >= _WINDOW and any(piece in text for piece in pieces):
            return True
        if 2 <= len(text) < 2 * _WINDOW and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", line):
            return True
    return False


def texts_of(body: Mapping[str, Any]) -> list[str]:
    """What people have written into a request: messages, inputs and prompts, at most two levels of parts."""
    found: list[str] = []
    for name in ("system", "messages", "input", "prompt"):
        _gather(body.get(name), found, 6)
    return found


def _gather(value: object, found: list[str], depth: int) -> None:
    if isinstance(value, str):
        found.append(value)
    elif depth and isinstance(value, list):
        for item in value:
            _gather(item, found, depth - 1)
    elif depth and isinstance(value, dict):
        for name, item in value.items():
            if name not in ("role", "type", "id", "tool_call_id"):
                _gather(item, found, depth - 1)
