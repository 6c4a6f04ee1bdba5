"""The document against the rules of OpenAPI 3.1 that a reader's tools lean on."""

import enum
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from holdfast.edge.openapi import document, render, tag_of
from holdfast.kernel.event import Event
from holdfast.kernel.route import Answer, Call, Route


class Mood(enum.Enum):
    CALM = "calm"
    WILD = "wild"


class Reason(Struct, tag="reason"):
    part: str
    share: Annotated[float, Meta(ge=0, le=1, description="share of the score")]


class Note(Struct, tag="note"):
    text: str
    answers: "list[Note]" = []


class Item(Struct, rename="camel"):
    """Something to recommend."""

    item_id: str
    score: float
    because: list[Reason | Note]
    mood: Mood = Mood.CALM


class Items(Struct):
    items: list[Item]
    next_page: str | None = None


class Wanted(Struct, forbid_unknown_fields=True):
    user_id: Annotated[str, Meta(min_length=1, max_length=256, description="for whom; 누구를 위해")]
    count: Annotated[int, Meta(ge=1, le=100)] = 10
    context: dict[str, Any] = {}


class Search(Struct, rename="kebab"):
    text: Annotated[str, Meta(description="words to look for")]
    moods: list[Mood] = []
    max_price: float | None = None


async def handler(call: Call) -> Answer:
    return Answer(b"{}")


ROUTES = [
    Route("POST", "/api/v2/recommend/personalized", handler, "Items for a user", body=Wanted, answer=Items),
    Route(
        "GET", "/api/v2/recommend/similar/{item_id}", handler, "Items like one", query=Search, answer=Items
    ),
    Route("GET", "/api/v2/recommend/similar-item_id", handler, "A path whose name is nearly the same"),
    Route("DELETE", "/api/v2/things/{thing_id}", handler, "Remove a thing", status=204, public=False),
    Route("GET", "/files/{name:path}", handler, "A file"),
    Route("GET", "/health", handler, "Whether the process answers", answer=dict[str, str]),
    Route("GET", "/", handler, "The start page"),
    Route("GET", "/hidden", handler, "Not for others", answer=Event, listed=False),
]


def made(routes: list[Route] = ROUTES) -> dict[str, Any]:
    return document(routes, title="Test", version="1.2.3")


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from nodes(value)


def operations(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    }


def test_it_survives_the_way_through_json() -> None:
    assert msgspec.json.decode(render(ROUTES, title="Test", version="1.2.3")) == json.loads(
        json.dumps(made())
    )


def test_the_order_of_routes_does_not_matter() -> None:
    assert render(ROUTES, title="T", version="1") == render(ROUTES[::-1], title="T", version="1")


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    found = made()
    told = {node["$ref"] for node in nodes(found) if "$ref" in node}
    told |= {value for node in nodes(found) if "propertyName" in node for value in node["mapping"].values()}
    assert told
    for reference in told:
        target = found
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
    schemas = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert schemas <= told
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in found["components"]["schemas"])


def test_the_envelope() -> None:
    found = made()
    assert found["openapi"] == "3.1.0"
    assert found["info"] == {"title": "Test", "version": "1.2.3"}
    assert set(found["paths"]) == {
        "/",
        "/health",
        "/files/{name}",
        "/api/v2/things/{thing_id}",
        "/api/v2/recommend/personalized",
        "/api/v2/recommend/similar-item_id",
        "/api/v2/recommend/similar/{item_id}",
    }
    assert {tag["name"] for tag in found["tags"]} == {"root", "health", "files", "things", "recommend"}


def test_operation_ids_are_unique_and_usable_as_names() -> None:
    names = [operation["operationId"] for operation in operations(made()).values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert {"get_api_v2_recommend_similar_item_id", "get_api_v2_recommend_similar_item_id_2"} <= set(names)


def test_every_operation_has_what_the_standard_asks_for() -> None:
    found = made()
    tags = {tag["name"] for tag in found["tags"]}
    for (_, path), operation in operations(found).items():
        in_path = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))
        assert all(p["required"] for p in operation.get("parameters", ()) if p["in"] == "path")
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        assert all(code == "default" or code.isdigit() for code in operation["responses"])
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}


def test_query_fields_become_parameters_under_their_own_names() -> None:
    operation = made()["paths"]["/api/v2/recommend/similar/{item_id}"]["get"]
    told = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert list(told) == ["item_id", "text", "moods", "max-price"]
    assert (told["text"]["required"], told["text"]["description"]) == (True, "words to look for")
    assert told["text"]["schema"] == {"type": "string"}
    assert told["moods"]["required"] is False
    assert told["moods"]["schema"]["items"] == {"$ref": "#/components/schemas/Mood"}
    assert "Search" not in made()["components"]["schemas"]


def test_bodies_and_answers_are_described() -> None:
    found = made()
    operation = found["paths"]["/api/v2/recommend/personalized"]["post"]
    assert operation["requestBody"]["required"] is True
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Wanted")
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Items")
    wanted = found["components"]["schemas"]["Wanted"]
    assert wanted["required"] == ["user_id"]
    assert wanted["properties"]["count"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}
    assert "누구를" in wanted["properties"]["user_id"]["description"]
    assert set(found["components"]["schemas"]["Item"]["properties"]) == {"itemId", "score", "because", "mood"}


def test_a_body_of_several_media_types_is_described() -> None:
    octets = {"type": "string", "format": "binary"}
    found = made(
        [Route("POST", "/up", handler, "Take it", reads={"text/plain": octets, "application/json": Wanted})]
    )
    content = found["paths"]["/up"]["post"]["requestBody"]["content"]
    assert content["text/plain"]["schema"] == octets
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Wanted"}
    assert "Wanted" in found["components"]["schemas"]


def test_an_answer_without_a_type_has_no_content() -> None:
    assert operations(made())["delete", "/api/v2/things/{thing_id}"]["responses"]["204"] == {
        "description": "No Content"
    }


def test_only_addresses_for_administrators_ask_for_the_token() -> None:
    found = made()
    locked = {key for key, operation in operations(found).items() if "security" in operation}
    assert locked == {("delete", "/api/v2/things/{thing_id}")}
    assert list(found["components"]["securitySchemes"]) == ["admin"]
    assert "securitySchemes" not in made([route for route in ROUTES if route.public])["components"]


def test_what_is_not_listed_leaves_no_trace() -> None:
    text = json.dumps(made())
    assert "hidden" not in text
    assert "Event" not in text


def test_problems_are_described_as_they_are_sent() -> None:
    from holdfast.kernel.errors import unavailable

    shape = made()["components"]["schemas"]["Problem"]
    sent = json.loads(unavailable("down", 2.0, hint="wait").body("req-1"))
    assert set(sent) == set(shape["properties"])
    assert set(shape["required"]) <= set(sent)


def test_nothing_to_list_is_still_a_document() -> None:
    assert made([])["paths"] == {}


def test_a_type_may_not_take_the_name_of_the_error_document() -> None:
    problem = msgspec.defstruct("Problem", [("x", int)])
    with pytest.raises(TypeError, match="named Problem"):
        made([Route("GET", "/x", handler, "x", answer=problem)])


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("/", "root"),
        ("/api/v2", "root"),
        ("/{name}", "root"),
        ("/health/ready", "health"),
        ("/api/v2/health", "health"),
        ("/api/v12/jobs/{id}", "jobs"),
        ("/api/{tenant}/jobs", "jobs"),
        ("/openapi.json", "openapi"),
        ("/version", "version"),
    ],
)
def test_tags_come_from_the_path(path: str, tag: str) -> None:
    assert tag_of(path) == tag
