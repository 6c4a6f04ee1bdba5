"""`holdfast faults`: the fake provider as a process of its own."""

import argparse
import asyncio
import signal
from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Misconfigured
from holdfast.kernel.room import Verb
from holdfast.rooms.faults.engine.server import FaultServer
from holdfast.rooms.faults.rules.listing import listed
from holdfast.rooms.faults.rules.settings import Config


class Verbs:
    """The room's command; what it is not given comes from the settings."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def all(self) -> Sequence[Verb]:
        summary = "a fake model provider whose model names select faults, to test an app with"
        return (Verb("faults", summary, self.serve, _arguments, alone=True),)

    async def serve(self, options: argparse.Namespace) -> int:
        """Serve until SIGTERM or SIGINT."""
        if options.list:
            print(listed())
            return 0
        config = chosen(self._config, options)
        server = FaultServer(
            host=config.host,
            port=config.port,
            seed=config.seed,
            delay_ms=config.delay_ms,
            fault=config.fault,
            clock=self._clock,
        )
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        async with server:
            print(f"holdfast faults: {server.url}", flush=True)
            await told.wait()
        return 0


def chosen(config: Config, options: argparse.Namespace) -> Config:
    """The settings with what the command line says in their place; Misconfigured names what is wrong."""
    given: dict[str, Any] = {
        name: value for name in Config.__struct_fields__ if (value := getattr(options, name)) is not None
    }
    if not given:
        return config
    try:
        return msgspec.convert({**msgspec.to_builtins(config), **given}, Config, strict=False)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        option = place.rstrip("`").replace("_", "-")
        raise Misconfigured(f"--{option}: {text}", hint="holdfast faults --help says what it takes") from None


def _arguments(parser: argparse.ArgumentParser) -> None:
    # All texts: what they must be stands in the settings alone, and a wrong one is told in one line.
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", metavar="N", help="port to listen on (default 8009); 0: a free one")
    parser.add_argument("--seed", metavar="N", help="what the fault `flaky` follows from (default 0)")
    parser.add_argument("--delay-ms", metavar="MS", help="comes before every answer (default 0)")
    parser.add_argument("--fault", metavar="NAME", help="for models whose name selects none")
    parser.add_argument("--list", action="store_true", help="print every fault and leave")
