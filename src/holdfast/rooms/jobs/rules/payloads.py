"""What a job is given: typed, versioned, JSON, small. Never pickled: a row is data, whoever wrote it."""

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints
from urllib.parse import unquote

import msgspec

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.jobs.rules.problems import BadPayload, PayloadTooLarge, PayloadTooNew

LONGEST_PAYLOAD = 256 * 1024
"""Bytes of a payload; what is larger belongs into a file or a table, and its reference here."""
LONGEST_KEY = 200
"""Bytes of a unique key as it is; of a longer one the end is replaced by a digest."""
_FIELD = re.compile(r"\{([^{}]*)\}")

Upgrades = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]


class Signature(msgspec.Struct, frozen=True):
    """How a function takes its payload."""

    payload: Any
    """The type: the one parameter's own, or a Struct made of all parameters."""
    takes_run: bool
    is_spread: bool
    """Whether the payload's fields are the function's parameters."""


def signature_of(function: Callable[..., Any]) -> Signature:
    """The payload's type from a function's signature.

    A first parameter named `run` is the Run. One other parameter that is a Struct is the payload itself; any
    others become the fields of one, so that `async def build(run, doc_id: int, force: bool = False)` takes
    `{"doc_id": 7}`. Raises Misconfigured for what has no type or no name.
    """
    parameters = list(inspect.signature(function).parameters.values())
    named = getattr(function, "__qualname__", repr(function))
    takes_run = bool(parameters) and parameters[0].name == "run"
    given = parameters[1:] if takes_run else parameters
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise Misconfigured(
            f"{named}: {error}", hint="name types that exist where the function stands, at module level"
        ) from None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for each in given:
        if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            raise Misconfigured(f"{named} takes {each}", hint="give each parameter of a job a name")
        if each.name not in hints:
            raise Misconfigured(f"{named}: {each.name} has no type", hint=f"write `{each.name}: str`")
        typed = (each.name, hints[each.name])
        fields.append(typed if each.default is each.empty else (*typed, _default(named, each.default)))
    if len(fields) == 1 and len(fields[0]) == 2 and _is_struct(fields[0][1]):
        return Signature(fields[0][1], takes_run, False)
    # Keyword-only, for a parameter with a default may stand before one without when both are named.
    made = msgspec.defstruct(f"{function.__name__}_payload", fields, kw_only=True, forbid_unknown_fields=True)
    return Signature(made, takes_run, True)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _default(named: str, value: Any) -> Any:
    if isinstance(value, list | dict | set | bytearray) and value:
        raise Misconfigured(f"{named} has a default that can change", hint="write None, or a tuple")
    return value


def spread(payload: Any) -> dict[str, Any]:
    """The payload's fields as a function's arguments."""
    return {name: getattr(payload, name) for name in payload.__struct_fields__}


