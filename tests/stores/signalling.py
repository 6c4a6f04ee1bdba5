"""What the tests of presence and bells share: processes that can be killed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.kernel.clock import SystemClock
from holdfast.stores.migrate import migrate
from holdfast.stores.open import open_signals, open_sql
from tests.stores import contract


@contextmanager
def child(what: str, url: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """This module in a process of its own; it prints a line when it has done `what`, and then waits."""
    command = [sys.executable, "-m", "tests.stores.signalling", what, url, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def _hold(url: str, folder: Path) -> None:
    presence = open_signals(url, folder, SystemClock()).presence
    await presence.hold("child")
    print("held", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def _hold_and_fork(url: str, folder: Path) -> None:
    """Its child lives on and never executes another program: the lock must not live on with it."""
    presence = open_signals(url, folder, SystemClock()).presence
    await presence.hold("child")
    fork = os.fork()
    if not fork:
        sys.stdin.read()
        os._exit(0)
    print("held", flush=True)
    await asyncio.Event().wait()


async def _ring(url: str, folder: Path) -> None:
    bell = open_signals(url, folder, SystemClock()).bell
    sql = open_sql(url, folder, SystemClock())
    await sql.start()
    await migrate(sql, {"contract": contract.MIGRATIONS})
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await sql.run(contract.INSERT, contract.thing(1))
    bell.ring("bulk")
    await asyncio.to_thread(sys.stdin.readline)
    await bell.close()
    await sql.stop()


if __name__ == "__main__":
    asyncio.run(
        {"hold": _hold, "fork": _hold_and_fork, "ring": _ring}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
    )
