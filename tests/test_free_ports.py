"""Ports that a server can come back to, whatever else the machine does meanwhile."""

import subprocess
import sys
from pathlib import Path

from tests.free_ports import free_port

ROOT = Path(__file__).parents[1]
TEN = "from tests.free_ports import free_port; print(*(free_port() for _ in range(10)), flush=True); input()"


def test_no_port_is_given_twice_by_any_process():
    own = [free_port() for _ in range(10)]
    child = subprocess.Popen(
        [sys.executable, "-c", TEN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    theirs = [int(port) for port in child.stdout.readline().split()]
    more = [free_port() for _ in range(10)]
    child.communicate("\n")
    assert len({*own, *theirs, *more}) == 30