def encode(name: str, kind: Any, payload: Any) -> bytes:
    """The payload as JSON, checked to be what the job takes. Raises BadPayload or PayloadTooLarge."""
    try:
        data = msgspec.json.encode(payload)
        if len(data) <= LONGEST_PAYLOAD:
            # Decoding is the check: a Struct holds whatever it was made of, and NaN becomes null.
            msgspec.json.decode(data, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadPayload(f"the payload of {name}: {error}", hint=f"it takes {_shape(kind)}") from None
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BadPayload(
            f"the payload of {name} is no JSON: {str(error)[:200]}",
            hint="give text, numbers, lists and objects",
        ) from None
    if len(data) > LONGEST_PAYLOAD:
        raise PayloadTooLarge(
            f"a payload of {len(data)} bytes for {name}",
            hint=f"at most {LONGEST_PAYLOAD} bytes fit: store it and pass its id, path or address",
        )
    return data


def decode(name: str, kind: Any, data: bytes | str, version: int, current: int, upgrades: Upgrades) -> Any:
    """The payload that a row of `version` holds, brought up to `current`.

    Raises BadPayload for one that does not fit, PayloadTooNew (retryable) for one of a newer release: another
    worker, or this one after its upgrade, will read it.
    """
    if version > current:
        raise PayloadTooNew(
            f"{name} was enqueued as version {version}, this process knows {current}",
            hint="it is tried again; upgrade the workers",
        )
    try:
        if version == current:
            return msgspec.json.decode(data, type=kind)
        shape = msgspec.json.decode(data)
        for step in range(version, current):
            if step not in upgrades:
                raise BadPayload(
                    f"{name}: a payload of version {step} is not understood any more",
                    hint=f"declare upgrades={{{step}: ...}}, then replay it",
                )
            shape = upgrades[step](shape)
        return msgspec.convert(shape, kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadPayload(
            f"the payload of {name}: {error}", hint=f"it takes {_shape(kind)}; edit it and replay the job"
        ) from None


def check_upgrades(name: str, version: int, upgrades: Upgrades) -> None:
    """Raises Misconfigured unless the upgrades lead, without a gap, up to `version`."""
    if version < 1:
        raise Misconfigured(f"{name} has version {version}", hint="count from 1")
    expected = list(range(version - len(upgrades), version))
    if sorted(upgrades) != expected or (expected and expected[0] < 1):
        raise Misconfigured(
            f"{name} is version {version} and has upgrades from {sorted(upgrades)}",
            hint="give one from each version to the next, the last from " + str(version - 1),
        )


def digest_of(name: str, data: bytes) -> str:
    """What tells two payloads under one idempotency key apart."""
    return hashlib.sha256(name.encode() + b"\0" + data).hexdigest()[:32]


class UniqueKey:
    """A template like `doc:{doc_id}`; a field that the payload has not is an error where it is declared."""

    def __init__(self, name: str, template: str, kind: Any) -> None:
        self.template = template
        self._name = name
        self._fields = _FIELD.findall(template)
        plain = _FIELD.sub("", template)
        if "{" in plain or "}" in plain:
            raise Misconfigured(f"{name}: unique={template!r} has a lone brace", hint="write {field}")
        known = _fields_of(kind)
        for field in self._fields:
            if not field.isidentifier() or (known is not None and field not in known):
                raise Misconfigured(
                    f"{name}: unique={template!r} names {field!r}, which the payload has not",
                    hint=f"it has {', '.join(known or ()) or 'no fields'}",
                )

    def of(self, data: bytes, tenant: str = "") -> str:
        """The key of the payload `data`, or "" for a job that may be there many times.

        The tenant and the job's name are part of it, and separators within values are written as in
        addresses: two payloads never meet in one key by accident.
        """
        if not self.template:
            return ""
        found = msgspec.json.decode(data)
        if self._fields and not isinstance(found, dict):
            raise BadPayload(f"the payload of {self._name} has no fields", hint=f"unique={self.template!r}")
        for field in self._fields:
            if field not in found:
                raise BadPayload(
                    f"{self._name} is unique by {field!r}, which its payload has not", hint=f"give {field!r}"
                )
        told = _FIELD.sub(lambda hit: _word(found[hit[1]]), self.template)
        return _short(f"{_word(tenant)}/{_word(self._name)}/{told}")


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text.replace("%", "%25").replace(":", "%3A").replace("/", "%2F").replace("\0", "%00")


def repeat_key(tenant: str, user: str, name: str, key: str) -> str:
    """What an idempotency key is kept as: each part written so that two of them never meet in one."""
    return "/".join(_word(part) for part in (tenant, user, name, key))


def given_key(kept: str) -> str:
    """The idempotency key as the caller gave it."""
    return unquote(kept.rpartition("/")[2])


def _short(key: str) -> str:
    whole = key.encode()
    if len(whole) <= LONGEST_KEY:
        return key
    return whole[:120].decode("utf-8", "ignore") + "~" + hashlib.sha256(whole).hexdigest()


def _fields_of(kind: Any) -> tuple[str, ...] | None:
    """Names that a payload of this type has; None where any may come."""
    if _is_struct(kind):
        return tuple(field.encode_name for field in msgspec.structs.fields(kind))
    fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__required_keys__", None)
    return tuple(fields) if fields else None


def _shape(kind: Any) -> str:
    if _is_struct(kind):
        shown = (
            field.encode_name + ("" if field.required else "?") for field in msgspec.structs.fields(kind)
        )
        return "{" + ", ".join(shown) + "}"
    return getattr(kind, "__name__", None) or str(kind)
