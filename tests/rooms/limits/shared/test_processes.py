"""Four real processes and one limit: never over it, with the server and without."""

import asyncio
import sys

from holdfast.rooms.limits.store.keys import NODES
from tests.waiting import until

QUOTA = 200


async def start(url, number):
    command = (sys.executable, "-m", "benchmarks.apps.limits_node", "ours", url, str(QUOTA), f"node-{number}")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert await process.stdout.readline() == b"ready\n"
    return process


async def burst(processes, identity):
    """Every process asks for the whole limit at once; (admitted, failed)."""
    for process in processes:
        process.stdin.write(f"{identity} {QUOTA}\n".encode())
    said = [(await process.stdout.readline()).split() for process in processes]
    return sum(int(each[0]) for each in said), sum(int(each[1]) for each in said)


async def test_four_processes_keep_to_one_limit(own_redis):
    processes = await asyncio.gather(*(start(own_redis.url, number) for number in range(4)))
    await until(lambda: own_redis.ask("ZCARD", NODES) == 4)
    # Each says that it lives every 0.2 s, and hears the others: two more beats of all.
    for _ in range(2):
        before = dict(_beats(own_redis))
        await until(lambda seen=before: all(seen[node] != at for node, at in _beats(own_redis)))
    for at in range(5):
        admitted, failed = await burst(processes, f"user:{at}")
        assert QUOTA * 0.75 <= admitted <= QUOTA
        assert failed == 0
    own_redis.kill()
    for at in range(3):
        admitted, failed = await burst(processes, f"late:{at}")
        assert QUOTA * 0.75 <= admitted <= QUOTA
        assert failed == 0
    for process in processes:
        process.stdin.close()
        await process.wait()


def _beats(server):
    said = server.ask("ZRANGE", NODES, 0, -1, "WITHSCORES")
    return list(zip(said[::2], said[1::2], strict=True))
