"""Whether what was given is what its types say, and a definition can be read back once it is stored.

What came over HTTP or from a file was decoded by its types. What code or a command has made was not: a name
with a space, a share of 20,000, a time without end would be stored, and from then on be read by nobody.
"""

from math import isfinite
from typing import Any

import msgspec

from holdfast.rooms.experiments.rules.problems import BadDefinition

_NAMES = "names are of a-z, 0-9, dot, dash, underscore, at most 100, and begin with a letter or digit"


def check_readable(noun: msgspec.Struct) -> None:
    """Raises BadDefinition."""
    kind = type(noun).__name__.lower()
    name = getattr(noun, "name", "")
    what = f"{kind} {name!r}" if name else "what was given"
    try:
        msgspec.json.decode(msgspec.json.encode(noun), type=type(noun))
        finite = _is_finite(msgspec.to_builtins(noun, str_keys=True))
    except msgspec.ValidationError as error:
        hint = _NAMES if "regex" in str(error) else "see its docstring for what it takes"
        raise BadDefinition(f"{what} cannot be taken: {error}", hint=hint) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise BadDefinition(f"{what} cannot be taken as JSON: {error}", hint="give it plain values") from None
    if not finite:
        raise BadDefinition(f"{what} holds a number that is none", hint="neither inf nor nan is one")


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_finite, value))
    return True
