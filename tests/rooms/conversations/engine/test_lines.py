import asyncio

from holdfast.rooms.conversations.engine.lines import Lines


async def test_the_line_is_the_order_of_arrival():
    lines, order = Lines(10), []
    turns = [lines.take("c") for _ in range(4)]

    async def one(number):
        assert await lines.wait(turns[number], 60)
        order.append(number)
        lines.give_back("c", turns[number])

    await asyncio.gather(*(one(number) for number in (3, 1, 2, 0)))
    assert order == [0, 1, 2, 3]
    assert lines.waiting("c") == 0
    assert lines._lines == {}


async def test_who_gives_up_is_passed_over():
    lines = Lines(10)
    first, second, third = (lines.take("c") for _ in range(3))
    assert not await lines.wait(second, 0)
    lines.give_back("c", second)
    lines.give_back("c", first)
    assert await lines.wait(third, 0)
    lines.give_back("c", third)
    assert lines._lines == {}


async def test_a_turn_that_comes_while_one_gives_up_goes_on():
    lines = Lines(10)
    first, second, third = (lines.take("c") for _ in range(3))
    lines.give_back("c", first)
    assert second.done()
    lines.give_back("c", second)
    assert third.done()


async def test_a_line_is_bounded_and_its_own():
    lines = Lines(1)
    assert lines.take("c").done()
    assert not lines.take("c").done()
    assert lines.take("c") is None
    assert lines.take("d").done()
    assert lines.waiting("nobody") == 0
