"""Functions as jobs: what they take, how they are called, and how another process finds them again."""

import importlib
import inspect
import runpy
import sys
import typing
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec

from holdfast.kernel.errors import Misconfigured
from holdfast.ports.jobs import JobFunction, Run

Function = Callable[..., Any]


class Fields:
    """A function of ordinary parameters, called as a job: its payload's fields are its arguments.

    `async def index(run, doc_id: int, tag: str = "")` takes `{"doc_id": 7}`; `run` may be left out. Parameters
    without an annotation take anything. Raises Misconfigured for what has no name: `*args`, `**more`.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        names, self.takes_run = _parameters(function)
        hints = typing.get_type_hints(function, include_extras=True)
        fields: list[Any] = []
        for name, parameter in names.items():
            kind = hints.get(name, Any)
            fields.append(
                (name, kind) if parameter.default is parameter.empty else (name, kind, parameter.default)
            )
        self.payload: type[msgspec.Struct] = msgspec.defstruct(
            f"{function.__name__}_payload", fields, kw_only=True, forbid_unknown_fields=True, frozen=True
        )
        self._order = tuple(names)

    def __call__(self, run: Run, payload: Any) -> Any:
        given = {name: getattr(payload, name) for name in self._order}
        return self.function(run, **given) if self.takes_run else self.function(**given)


def _parameters(function: Function) -> tuple[dict[str, inspect.Parameter], bool]:
    names = dict(inspect.signature(function).parameters)
    takes_run = next(iter(names), "") == "run"
    if takes_run:
        del names["run"]
    for parameter in names.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise Misconfigured(
                f"{function.__qualname__} takes {parameter}, which no payload can name",
                hint="give a job's function parameters with names and types",
            )
    return names, takes_run


def function_of(run: JobFunction) -> Function:
    """What a person wrote, inside whatever calls it."""
    found: Any = run
    while isinstance(found, Fields | partial):
        found = found.function if isinstance(found, Fields) else found.func
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
            hint="an isolated job is a function at the top of a module, its payload a plain type or a class there",
        )
    return Address(module, name, _main() if module == "__main__" else "")


def _main() -> str:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return f"-m {spec.name}" if spec is not None else str(getattr(main, "__file__", ""))


def find(address: Address) -> Any:
    """What stands there, its module imported; raises LookupError with the address when nothing does."""
    try:
        found: Any = _module(address)
        for part in address.name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, OSError) as error:
        raise LookupError(f"there is no {address.name} in {address.module}: {error}") from error
    return found


def _module(address: Address) -> Any:
    if not address.main:
        return importlib.import_module(address.module)
    if address.main.startswith("-m "):
        return SimpleNamespace(**runpy.run_module(address.main[3:], run_name="__job__", alter_sys=True))
    return SimpleNamespace(**runpy.run_path(address.main, run_name="__job__"))
