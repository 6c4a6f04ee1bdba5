import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from holdfast.kernel.context import detached, enter, leave
from holdfast.kernel.event import Event
from holdfast.rooms.telemetry.engine.logging import Installation, RecordHandler
from tests.rooms.telemetry.engine.sink import Kept


@pytest.fixture
def kept() -> Kept:
    return Kept()


SHOP = logging.Logger("tests.shop", logging.DEBUG)
"""Outside the tree, so that only our handler hears it: pytest's own fails a test on a bad format."""


@pytest.fixture
def logger(kept: Kept) -> Iterator[logging.Logger]:
    SHOP.addHandler(RecordHandler(kept))
    yield SHOP
    SHOP.handlers.clear()


def test_a_call_becomes_a_line_with_the_requests_ids(logger: logging.Logger, kept: Kept):
    event = Event(trace_id="t" * 32, span_id="s" * 16, request_id="r-1", user_id="김")
    token = enter(detached(event))
    try:
        logger.warning("결제 %s: %d원", "초과", 39_000)
    finally:
        leave(token)
    (line,) = kept.records
    assert (line.level, line.logger, line.message) == ("warning", "tests.shop", "결제 초과: 39000원")
    assert (line.trace_id, line.span_id, line.request_id, line.user_id) == ("t" * 32, "s" * 16, "r-1", "김")
    assert line.timestamp.endswith("Z")
    assert line.facts is None


def test_outside_a_request_a_line_stands_alone(logger: logging.Logger, kept: Kept):
    logger.info("started")
    assert kept.records[0].request_id == ""
    assert kept.records[0].level == "info"


def test_extra_fields_are_facts(logger: logging.Logger, kept: Kept):
    logger.info("bought", extra={"item": "A-17", "price": 39_000})
    assert kept.records[0].facts == {"item": "A-17", "price": 39_000}


def test_an_exception_brings_type_message_and_stack(logger: logging.Logger, kept: Kept):
    try:
        raise ValueError("한도 초과")
    except ValueError:
        logger.exception("failed")
    (line,) = kept.records
    assert (line.level, line.error_type, line.error_message) == ("error", "ValueError", "한도 초과")
    assert "test_an_exception_brings" in line.error_stack
    assert line.error_stack.endswith("ValueError: 한도 초과")


def test_a_stack_can_come_without_an_exception(logger: logging.Logger, kept: Kept):
    logger.info("here", stack_info=True)
    logger.error("none", exc_info=True)
    assert "Stack (most recent call last)" in kept.records[0].error_stack
    assert kept.records[1].error_type == ""


def test_arguments_that_do_not_fit_cost_nothing_but_themselves(logger: logging.Logger, kept: Kept):
    logger.info("%d apples", "some")
    assert kept.records[0].message == "%d apples [arguments do not fit: TypeError]"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


class Chatty:
    def __str__(self) -> str:
        SHOP.info("from inside")
        return "chatty"


def test_what_is_logged_may_be_hostile_or_log_itself(logger: logging.Logger, kept: Kept):
    logger.info(Hostile())
    logger.info("%s", Chatty())
    logger.info("after")
    messages = [line.message for line in kept.records]
    assert messages == ["<Hostile that cannot be shown: RuntimeError>", "chatty", "after"]


class Broken:
    def append(self, record: object) -> None:
        SHOP.error("the log is broken")
        raise OSError("broken")


def test_a_broken_log_neither_fails_the_caller_nor_loops(logger: logging.Logger):
    logger.handlers[:] = [RecordHandler(Broken())]
    logger.error("once")
    logger.error("twice")


def test_every_thread_keeps_its_own_time_and_request(logger: logging.Logger, kept: Kept):
    def work(name: str) -> None:
        token = enter(detached(Event(request_id=name)))
        for _ in range(200):
            logger.info(name)
        leave(token)

    threads = [threading.Thread(target=work, args=(f"r-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept.records) == 800
    assert all(line.request_id == line.message for line in kept.records)


def test_debug_lines_stop_when_told_and_are_counted(logger: logging.Logger, kept: Kept):
    sink = logger.handlers[0].sink
    sink.debug_stopped = True
    logger.debug("gone")
    logger.info("kept")
    assert [line.message for line in kept.records] == ["kept"]
    assert sink.debug_lines_stopped == 1


def test_a_filter_on_the_handler_holds(logger: logging.Logger, kept: Kept):
    logger.handlers[0].addFilter(lambda record: record.levelno >= logging.ERROR)
    logger.info("no")
    logger.error("yes")
    assert [line.message for line in kept.records] == ["yes"]


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger as a fresh interpreter has it, and as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_installing_opens_a_bare_root_and_uninstalling_leaves_it_bare(kept: Kept, capsys):
    installation = Installation(kept, level="info", echo=True)
    with bare_root() as root:
        for _ in range(2):
            installation.install()
        logging.getLogger("tests.any").info("quiet")
        logging.getLogger("tests.any").warning("loud")
        for _ in range(2):
            installation.uninstall()
        assert (root.handlers, root.level) == ([], logging.WARNING)
    assert [line.message for line in kept.records] == ["quiet", "loud"]
    assert capsys.readouterr().err == "WARNING tests.any: loud\n"


def test_a_root_that_the_user_set_up_keeps_its_handlers_and_level(kept: Kept, capsys):
    own = logging.NullHandler()
    installation = Installation(kept, level="info", echo=True)
    with bare_root() as root:
        root.addHandler(own)
        root.setLevel(logging.ERROR)
        installation.install()
        logging.getLogger("tests.any").warning("below the user's level")
        logging.getLogger("tests.any").error("taken")
        installation.uninstall()
        assert (root.handlers, root.level) == ([own], logging.ERROR)
    assert [line.message for line in kept.records] == ["taken"]
    assert capsys.readouterr().err == ""


def test_a_level_that_was_set_since_stays(kept: Kept):
    installation = Installation(kept, level="info", echo=False)
    with bare_root() as root:
        installation.install()
        root.setLevel(logging.CRITICAL)
        installation.uninstall()
        assert root.level == logging.CRITICAL
