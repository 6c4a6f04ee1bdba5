"""What callers are told of a call that failed: the port's problems, with what the provider said."""

from collections.abc import Sequence

from holdfast.kernel.errors import Problem
from holdfast.kernel.guard import TimedOut
from holdfast.ports.model import ModelFailed, ModelTimedOut
from holdfast.rooms.llm.rules.failures import Kind, ProviderFailed


class CutOff(ModelFailed):
    """The answer broke off: what has come of it is no answer."""

    code = "answer-cut-off"


class Silent(ModelTimedOut):
    """The model went silent in the middle of its answer."""

    code = "answer-stalled"


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
