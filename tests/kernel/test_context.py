"""The context of a request: who finds it, and where."""

import asyncio

from holdfast.kernel.context import current, current_ctx, detached, enter, leave
from holdfast.kernel.event import Event


async def test_the_bare_look_up_finds_what_current_ctx_finds():
    assert current() is current_ctx() is None
    ctx = detached(Event())
    token = enter(ctx)
    assert current() is current_ctx() is ctx
    leave(token)
    assert current() is None


async def test_each_task_finds_its_own():
    async def inside(ctx):
        enter(ctx)
        await asyncio.sleep(0)
        return current()

    contexts = [detached(Event()) for _ in range(3)]
    assert await asyncio.gather(*map(inside, contexts)) == contexts
    assert current() is None
