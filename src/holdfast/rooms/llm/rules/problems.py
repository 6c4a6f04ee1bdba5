"""What callers are told: problems of calls, and every problem in the shape that OpenAI's clients read."""

from collections.abc import Sequence
from typing import Any

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import BadInput, NotFound, Problem
from holdfast.kernel.guard import TimedOut
from holdfast.ports.model import ModelFailed, ModelTimedOut
from holdfast.rooms.llm.rules.failures import POLICIES, Kind, ProviderFailed

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    499: "cancelled_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class UnknownModel(NotFound):
    """No model has this name."""

    code = "model-not-found"


class NotAPrompt(BadInput):
    """The request is no prompt that a model can be asked."""

    code = "bad-prompt"
    status = 400


class CutOff(ModelFailed):
    """The answer broke off: what has come of it is no answer."""

    code = "answer-cut-off"


class Silent(ModelTimedOut):
    """The model went silent in the middle of its answer."""

    code = "answer-stalled"


def unknown_model(name: str, known: Sequence[str]) -> UnknownModel:
    return UnknownModel(
        f"the model {name!r:.100} does not exist here", hint=f"there are: {', '.join(sorted(known))}"
    )


_CODES = {
    Kind.CONTEXT_LENGTH: "context_length_exceeded",
    Kind.CONTENT_FILTER: "content_filter",
    Kind.RATE_LIMITED: "rate_limit_exceeded",
    Kind.QUOTA: "insufficient_quota",
    Kind.NOT_FOUND: "model_not_found",
}

_KINDS = {kind.value: kind for kind in Kind}


def problem_of(failed: ProviderFailed, hint_s: float | None = None, tried: Sequence[str] = ()) -> Problem:
    """What the caller is told when the last attempt failed like this. `hint_s`: when to come back."""
    kind = ModelTimedOut if failed.kind is Kind.SILENT else ModelFailed
    problem = kind(
        str(failed),
        hint="try again after Retry-After" if hint_s is not None else _hint(failed),
        retry_after_s=hint_s,
        kind=failed.kind.value,
        tried=list(tried),
    )
    problem.status = failed.policy.status
    problem.retryable = failed.policy.again or failed.policy.elsewhere
    return problem


def too_late(late: TimedOut) -> ModelTimedOut:
    """The call as a whole took too long."""
    return ModelTimedOut(str(late), hint="allow more time, or ask for less", kind="silent")


def broken_off(failed: ProviderFailed) -> Problem:
    """What stands in the stream when it breaks off after its first content."""
    kind = Silent if failed.kind is Kind.SILENT else CutOff
    hint = (
        "discard what has come and ask again; models with rescue = 'restart' hold an answer until it is whole"
    )
    return kind(str(failed), hint=hint, kind=failed.kind.value)


def _hint(failed: ProviderFailed) -> str:
    if failed.kind is Kind.AUTH:
        return "the deployment's key is refused: set a good one in llm.deployments"
    if failed.kind is Kind.CONTEXT_LENGTH:
        return "shorten the prompt, or give the model a fallback with a longer context"
    if failed.policy.again or failed.policy.elsewhere:
        return "try again; a fallback model would have been asked (llm.models.<name>.fallbacks)"
    return "change the request"


def error_of(problem: Problem) -> dict[str, Any]:
    """The `error` object of OpenAI's API: message, type, param, code."""
    said = problem.detail or problem.title()
    kind = _KINDS.get(problem.members.get("kind", ""))
    return {
        "message": f"{said} ({problem.hint})" if problem.hint else said,
        "type": POLICIES[kind].type if kind is not None else _TYPES.get(problem.status, "api_error"),
        "param": problem.members.get("param"),
        "code": (_CODES.get(kind) if kind is not None else None) or problem.code.replace("-", "_"),
    }


def in_openai_shape(problem: Problem, request_id: str) -> bytes:
    """The body of an answer that is this problem."""
    return encode_json({"error": error_of(problem), "request_id": request_id})
