"""A value that fits a JSON schema, always the same one."""

from collections.abc import Mapping
from typing import Any

_DEEPEST = 12


def sample(schema: Mapping[str, Any], text: str) -> Any:
    """The simplest value that `schema` describes; free texts become `text`.

    Knows type, enum, const, properties, items, local $ref, anyOf, oneOf, allOf, the lower bounds and the
    longest text; a schema that refers to itself ends in null.
    """
    return _sample(schema, text, schema, 0)


def _sample(schema: Any, text: str, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return _sample(_followed(str(schema["$ref"]), root), text, root, depth + 1)
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _sample(schema[union][0], text, root, depth + 1)
    if schema.get("allOf"):
        parts = [_sample(part, text, root, depth + 1) for part in schema["allOf"]]
        mappings = [part for part in parts if isinstance(part, dict)]
        return {key: value for part in mappings for key, value in part.items()} if mappings else parts[0]
    return _typed(schema, text, root, depth)


def _typed(schema: Mapping[str, Any], text: str, root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "string":
        most = schema.get("maxLength")
        return text[:most] if isinstance(most, int) else text.ljust(int(schema.get("minLength", 0)), ".")
    if kind in ("integer", "number"):
        above = schema.get("exclusiveMinimum")
        return schema.get("minimum", 1) if above is None else above + 1
    if kind == "boolean":
        return True
    if kind == "array":
        item = _sample(schema.get("items"), text, root, depth + 1)
        return [] if item is None else [item] * max(1, int(schema.get("minItems", 1)))
    if kind == "null":
        return None
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {name: _sample(inner, text, root, depth + 1) for name, inner in properties.items()}


def _followed(reference: str, root: Mapping[str, Any]) -> Any:
    """The part of the schema that `#/$defs/Name` points at."""
    found: Any = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        if name:
            found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found
