"""What opens sockets runs on both event loops: asyncio's own, and the one that we serve with."""

import asyncio

import uvloop

BOTH_LOOPS = ("test_lane", "test_transports_conform")


def pytest_asyncio_loop_factories(config, item):
    """One run a loop for the transports; everything else on asyncio's own."""
    loops = {"asyncio": asyncio.new_event_loop}
    if item.path.stem in BOTH_LOOPS:
        loops["uvloop"] = uvloop.new_event_loop
    return loops
