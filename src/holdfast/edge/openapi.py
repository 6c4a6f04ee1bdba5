"""The OpenAPI 3.1 document, rendered from the routes' own declarations.

Deterministic: the same routes give the same bytes, in whatever order they come.
Source: OpenAPI Specification 3.1.1, whose schemas are JSON Schema 2020-12, as msgspec writes them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from holdfast.kernel.codec import encode_json
from holdfast.kernel.errors import PROBLEM_JSON, TYPE_PREFIX
from holdfast.kernel.route import Route

Document = dict[str, Any]

_REF = "#/components/schemas/{name}"
_REF_PREFIX = _REF.format(name="")
_PART = re.compile(r"\{(\w+)(:path)?\}")
_VERSION = re.compile(r"v\d+")

_PROBLEM: Document = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457) and what to do about it. May hold further members.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": f"stable name of the problem: {TYPE_PREFIX}…"},
        "title": {"type": "string", "description": "what this type of problem is"},
        "status": {"type": "integer", "description": "the HTTP status"},
        "detail": {"type": "string", "description": "what happened this time"},
        "hint": {"type": "string", "description": "what to do about it"},
        "request_id": {"type": "string", "description": "the id to look for in logs and traces"},
        "retryable": {"type": "boolean", "description": "whether the same request may succeed later"},
    },
    "required": ["type", "title", "status", "request_id", "retryable"],
}
_ADMIN = {"type": "http", "scheme": "bearer", "description": "the setting `admin_token`"}


def render(routes: Iterable[Route], *, title: str, version: str, server: str = "./") -> bytes:
    """The document as JSON; see `document`."""
    return encode_json(document(routes, title=title, version=version, server=server))


def document(routes: Iterable[Route], *, title: str, version: str, server: str = "./") -> Document:
    """Every listed route with its parameters, body, answer and problems.

    `server` is where our paths begin, seen from the document. Raises TypeError for a declared type that has
    no JSON schema.
    """
    listed = sorted((route for route in routes if route.listed), key=lambda route: (route.path, route.method))
    schemas, components = _schemas(listed)
    operations = _operation_ids(listed)
    paths: dict[str, Document] = {}
    for route in listed:
        operation = _operation(route, operations[route.method, route.path], schemas, components)
        paths.setdefault(_template(route.path), {})[route.method.lower()] = operation
    used = _reachable(paths, components)
    found: Document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": server}],
        "tags": [{"name": name} for name in sorted({tag_of(route.path) for route in listed})],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM} | {name: components[name] for name in sorted(used)},
            "responses": {
                "Problem": {
                    "description": "The request failed.",
                    "content": {PROBLEM_JSON: {"schema": {"$ref": _REF.format(name="Problem")}}},
                }
            },
        },
    }
    if any(not route.public for route in listed):
        found["components"]["securitySchemes"] = {"admin": _ADMIN}
    return found


def tag_of(path: str) -> str:
    """The first part of a path that says something: `/api/v2/recommend/similar/{id}` is `recommend`."""
    for part in path.split("/"):
        if part and part != "api" and "{" not in part and not _VERSION.fullmatch(part):
            return part.split(".", 1)[0]
    return "root"


def _schemas(routes: Sequence[Route]) -> tuple[dict[Any, Document], dict[str, Document]]:
    """The schema of every declared type, and the components these refer to."""
    kinds: list[Any] = []
    for route in routes:
        for kind in (route.query, route.body, route.answer, *(route.reads or {}).values()):
            if kind is not None and not isinstance(kind, dict) and kind not in kinds:
                kinds.append(kind)
    found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    if "Problem" in components:
        raise TypeError("a declared type is named Problem, which is the name of our error document")
    return dict(zip(kinds, found, strict=True)), components


def _operation_ids(routes: Sequence[Route]) -> dict[tuple[str, str], str]:
    """A readable name for each operation; a number is added where two would be called the same."""
    found: dict[tuple[str, str], str] = {}
    for route in routes:
        words = re.findall(r"\w+", _template(route.path)) or ["root"]
        name = first = "_".join([route.method.lower(), *words])
        number = 1
        while name in found.values():
            number += 1
            name = f"{first}_{number}"
        found[route.method, route.path] = name
    return found


def _operation(
    route: Route, name: str, schemas: Mapping[Any, Document], components: Mapping[str, Document]
) -> Document:
    operation: Document = {"operationId": name, "tags": [tag_of(route.path)], "summary": route.summary}
    parameters = [*_path_parameters(route.path), *_query_parameters(route, schemas, components)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[route.body]}},
        }
    if route.reads is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {
                media: {"schema": kind if isinstance(kind, dict) else schemas[kind]}
                for media, kind in route.reads.items()
            },
        }
    answer: Document = {"description": HTTPStatus(route.status).phrase}
    if route.answer is not None:
        answer["content"] = {"application/json": {"schema": schemas[route.answer]}}
    problem = {"$ref": "#/components/responses/Problem"}
    operation["responses"] = {str(route.status): answer, "default": problem}
    if not route.public:
        operation["security"] = [{"admin": []}]
    return operation


def _template(path: str) -> str:
    """OpenAPI knows no `{name:path}`."""
    return _PART.sub(r"{\1}", path)


def _path_parameters(path: str) -> Iterator[Document]:
    for name, rest in _PART.findall(path):
        parameter: Document = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        if rest:
            parameter["description"] = "the rest of the path, slashes included"
        yield parameter


def _query_parameters(
    route: Route, schemas: Mapping[Any, Document], components: Mapping[str, Document]
) -> Iterator[Document]:
    if route.query is None:
        return
    shape = components[schemas[route.query]["$ref"].removeprefix(_REF_PREFIX)]
    required = shape.get("required", ())
    for name, schema in shape["properties"].items():
        own = dict(schema)
        parameter: Document = {"name": name, "in": "query", "required": name in required}
        meaning = own.pop("description", "")
        if meaning:
            parameter["description"] = meaning
        yield parameter | {"schema": own}


def _reachable(paths: Any, components: Mapping[str, Document]) -> set[str]:
    """The components that something refers to; a query's own shape has become parameters."""
    found: set[str] = set()
    waiting = [paths]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list | tuple):
            waiting.extend(node)
        elif isinstance(node, dict):
            name = _component(node.get("$ref"))
            if name in components and name not in found:
                found.add(name)
                waiting.append(components[name])
            # `discriminator` holds references as bare values of its mapping.
            for mapped in (node.get("mapping") or {}).values() if "propertyName" in node else ():
                waiting.append({"$ref": mapped})
            waiting.extend(node.values())
    return found


def _component(reference: Any) -> str:
    if isinstance(reference, str) and reference.startswith(_REF_PREFIX):
        return reference.removeprefix(_REF_PREFIX)
    return ""
