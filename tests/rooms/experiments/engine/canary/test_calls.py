"""One of two callables, measured."""

import asyncio

import pytest
from fastapi import HTTPException

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import BadInput, Unavailable
from holdfast.rooms.experiments.engine.canary.calls import Calls
from holdfast.rooms.experiments.rules.flags import Evaluation


class Panic(BaseException):
    """As panics of extensions in Rust arrive: no Exception."""


class Ran:
    def __init__(self, variant="treatment", *, counted=True):
        self.clock = ManualClock()
        self.told = []
        found = Evaluation("ranker", variant, True, "SPLIT", "mina", 3, counted=counted)
        self.calls = Calls(lambda name, unit: found, self.told.append, self.clock)

    def work(self, value=None, *, error=None, seconds=0.25):
        def run(**arguments):
            self.clock.advance(seconds)
            if error is not None:
                raise error
            return value, arguments

        return run

    def slow(self, value=None, *, error=None, seconds=0.25):
        async def run(**arguments):
            await asyncio.sleep(0)
            return self.work(value, error=error, seconds=seconds)(**arguments)

        return run


@pytest.mark.parametrize(("variant", "value"), [("control", "old"), ("treatment", "new"), ("other", "old")])
async def test_the_arm_decides_who_answers_and_the_answer_is_untouched(variant, value):
    ran = Ran(variant)
    found = ran.calls.run("ranker", control=ran.work("old"), treatment=ran.work("new"), text="안녕")
    assert found == (value, {"text": "안녕"})
    found = await ran.calls.run("ranker", control=ran.slow("old"), treatment=ran.slow("new"), text="hi")
    assert found == (value, {"text": "hi"})
    for outcome in ran.told:
        assert (outcome.kind, outcome.failed, outcome.seconds) == ("call", False, 0.25)
        assert outcome.uses["ranker"].variant == variant
        assert (outcome.uses["ranker"].unit, outcome.uses["ranker"].phase) == ("mina", 3)


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (ValueError("no"), True),
        (Unavailable("gone"), True),
        (BadInput("what?"), False),
        (asyncio.CancelledError(), True),
        (Panic("index out of bounds"), True),
        (KeyboardInterrupt(), False),
        (HTTPException(404), False),
        (HTTPException(503), True),
    ],
)
async def test_what_counts_as_a_failure(error, failed):
    ran = Ran()
    with pytest.raises(type(error)):
        ran.calls.run("ranker", control=ran.work(), treatment=ran.work(error=error))
    with pytest.raises(type(error)):
        await ran.calls.run("ranker", control=ran.slow(), treatment=ran.slow(error=error))
    assert [outcome.failed for outcome in ran.told] == [failed, failed]
    assert [outcome.error for outcome in ran.told] == [type(error).__name__ if failed else ""] * 2


async def test_a_caller_that_was_cancelled_is_no_failure():
    ran, waits = Ran(), asyncio.Event()

    async def treatment():
        waits.set()
        await asyncio.Event().wait()

    async def call():
        await ran.calls.run("ranker", control=ran.slow("old"), treatment=treatment, fallback=True)

    caller = asyncio.create_task(call())
    await waits.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert [(outcome.failed, outcome.error) for outcome in ran.told] == [(False, "")]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Panic("no")])
async def test_control_answers_for_what_is_no_exception_as_well(error):
    ran = Ran()
    broken, slow = ran.work(error=error), ran.slow(error=error)
    assert ran.calls.run("ranker", control=ran.work("old"), treatment=broken, fallback=True)[0] == "old"
    assert (await ran.calls.run("ranker", control=ran.slow("old"), treatment=slow, fallback=True))[0] == "old"
    assert [outcome.error for outcome in ran.told] == [type(error).__name__] * 2


async def test_control_answers_instead_and_the_failure_still_counts():
    ran = Ran()
    broken, slow = ran.work(error=ValueError()), ran.slow(error=ValueError())
    assert ran.calls.run("ranker", control=ran.work("old"), treatment=broken, fallback=True)[0] == "old"
    assert (await ran.calls.run("ranker", control=ran.slow("old"), treatment=slow, fallback=True))[0] == "old"
    assert (await ran.calls.run("ranker", control=ran.work("old"), treatment=slow, fallback=True))[0] == "old"
    assert [outcome.failed for outcome in ran.told] == [True, True, True]
    with pytest.raises(BadInput):
        ran.calls.run("ranker", control=ran.work(), treatment=ran.work(error=BadInput()), fallback=True)


