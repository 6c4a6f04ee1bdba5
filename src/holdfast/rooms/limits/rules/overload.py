"""The answer to whom there is no place for, and when to come back. Pure."""

from collections.abc import Callable

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import Unavailable

_HINT = "wait as long as Retry-After says, then try again; back off further each time"
KINDS = 16
"""How many refusals are made ready, each with a time of return of its own."""


class Overloaded(Unavailable):
    """The server has more work than it can do in time."""

    code = "overloaded"

    # Made once and answered thousands of times a second, just when time is short: body and headers
    # are ready, and only the request's id is put in. It is returned, never raised: an exception that
    # is shared must not collect tracebacks.
    def __init__(self, retry_after_s: float) -> None:
        super().__init__("", hint=_HINT, retry_after_s=retry_after_s)
        self._headers = super().headers()
        document = super().body("\0")
        self._head, _, self._tail = document.partition(encode_json("\0"))

    def body(self, request_id: str) -> bytes:
        return self._head + encode_json(request_id) + self._tail

    def headers(self) -> list[tuple[bytes, bytes]]:
        return self._headers.copy()


def refusals(retry_after_s: float, spread_s: float, chance: Callable[[], float]) -> tuple[Overloaded, ...]:
    """Refusals whose times of return are spread evenly over `spread_s`, in a random order.

    Who is refused at the same moment must not return at the same moment. `chance` draws from 0..1.
    """
    times = [retry_after_s + spread_s * index / (KINDS - 1) for index in range(KINDS)]
    times.sort(key=lambda _: chance())
    return tuple(Overloaded(time_s) for time_s in times)
