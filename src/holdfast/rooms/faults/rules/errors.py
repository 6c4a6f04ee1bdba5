"""Error bodies in the shape of each dialect."""

from typing import Any

from holdfast.kernel.codec import encode_json
from holdfast.rooms.faults.rules.asks import ANTHROPIC

_OPENAI: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "model_not_allowed", "This key may not use this model."),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you have no access to it.",
    ),
    408: ("server_error", "timeout", "The request timed out."),
    413: ("invalid_request_error", "request_too_large", "The request is too large."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The server is overloaded or not ready yet."),
    529: ("overloaded_error", None, "Overloaded."),
}
_ANTHROPIC: dict[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    529: "overloaded_error",
}


def error_object(
    dialect: str,
    status: int,
    message: str = "",
    code: str | None = None,
    kind: str | None = None,
    param: str | None = None,
) -> dict[str, Any]:
    """The body of an error; what is not given is what the provider says at this status."""
    known = _OPENAI.get(status) or _OPENAI[400 if status < 500 else 500]
    text = message or known[2]
    if dialect == ANTHROPIC:
        usual = "invalid_request_error" if status < 500 else "api_error"
        return {"type": "error", "error": {"type": _ANTHROPIC.get(status, usual), "message": text}}
    return {
        "error": {"message": text, "type": kind or known[0], "param": param, "code": code or known[1]},
    }


def error_body(dialect: str, status: int, message: str = "", **members: str) -> bytes:
    """`error_object` as JSON."""
    return encode_json(error_object(dialect, status, message, **members))
