"""A guard whose clock, waits and chance the test owns."""

import asyncio

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.guard import Guard


class Sleeps:
    """Waits that take no time: they are written down, and the clock moves on."""

    def __init__(self, clock):
        self.clock = clock
        self.waited = []

    async def __call__(self, seconds):
        self.waited.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)


class Stage:
    def __init__(self, chance=0.5, **options):
        self.clock = ManualClock()
        self.sleeps = Sleeps(self.clock)
        self.guard = Guard("pay", clock=self.clock, sleep=self.sleeps, chance=lambda: chance, **options)

    async def pass_time(self, seconds):
        """Move the clock and let everything that is then over be ended."""
        self.clock.advance(seconds)
        self.guard.expiry.sweep()
        await turns()


class Flaky:
    """An async callable that ends as told, call by call; the last ending stays."""

    def __init__(self, *endings):
        self.endings = list(endings)
        self.calls = 0

    async def __call__(self, *args, **kwargs):
        self.calls += 1
        ending = self.endings.pop(0) if len(self.endings) > 1 else self.endings[0]
        if isinstance(ending, BaseException):
            raise ending
        return ending


class Held:
    """An async callable that answers when it is let go."""

    def __init__(self):
        self.gates = []
        self.cancelled = 0

    @property
    def calls(self):
        return len(self.gates)

    async def __call__(self):
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        try:
            return await gate
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def turns(n=5):
    """Let the loop go round a few times."""
    for _ in range(n):
        await asyncio.sleep(0)


class Told(Exception):
    """An error as a client of HTTP would raise it."""

    def __init__(self, status=500, retry_after_s=None):
        super().__init__(f"status {status}")
        self.status = status
        self.retry_after_s = retry_after_s
