"""What is wrong with a request, and every problem in the shape that OpenAI's clients read."""

from collections.abc import Sequence
from typing import Any

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import BadInput, NotFound, Problem
from holdfast.rooms.llm.rules.failures import POLICIES, Kind

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


def unknown_model(name: str, known: Sequence[str]) -> UnknownModel:
    """The 404 that lists what there is."""
    return UnknownModel(
        f"the model {name!r:.100} does not exist here", hint=f"there are: {', '.join(sorted(known))}"
    )


_CODES = {
    Kind.CONTEXT_LENGTH: "context_length_exceeded",
    Kind.CONTENT_FILTER: "content_filter",
    Kind.RATE_LIMITED: "rate_limit_exceeded",
    Kind.QUOTA: "insufficient_quota",
    Kind.NOT_FOUND: "model_not_found",
    Kind.TOO_LARGE: "too_large",
}

_KINDS = {kind.value: kind for kind in Kind}


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
