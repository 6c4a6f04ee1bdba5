import pytest

from holdfast.kernel.event import LogLine
from holdfast.rooms.telemetry.engine.lines import LineSink, add_error, text_of
from tests.rooms.telemetry.engine.sink import Kept


class OurError(Exception):
    """An error with a module."""


def test_an_errors_type_says_its_module_unless_it_is_pythons_own():
    line = LogLine()
    add_error(line, (OurError, OurError("a"), None))
    assert line.error_type == f"{__name__}.OurError"
    add_error(line, (KeyError, KeyError("b"), None), "as formatted before")
    assert (line.error_type, line.error_stack) == ("KeyError", "as formatted before")


def test_while_a_line_is_taken_no_other_is_wanted():
    sink = LineSink(Kept())
    assert sink.wants("info")
    with sink:
        assert not sink.wants("error")
    assert sink.wants("info")


def test_a_failure_while_taking_a_line_does_not_stop_the_next():
    sink = LineSink(Kept())
    with pytest.raises(OurError), sink:
        raise OurError
    assert sink.wants("info")


def test_any_value_has_a_text():
    class Mute:
        def __str__(self) -> str:
            raise ValueError

    assert text_of("가") == "가"
    assert text_of(7) == "7"
    assert text_of(Mute()) == "<Mute that cannot be shown: ValueError>"
