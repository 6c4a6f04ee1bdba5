import logging

import structlog

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.rooms.telemetry.engine.structlog import RecordProcessor
from tests.rooms.telemetry.engine.sink import Kept


def wrapped(kept: Kept, *, final: bool = True) -> structlog.typing.WrappedLogger:
    processor = RecordProcessor(kept, final=final, clock=ManualClock())
    printed: list[str] = []
    logger = structlog.wrap_logger(
        structlog.ReturnLogger(),
        processors=[structlog.contextvars.merge_contextvars, processor, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    return logger, printed


def test_an_event_becomes_a_line_with_the_requests_ids():
    kept = Kept()
    logger, _ = wrapped(kept)
    token = enter(detached(Event(request_id="r-1", user_id="김")))
    try:
        logger.bind(item="A-17").warning("한도 초과", price=39_000)
    finally:
        leave(token)
    (line,) = kept.records
    assert (line.level, line.message, line.request_id, line.user_id) == ("warning", "한도 초과", "r-1", "김")
    assert line.facts == {"item": "A-17", "price": 39_000}
    assert line.timestamp == "2025-06-15T15:06:40.000Z"


def test_an_exception_brings_type_message_and_stack():
    kept = Kept()
    logger, _ = wrapped(kept)
    try:
        raise ValueError("no")
    except ValueError as error:
        logger.exception("failed")
        logger.error("again", exc_info=error)
        logger.error("text", exception="Traceback as text")
    assert [line.error_type for line in kept.records] == ["ValueError", "ValueError", ""]
    assert [line.level for line in kept.records] == ["error", "error", "error"]
    assert "ValueError: no" in kept.records[0].error_stack
    assert kept.records[2].error_stack == "Traceback as text"
    assert all(line.facts is None for line in kept.records)


def test_a_final_processor_ends_the_chain_and_another_passes_on():
    kept = Kept()
    ended, _ = wrapped(kept)
    assert ended.info("x") is None
    passing, _ = wrapped(kept, final=False)
    assert passing.info("x", n=1) == '{"n": 1, "event": "x"}'
    assert len(kept.records) == 2


class Broken:
    def append(self, record: object) -> None:
        raise OSError("broken")


def test_a_broken_log_does_not_fail_the_caller():
    logger, _ = wrapped(Broken(), final=False)  # type: ignore[arg-type] # it is an event log, a bad one
    assert logger.info("x") == '{"event": "x"}'
