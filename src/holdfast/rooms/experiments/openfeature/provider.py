"""The provider that OpenFeature's clients ask. Every look-up is in process: the async ones never wait.

    client.get_boolean_value("new-ranker", False, EvaluationContext("alice"))
       └▶ hooks ─▶ resolve_boolean_details ─▶ Reading.look ─▶ Evaluation ─▶ value of the type asked for
             └▶ after: Reading.use, the exposure;   error: counted, for the SDK itself swallows it

Status is NOT_READY until the room has read its flags, STALE while they may be old, READY else.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    ProviderNotReadyError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagType, FlagValueType, Reason
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, FeatureProvider, Metadata
from openfeature.track import TrackingEventDetails

from holdfast.rooms.experiments.openfeature.hook import Counted, ExposureHook, Told
from holdfast.rooms.experiments.rules.flags import Evaluation, Flag
from holdfast.rooms.experiments.rules.ofrep import metadata_of

LONGEST_WAIT_S = 30.0
"""That the SDK's thread waits for the room; it was somebody else's thread after all, if nothing comes."""
NOT_STARTED = "the room experiments has not started: start the server first"
_TYPES: Mapping[FlagType, tuple[type, ...]] = {
    FlagType.BOOLEAN: (bool,),
    FlagType.STRING: (str,),
    FlagType.INTEGER: (int,),
    FlagType.FLOAT: (float, int),
    FlagType.OBJECT: (dict, list, tuple),
}
_CODES = {
    "FLAG_NOT_FOUND": ErrorCode.FLAG_NOT_FOUND,
    "INVALID_CONTEXT": ErrorCode.INVALID_CONTEXT,
    "TARGETING_KEY_MISSING": ErrorCode.TARGETING_KEY_MISSING,
}


class Source(Protocol):
    """What the provider asks of the room."""

    @property
    def version(self) -> int | None:
        """Of the rules in use; None before any were read."""
        ...

    @property
    def is_stale(self) -> bool:
        """Whether the rules may be older than those in the database."""
        ...

    @property
    def flags(self) -> Mapping[str, Flag]: ...

    def look(self, flag: Flag, unit: object, attributes: Mapping[str, Any]) -> Evaluation:
        """What a unit would get, its errors counted; no exposure."""
        ...

    def use(self, evaluation: Evaluation) -> None:
        """Its exposure; never raises."""
        ...

    def failed(self, name: str, code: str) -> None:
        """Count an evaluation that went wrong."""
        ...

    @property
    def track(self) -> Callable[[str, str, Mapping[str, Any]], None]:
        """Write down what a user did: action, user, facts."""
        ...


class HoldfastProvider(AbstractProvider):
    """Flags of the room for OpenFeature's clients; one for each room, and `pulse` keeps its status true."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._hooks: list[Hook] = [ExposureHook(source)]
        self._started = threading.Event()
        self._awaited = False
        """Whether the SDK was told that the room is not ready, and now waits to hear that it is."""
        self._was_stale = False
        self._version: int | None = None

    def get_metadata(self) -> Metadata:
        return Metadata(name="holdfast")

    def get_provider_hooks(self) -> list[Hook]:
        return self._hooks

    # -- status -------------------------------------------------------------------------------

    def attach(self, on_emit: Callable[[FeatureProvider, ProviderEvent, ProviderEventDetails], None]) -> None:
        """Before `initialize`, whose thread a shutdown may overtake: then it must not wait any more."""
        self._started = threading.Event()
        super().attach(on_emit)

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Ready once the flags are read. `set_provider` calls it in a thread, which waits for that a while.

        `set_provider_and_wait` calls it where the room itself may have to start: there it raises at once.
        Whoever was told so hears that it is ready when it is.
        """
        if self._source.version is None and _may_wait():
            self._started.wait(LONGEST_WAIT_S)
        self._awaited = self._source.version is None
        if self._awaited:
            raise ProviderNotReadyError(NOT_STARTED)
        self._was_stale, self._version = False, self._source.version

    def shutdown(self) -> None:
        """Let go of whoever waits for the start, or is about to."""
        self._started.set()

    def pulse(self) -> None:
        """Tell the SDK what has changed since the last time. The room calls it at each look at its rules."""
        source = self._source
        version = source.version
        if version is None:
            return
        self._started.set()
        if self._awaited:
            self._awaited = False
            self._emit(ProviderEvent.PROVIDER_READY)
        if source.is_stale != self._was_stale:
            self._was_stale = source.is_stale
            self._emit(ProviderEvent.PROVIDER_STALE if source.is_stale else ProviderEvent.PROVIDER_READY)
        if self._version not in (None, version):
            self._emit(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
        self._version = version

    def _emit(self, event: ProviderEvent) -> None:
        on_emit = getattr(self, "_on_emit", None)
        if on_emit is not None:
            on_emit(self, event, ProviderEventDetails())

    # -- look-ups: the SDK passes its arguments by keyword, so their names are part of the interface ---

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(FlagType.BOOLEAN, flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(FlagType.STRING, flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(FlagType.INTEGER, flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(FlagType.FLOAT, flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._resolve(FlagType.OBJECT, flag_key, default_value, evaluation_context)

    def _resolve(
        self, kind: FlagType, key: str, default: Any, context: EvaluationContext | None
    ) -> FlagResolutionDetails[Any]:
        """The details; what went wrong is raised, as the SDK's async client hands out a wrong value else."""
        if self._source.version is None:
            raise ProviderNotReadyError(NOT_STARTED)
        flag = self._source.flags.get(key)
        if flag is None:
            raise FlagNotFoundError(f"there is no flag {key!r:.120}")
        asked = context or EvaluationContext()
        found = self._source.look(flag, asked.targeting_key, _plain(asked.attributes))
        if found.error:
            raise Counted(_CODES.get(found.error, ErrorCode.GENERAL), f"{key}: {found.error}")
        return FlagResolutionDetails(
            value=default if found.value is None else fitting(kind, found.value, key),
            reason=Reason(found.reason),
            variant=found.variant,
            flag_metadata=Told(metadata_of(flag), found),
        )

    # -- what users did -----------------------------------------------------------------------

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """A product event of the targeting key, else of the current request's user."""
        user_id = (evaluation_context.targeting_key if evaluation_context else None) or ""
        facts: dict[str, Any] = {}
        if tracking_event_details is not None:
            facts.update(tracking_event_details.attributes)
            if tracking_event_details.value is not None:
                facts["value"] = tracking_event_details.value
        self._source.track(tracking_event_name, user_id, facts)


def _may_wait() -> bool:
    """Whether this is the SDK's own thread, a daemon without a loop, and not who has to start the room."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return threading.current_thread().daemon
    return False


def fitting(kind: FlagType, value: Any, key: str) -> Any:
    """`value` as the type asked for, or TypeMismatchError. A bool is no number, an integer is a float."""
    fits: bool = isinstance(value, _TYPES[kind])
    if not fits or isinstance(value, bool) != (kind is FlagType.BOOLEAN):
        raise TypeMismatchError(f"{key} is a {type(value).__name__}, asked for as {kind.value}")
    return float(value) if kind is FlagType.FLOAT else value


def _plain(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Attributes as rules compare them: instants as text."""
    if not any(isinstance(value, datetime) for value in attributes.values()):
        return attributes
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in attributes.items()
    }
