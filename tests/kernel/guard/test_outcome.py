import asyncio
from types import SimpleNamespace

import pytest

from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.kernel.guard.outcome import (
    ANSWERED,
    FAILED,
    NEUTRAL,
    mark_retried,
    matcher,
    retried_below,
    retry_after_of,
    verdict,
)
from holdfast.kernel.guard.problems import (
    circuit_open,
    deadline_exceeded,
    timed_out,
)

from .stage import Told


class FromHttpx(Exception):
    def __init__(self, status):
        super().__init__()
        self.response = SimpleNamespace(status_code=status)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(), FAILED),
        (TimeoutError(), FAILED),
        (timed_out("pay", "connect", 1), FAILED),
        (deadline_exceeded("pay", "x"), FAILED),
        (Told(500), FAILED),
        (Told(529), FAILED),
        (Told(408), FAILED),
        (FromHttpx(503), FAILED),
        (Unavailable(), FAILED),
        (Told(200), FAILED),
        (Told(404), ANSWERED),
        (FromHttpx(401), ANSWERED),
        (BadInput(), ANSWERED),
        (Told(429), NEUTRAL),
        (circuit_open("other", 1), NEUTRAL),
        (asyncio.CancelledError(), NEUTRAL),
        (KeyboardInterrupt(), NEUTRAL),
        (GeneratorExit(), NEUTRAL),
    ],
)
def test_what_an_error_says_of_the_dependency(error, said):
    assert verdict(error) == said


def test_types_and_predicates_match_but_never_what_a_guard_refused():
    assert matcher(OSError)(ConnectionError())
    assert not matcher((OSError, ValueError))(KeyError())
    assert matcher(lambda error: "again" in str(error))(RuntimeError("again"))
    assert not matcher(Exception)(circuit_open("pay", 1))
    assert not matcher(lambda error: True)(deadline_exceeded("pay", "x"))
    assert matcher(TimeoutError)(timed_out("pay", "connect", 1))


@pytest.mark.parametrize("wrong", [None, (), ("OSError",), 3])
def test_what_is_neither_type_nor_predicate_is_refused(wrong):
    with pytest.raises(TypeError, match="on="):
        matcher(wrong)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (2.5, 2.5),
        (None, None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        ("5", None),
        (True, None),
    ],
)
def test_only_a_plain_number_is_a_hint(value, seconds):
    assert retry_after_of(Told(503, value)) == seconds


def test_an_error_that_was_retried_below_is_known_through_its_wrapping():
    inner, outer = object(), object()
    error = mark_retried(OSError(), inner)
    wrapped = RuntimeError()
    wrapped.__cause__ = error
    assert retried_below(error, outer)
    assert retried_below(wrapped, outer)
    assert not retried_below(error, inner)
    assert not retried_below(OSError(), outer)
