"""A value that fits a JSON schema, always the same one."""

from collections.abc import Mapping
from typing import Any

_DEEPEST = 12
_MOST_VALUES = 1_000
_MOST_ITEMS = 100
_LONGEST = 10_000


def sample(schema: Mapping[str, Any], text: str) -> Any:
    """The simplest value that `schema` describes; free texts become `text`.

    Knows type, enum, const, properties, items, local $ref, anyOf, oneOf, allOf, the lower bounds and the
    longest text. What refers to itself, or is too large, ends in null; a schema that is none does no harm.
    """
    return _Sampler(schema, text).value(schema, 0)


class _Sampler:
    """One walk over a schema, bounded in depth and in the number of values."""

    def __init__(self, root: Mapping[str, Any], text: str) -> None:
        self._root = root
        self._text = text
        self._left = _MOST_VALUES

    def value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > _DEEPEST or self._left < 0:
            return None
        if "const" in schema:
            return schema["const"]
        if enum := _list(schema, "enum"):
            return enum[0]
        if "$ref" in schema:
            return self.value(self._followed(str(schema["$ref"])), depth + 1)
        if union := _list(schema, "anyOf") or _list(schema, "oneOf"):
            return self.value(union[0], depth + 1)
        if every := _list(schema, "allOf"):
            parts = [self.value(part, depth + 1) for part in every]
            mappings = [part for part in parts if isinstance(part, dict)]
            return {key: value for part in mappings for key, value in part.items()} if mappings else parts[0]
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind == "string":
            most = _whole(schema, "maxLength", _LONGEST, _LONGEST)
            return self._text.ljust(_whole(schema, "minLength", 0, _LONGEST), ".")[:most]
        if kind in ("integer", "number"):
            above = schema.get("exclusiveMinimum")
            return above + 1 if isinstance(above, int | float) else schema.get("minimum", 1)
        if kind == "boolean":
            return True
        if kind == "array":
            item = self.value(schema.get("items"), depth + 1)
            return [] if item is None else [item] * max(1, _whole(schema, "minItems", 1, _MOST_ITEMS))
        if kind == "null":
            return None
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return {}
        return {name: self.value(inner, depth + 1) for name, inner in properties.items()}

    def _followed(self, reference: str) -> Any:
        """The part of the schema that `#/$defs/Name` points at."""
        found: Any = self._root
        for name in reference.removeprefix("#").strip("/").split("/"):
            if name:
                key = name.replace("~1", "/").replace("~0", "~")
                found = found.get(key) if isinstance(found, dict) else None
        return found


def _list(schema: Mapping[str, Any], name: str) -> list[Any]:
    found = schema.get(name)
    return found if isinstance(found, list) else []


def _whole(schema: Mapping[str, Any], name: str, otherwise: int, most: int) -> int:
    found = schema.get(name)
    return min(found, most) if isinstance(found, int) and found >= 0 else otherwise
