"""The room brings a command and nothing else."""

import argparse

import pytest

from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.faults.engine.verbs import chosen
from holdfast.rooms.faults.room import Config, FaultsRoom


def options(**given):
    return argparse.Namespace(**{name: given.get(name) for name in Config.__struct_fields__})


def test_the_server_itself_gets_nothing_from_it():
    room = FaultsRoom(Config(), clock=ManualClock())
    assert (room.routes(), room.checks(), room.migrations) == ((), (), ())
    (verb,) = room.verbs()
    assert verb.name == "faults"
    assert verb.alone


def test_the_command_line_comes_before_the_settings():
    config = Config(port=1, seed=2)
    assert chosen(config, options()) is config
    assert chosen(config, options(port="0", delay_ms="1.5")) == Config(port=0, seed=2, delay_ms=1.5)


@pytest.mark.parametrize(
    ("name", "value"), [("port", "65536"), ("port", "x"), ("seed", "1.5"), ("delay_ms", "nan"), ("host", "")]
)
def test_a_wrong_argument_is_named(name, value):
    with pytest.raises(Misconfigured, match=f"--{name.replace('_', '-')}: "):
        chosen(Config(), options(**{name: value}))
