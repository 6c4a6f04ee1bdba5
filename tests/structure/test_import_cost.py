"""`import holdfast` costs no more than `import asyncio`."""

import os
import resource
import subprocess
import sys

ROUNDS = 15
HEAVY = frozenset(
    {"asyncio", "msgspec", "sqlalchemy", "alembic", "uvicorn", "uvloop", "httptools", "asyncpg", "jwt"}
    | {"numpy", "scipy", "duckdb", "zstandard", "brotli", "prometheus_client"}
    | {"starlette", "fastapi", "litestar"}
)
LOADED = "import sys; before = set(sys.modules); import {}; print(*sorted(set(sys.modules) - before))"


def run(code: str) -> str:
    """What a fresh interpreter prints, its byte code already written."""
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ}
    ).stdout


def cpu_s(code: str) -> float:
    """User and system seconds of one fresh interpreter; other processes on the machine do not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_it_loads_nothing_heavy_and_fewer_modules_than_asyncio():
    loaded = run(LOADED.format("holdfast")).split()
    assert "holdfast" in loaded
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert [name for name in loaded if name.startswith("holdfast.")] == []
    assert len(loaded) < len(run(LOADED.format("asyncio")).split())


def test_it_takes_no_more_processor_time_than_asyncio():
    run("import holdfast, asyncio")
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(cpu_s("import holdfast"))
        theirs.append(cpu_s("import asyncio"))
    assert min(ours) <= min(theirs), (
        f"holdfast {min(ours):.4f} s, asyncio {min(theirs):.4f} s of processor time"
    )
