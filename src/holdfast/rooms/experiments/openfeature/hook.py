"""What happens around an evaluation: a success is the unit's exposure, an error is none and is counted."""

from collections.abc import Mapping
from typing import Protocol

from openfeature.exception import ErrorCode, OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagValueType
from openfeature.hook import Hook, HookContext, HookHints

from holdfast.rooms.experiments.rules.assigning import BadUnit, normalise
from holdfast.rooms.experiments.rules.flags import Evaluation, Flag


class Told(dict[str, bool | int | float | str]):
    """A flag's metadata, which carries the evaluation it came from to the hook that records its use."""

    __slots__ = ("evaluation",)

    def __init__(self, told: dict[str, bool | int | float | str], evaluation: Evaluation) -> None:
        super().__init__(told)
        self.evaluation = evaluation


class Uses(Protocol):
    """Where exposures and errors go."""

    @property
    def flags(self) -> Mapping[str, Flag]: ...

    def use(self, evaluation: Evaluation) -> None: ...

    def failed(self, name: str, code: str) -> None: ...


class Counted(OpenFeatureError):
    """An error of the flag itself, which was counted where it happened."""


class ExposureHook(Hook):
    """Records that a variant was used, once its value is on its way to whoever asked."""

    def __init__(self, uses: Uses) -> None:
        self._uses = uses

    def after(
        self, hook_context: HookContext, details: FlagEvaluationDetails[FlagValueType], hints: HookHints
    ) -> None:
        told = details.flag_metadata
        if isinstance(told, Told):
            self._uses.use(told.evaluation)

    def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:
        if not isinstance(exception, Counted):
            self._uses.failed(hook_context.flag_key, str(getattr(exception, "error_code", ErrorCode.GENERAL)))


class ForeignHook(Hook):
    """Records our exposure where another provider decides: its flag bears the name of one of ours.

    The experiment of that name says which variants count; that provider parts the users, and what it calls
    a variant is what our statistics compare. Of our own provider nothing is recorded twice.
    """

    def __init__(self, uses: Uses) -> None:
        self._uses = uses

    def after(
        self, hook_context: HookContext, details: FlagEvaluationDetails[FlagValueType], hints: HookHints
    ) -> None:
        flag = self._uses.flags.get(details.flag_key)
        unit = hook_context.evaluation_context.targeting_key
        if isinstance(details.flag_metadata, Told) or flag is None or flag.kind == "flag":
            return
        try:
            who = normalise(unit)
        except BadUnit:
            return
        variant = details.variant or ""
        if who and variant in flag.variants:
            self._uses.use(
                Evaluation(flag.name, variant, details.value, "SPLIT", who, flag.phase, counted=True)
            )
