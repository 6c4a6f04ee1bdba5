"""Hears SIGTERM and SIGINT before the server does, so that streams are told and readiness goes off first."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_WATCHED = (signal.SIGTERM, signal.SIGINT)


class SignalWatch:
    """Chains itself before whatever handler the server installed; the server's runs after `drain_s`.

    Does nothing outside the main thread, or where the server leaves the signal at its default.
    """

    def __init__(
        self, heard: Callable[[], None], later: Callable[[float, Callable[[], Any]], Any], drain_s: float
    ):
        self._heard = heard
        self._later = later
        self._drain_s = drain_s
        self._previous: dict[int, Any] = {}
        self._count = 0

    def install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _WATCHED:
            previous = signal.getsignal(number)
            if callable(previous) and previous is not signal.default_int_handler:
                self._previous[number] = previous
                signal.signal(number, self._on_signal)

    def remove(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)
        self._previous.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous.get(number)
        self._count += 1
        self._heard()
        if previous is None:
            return
        if self._drain_s > 0 and self._count == 1:
            self._later(self._drain_s, lambda: previous(number, None))
        else:
            previous(number, frame)