def test_control_that_fails_is_not_asked_twice():
    ran = Ran("control")
    with pytest.raises(ValueError, match="broken"):
        ran.calls.run(
            "ranker", control=ran.work(error=ValueError("broken")), treatment=ran.work(), fallback=True
        )
    assert len(ran.told) == 1


def test_who_is_not_counted_leaves_no_outcome():
    ran = Ran(counted=False)
    ran.calls.run("ranker", control=ran.work(), treatment=ran.work())
    assert ran.told == []


def test_what_control_raises_is_not_shown_as_raised_by_the_failure_of_the_treatment():
    ran = Ran()
    with pytest.raises(KeyError) as raised:
        ran.calls.run(
            "ranker",
            control=ran.work(error=KeyError("old")),
            treatment=ran.work(error=ValueError("new")),
            fallback=True,
        )
    assert raised.value.__context__ is None


# -- streams --------------------------------------------------------------------------------------


class Streams(Ran):
    """Two parts, a second each; `how` is the kind of callable that gives them."""

    def __init__(self, how, variant="treatment"):
        super().__init__(variant)
        self.how = how
        self.closed = 0

    def parts(self, error=None):
        def now():
            try:
                for part in ("하나", "둘"):
                    self.clock.advance(1.0)
                    yield part
                if error is not None:
                    raise error
            finally:
                self.closed += 1

        async def later():
            try:
                for part in ("하나", "둘"):
                    await asyncio.sleep(0)
                    self.clock.advance(1.0)
                    yield part
                if error is not None:
                    raise error
            finally:
                self.closed += 1

        async def opened():
            return later()

        return {"sync": now, "async": later, "awaited": opened}[self.how]

    async def begin(self, error=None, **how):
        """The stream, with as much of it as has been used when the test says so."""
        found = self.calls.run("ranker", control=self.parts(error), treatment=self.parts(error), **how)
        return await found if self.how == "awaited" else found

    async def used(self, stream, most=9):
        found = []
        for _ in range(most):
            try:
                found.append(next(stream) if self.how == "sync" else await anext(stream))
            except (StopIteration, StopAsyncIteration):
                break
        return found

    async def close(self, stream):
        if self.how == "sync":
            stream.close()
        else:
            await stream.aclose()


HOW = pytest.mark.parametrize("how", ["sync", "async", "awaited"])


@HOW
@pytest.mark.parametrize("variant", ["control", "treatment"])
async def test_a_stream_is_measured_until_it_ends(how, variant):
    streams = Streams(how, variant)
    stream = await streams.begin()
    assert await streams.used(stream, 1) == ["하나"]
    assert streams.told == []
    assert await streams.used(stream) == ["둘"]
    [outcome] = streams.told
    assert (outcome.failed, outcome.seconds, outcome.uses["ranker"].variant) == (False, 2.0, variant)
    assert streams.closed == 1


@HOW
@pytest.mark.parametrize("variant", ["control", "treatment"])
async def test_a_stream_that_breaks_is_a_failure_and_goes_on_alone(how, variant):
    streams = Streams(how, variant)
    stream = await streams.begin(ValueError("no"), fallback=True)
    assert await streams.used(stream, 2) == ["하나", "둘"]
    with pytest.raises(ValueError, match="no"):
        await streams.used(stream)
    [outcome] = streams.told
    assert (outcome.failed, outcome.error, outcome.seconds) == (True, "ValueError", 2.0)
    assert streams.closed == 1


@HOW
@pytest.mark.parametrize("left", ["closed", "cancelled"])
async def test_a_caller_that_leaves_a_stream_is_no_failure(how, left):
    streams = Streams(how)
    stream = await streams.begin(asyncio.CancelledError() if left == "cancelled" else None)
    if left == "closed":
        await streams.used(stream, 1)
        await streams.close(stream)
    else:

        async def used():
            await streams.used(stream, 2)
            asyncio.current_task().cancel()
            await streams.used(stream)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(used())
    [outcome] = streams.told
    assert (outcome.failed, outcome.error) == (False, "")
    assert outcome.seconds == (1.0 if left == "closed" else 2.0)
    assert streams.closed == 1


async def test_what_is_sent_into_a_stream_reaches_it():
    ran = Ran()

    def now():
        return (yield (yield 1))

    async def later():
        yield (yield 1)

    stream = ran.calls.run("ranker", control=now, treatment=now)
    assert (next(stream), stream.send(2)) == (1, 2)
    with pytest.raises(StopIteration) as ended:
        stream.send(3)
    assert ended.value.value == 3
    stream = ran.calls.run("ranker", control=later, treatment=later)
    assert (await anext(stream), await stream.asend(2)) == (1, 2)
    await stream.aclose()
    assert [outcome.failed for outcome in ran.told] == [False, False]
