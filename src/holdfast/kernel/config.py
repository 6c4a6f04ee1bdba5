"""Settings: defaults < holdfast.toml < HOLDFAST_* < keyword arguments, read once, each with its source.

A room declares a frozen msgspec Struct whose fields carry their bounds and their meaning
(`Annotated[float, Meta(gt=0, description="...")]`). An unknown key or a value out of bounds stops
the start with a Misconfigured that names the key, the value's source and the nearest known key.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from holdfast.kernel.errors import Misconfigured

ENV_PREFIX = "HOLDFAST_"
RESERVED_ENV = frozenset(
    {
        "HOLDFAST_DATA",  # where benchmarks find data sets
        "HOLDFAST_CONFIG",  # which file holds the settings
        "HOLDFAST_APP",  # whose jobs a worker of Celery runs
        "HOLDFAST_SERVE_TARGET",  # what the parent of several workers tells them
        "HOLDFAST_SERVE_DEMO",
        "HOLDFAST_PROCESS",  # what a process is to the jobs room; set by our commands
        "HOLDFAST_TEST_POSTGRES_URL",  # a server for the tests
    }
)
"""Variables with our prefix that are no settings."""
ROOT = "holdfast"
"""The section whose keys stand at the top level of the file and directly behind HOLDFAST_."""

S = TypeVar("S", bound=msgspec.Struct)


class Secret:
    """A value that prints as stars; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "'***'" if self._value else "''"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Option(msgspec.Struct, frozen=True):
    """One setting as it stands: where it is, what it is, who said so, what it means."""

    section: str
    key: str
    value: Any
    source: str
    meaning: str = ""

    @property
    def env(self) -> str:
        return env_name(self.section, self.key)

    def shown(self) -> str:
        """The value for people: JSON where it has such a form, secrets as stars."""
        if isinstance(self.value, Secret):
            return repr(self.value)
        return msgspec.json.encode(self.value, enc_hook=repr).decode()


def env_name(section: str, key: str) -> str:
    """The environment variable of a setting: HOLDFAST_<SECTION>_<KEY>, without a section at the top level."""
    name = key if section == ROOT else f"{section}_{key}"
    return ENV_PREFIX + name.upper()


class Settings:
    """Every section's frozen Struct, and where each value came from."""

    def __init__(self, values: dict[str, msgspec.Struct], options: list[Option]) -> None:
        self._values = values
        self.options = options

    def section(self, name: str, kind: type[S]) -> S:
        value = self._values[name]
        if not isinstance(value, kind):
            raise TypeError(f"section {name} holds {type(value).__name__}, not {kind.__name__}")
        return value

    def is_set(self, section: str) -> bool:
        """Whether anyone said anything about this section; silence means its default may be skipped."""
        return any(option.section == section and option.source != "default" for option in self.options)


