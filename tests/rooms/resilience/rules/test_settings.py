import msgspec
import pytest

from holdfast.kernel.config import load_settings
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.guard import BreakerRules, Guard
from holdfast.rooms.resilience.rules.settings import Config, Dependency, guard_options, retry_of


def read(tmp_path, text, env=None):
    file = tmp_path / "holdfast.toml"
    file.write_text(text, "utf-8")
    return load_settings({"resilience": Config}, file=file, env=env or {}).section("resilience", Config)


def test_dependencies_are_declared_by_name(tmp_path):
    found = read(
        tmp_path,
        """
        [resilience]
        probe_every_s = 2
        [resilience.dependencies.payments]
        timeout_s = 5
        recovery = "fixed:300"
        shared = true
        [resilience.dependencies."농장 날씨"]
        concurrent = 8
        """,
    )
    assert found.dependencies == {
        "payments": Dependency(timeout_s=5, recovery="fixed:300", shared=True),
        "농장 날씨": Dependency(concurrent=8),
    }
    assert found.probe_every_s == 2


def test_the_environment_gives_them_as_json(tmp_path):
    env = {"HOLDFAST_RESILIENCE_DEPENDENCIES": '{"mail": {"open_s": 1}}'}
    assert read(tmp_path, "", env).dependencies == {"mail": Dependency(open_s=1)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("timeout_z = 5", "timeout_z"),
        ("timeout_s = -1", "timeout_s"),
        ('recovery = "sometimes"', "recovery"),
        ("attempts = 0", "attempts"),
        ("ratio = 2", "ratio"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path, line, said):
    with pytest.raises(Misconfigured, match=said):
        read(tmp_path, f"[resilience.dependencies.pay]\n{line}\n")


def test_every_default_makes_a_guard():
    guard = Guard("pay", **guard_options(Dependency()))
    assert guard.timeout_s == 30
    assert guard.breaker.rules == BreakerRules()
    assert guard.hedging is None
    assert guard.retry is None, "what to retry on only code can say"
    assert retry_of(Dependency(attempts=5), OSError).attempts == 5


def test_zero_sets_no_limit_and_everything_can_be_given():
    bare = guard_options(Dependency(timeout_s=0, breaker=False))
    assert (bare["timeout_s"], bare["breaker"], bare["bulkhead"], bare["hedge"]) == (None, None, None, None)
    full = guard_options(
        Dependency(
            attempt_s=1,
            connect_s=2,
            first_byte_s=3,
            idle_s=4,
            concurrent=5,
            queue=6,
            hedge=True,
            hedge_delay_s=0.5,
            budget=0.1,
            budget_floor=1,
        )
    )
    assert msgspec.structs.asdict(full["timeouts"]) == {
        "connect_s": 2,
        "first_byte_s": 3,
        "idle_s": 4,
        "total_s": 1,
    }
    assert (full["bulkhead"].concurrent, full["bulkhead"].queue) == (5, 6)
    assert (full["hedge"].delay_s, full["budget"].share, full["budget"].floor) == (0.5, 0.1, 1)
