"""Functions as jobs: what they take, how they are called, and how another process finds them again."""

import inspect
import pkgutil
import runpy
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec

from holdfast.kernel.errors import Misconfigured
from holdfast.ports.jobs import JobFunction, Run
from holdfast.rooms.jobs.rules.payloads import signature_of, spread

Function = Callable[..., Any]


class Plain:
    """A function of ordinary parameters, called as a job: its payload's fields are its arguments.

    `async def index(run, doc_id: int, tag: str = "")` takes `{"doc_id": 7}`; `run` may be left out.
    """

    __slots__ = ("function", "payload", "signature")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.signature = signature_of(function)
        self.payload = self.signature.payload

    def __call__(self, run: Run, payload: Any) -> Any:
        if not self.signature.is_spread:
            return self.function(run, payload) if self.signature.takes_run else self.function(payload)
        given = spread(payload)
        return self.function(run, **given) if self.signature.takes_run else self.function(**given)


def function_of(run: JobFunction) -> Function:
    """What a person wrote, inside whatever calls it."""
    found: Any = run
    while isinstance(found, Plain | partial):
        found = found.function if isinstance(found, Plain) else found.func
    return found  # type: ignore[no-any-return] # a partial's function is what it was given


def is_async(run: JobFunction) -> bool:
    """Whether it runs on the loop; a plain function gets a thread."""
    found = function_of(run)
    return inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None))  # noqa: B004 - whether calling it gives a coroutine


class Address(msgspec.Struct, frozen=True):
    """Where another process finds a function or a type."""

    module: str
    name: str
    main: str = ""
    """Of `__main__`: the file or `-m module` that it was started from."""


def address_of(thing: Any) -> Address:
    """Its address; raises Misconfigured for what only this process can have: a closure, a bound method."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    if not module or not name or "<" in name or inspect.ismethod(thing):
        raise Misconfigured(
            f"another process cannot find {thing!r}",
            hint="an isolated job is a function of a module, its payload a plain type or a class there",
        )
    return Address(module, name, _main() if module == "__main__" else "")


def _main() -> str:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return f"-m {spec.name}" if spec is not None else str(getattr(main, "__file__", ""))


def find(address: Address) -> Any:
    """What stands there, its module imported; raises LookupError with the address when nothing does."""
    try:
        if not address.main:
            return pkgutil.resolve_name(f"{address.module}:{address.name}")
        found: Any = _main_again(address)
        for part in address.name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise LookupError(f"there is no {address.name} in {address.module}: {error}") from error
    return found


def _main_again(address: Address) -> Any:
    """What the parent was started from, run under another name, so that it does not start again."""
    if address.main.startswith("-m "):
        return SimpleNamespace(**runpy.run_module(address.main[3:], run_name="__job__", alter_sys=True))
    return SimpleNamespace(**runpy.run_path(address.main, run_name="__job__"))