def load_settings(
    sections: Mapping[str, type[msgspec.Struct]],
    *,
    file: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Merge the four layers and decode each section; raises Misconfigured on the first thing wrong."""
    given: dict[str, dict[str, tuple[Any, str, bool]]] = {name: {} for name in sections}
    if file is not None:
        _take(given, sections, _read_toml(file), str(file), loose=False)
    _take_env(given, sections, env or {})
    _take(given, sections, overrides or {}, "argument", loose=False)
    values: dict[str, msgspec.Struct] = {}
    options: list[Option] = []
    for name, kind in sections.items():
        values[name] = _decode(name, kind, given[name])
        options.extend(_explain(name, values[name], given[name]))
    return Settings(values, options)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise Misconfigured(
            f"there is no settings file {file}", hint="create it or unset HOLDFAST_CONFIG"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file} is not valid TOML: {error}", hint="mend the line it names") from None


def _take(
    given: dict[str, dict[str, tuple[Any, str, bool]]],
    sections: Mapping[str, type[msgspec.Struct]],
    tree: Mapping[str, Any],
    source: str,
    *,
    loose: bool,
) -> None:
    for key, value in tree.items():
        if key in sections and key != ROOT:
            if not isinstance(value, Mapping):
                raise Misconfigured(
                    f"[{key}] in {source} must be a table", hint=f"write [{key}] and its keys below"
                )
            for inner, item in value.items():
                _known(inner, key, sections, source)
                given[key][inner] = (item, source, loose)
        else:
            _known(key, ROOT, sections, source)
            given[ROOT][key] = (value, source, loose)


def _known(key: str, section: str, sections: Mapping[str, type[msgspec.Struct]], source: str) -> None:
    names = sections[section].__struct_fields__ if section in sections else ()
    if key in names:
        return
    near = difflib.get_close_matches(key, [*names, *(sections if section == ROOT else ())], n=1)
    where = key if section == ROOT else f"{section}.{key}"
    hint = f"did you mean {near[0]!r}?" if near else "`holdfast config` lists every setting"
    raise Misconfigured(f"unknown setting {where!r} in {source}", hint=hint)


def _take_env(
    given: dict[str, dict[str, tuple[Any, str, bool]]],
    sections: Mapping[str, type[msgspec.Struct]],
    env: Mapping[str, str],
) -> None:
    known = {
        env_name(name, key): (name, key) for name, kind in sections.items() for key in kind.__struct_fields__
    }
    for variable, text in sorted(env.items()):
        if not variable.startswith(ENV_PREFIX) or variable in RESERVED_ENV:
            continue
        place = known.get(variable)
        if place is None and variable.endswith("_FILE") and variable[:-5] in known:
            place, text = known[variable[:-5]], _read_secret(variable, text)
        if place is None:
            near = difflib.get_close_matches(variable, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "`holdfast config` lists every setting"
            raise Misconfigured(f"unknown setting {variable} in the environment", hint=hint)
        section, key = place
        given[section][key] = (_from_text(text), variable, True)


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise Misconfigured(
            f"{variable} names a file that cannot be read: {error}", hint="mend the path"
        ) from None


def _from_text(text: str) -> Any:
    """A list or table is written as JSON; everything else stays text and is converted by type."""
    if text[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return text


def _hook(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"expected {kind.__name__}")


def _decode(
    section: str, kind: type[msgspec.Struct], given: Mapping[str, tuple[Any, str, bool]]
) -> msgspec.Struct:
    decoded: dict[str, Any] = {}
    for info in msgspec.structs.fields(kind):
        if info.name not in given:
            continue
        value, source, loose = given[info.name]
        try:
            decoded[info.name] = msgspec.convert(value, info.type, strict=not loose, dec_hook=_hook)
        except msgspec.ValidationError as error:
            where = info.name if section == ROOT else f"{section}.{info.name}"
            shown = "***" if Secret in (info.type, *get_args(info.type)) else repr(value)
            raise Misconfigured(
                f"{where} = {shown} in {source}: {error}",
                hint=_near(info, error) or _meaning(info) or "mend it",
            ) from None
    try:
        return kind(**decoded)
    except TypeError as error:
        raise Misconfigured(f"[{section}]: {error}", hint="give the missing setting") from None
    except ValueError as error:
        raise Misconfigured(f"[{section}]: {error}", hint="mend the setting it names") from None


_UNKNOWN_FIELD = re.compile(r"contains unknown field `(.+?)`")


def _near(info: msgspec.structs.FieldInfo, error: msgspec.ValidationError) -> str:
    """For a name within a table that nobody knows: the one that was likely meant."""
    found = _UNKNOWN_FIELD.search(str(error))
    near = found and difflib.get_close_matches(
        found[1], _fields_of(msgspec.inspect.type_info(info.type)), n=1
    )
    return f"did you mean {near[0]!r}?" if near else ""


def _fields_of(found: msgspec.inspect.Type) -> set[str]:
    """The names that tables of this type, and of the types in it, may hold."""
    if isinstance(found, msgspec.inspect.StructType):
        names = {field.encode_name for field in found.fields}
        return names.union(*(_fields_of(field.type) for field in found.fields))
    inner = [getattr(found, name, None) for name in ("type", "item_type", "value_type")]
    inner += [*getattr(found, "types", ()), *(getattr(found, "item_types", None) or ())]
    return set().union(*(_fields_of(one) for one in inner if isinstance(one, msgspec.inspect.Type)))


def _meaning(info: msgspec.structs.FieldInfo) -> str:
    found = msgspec.inspect.type_info(info.type)
    if isinstance(found, msgspec.inspect.Metadata) and found.extra_json_schema:
        return str(found.extra_json_schema.get("description", ""))
    return ""


def _explain(section: str, value: msgspec.Struct, given: Mapping[str, tuple[Any, str, bool]]) -> list[Option]:
    return [
        Option(
            section,
            info.name,
            getattr(value, info.name),
            given[info.name][1] if info.name in given else "default",
            _meaning(info),
        )
        for info in msgspec.structs.fields(type(value))
    ]
