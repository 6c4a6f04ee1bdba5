"""The page of /docs: whole in itself, locked down, and right about where the API is."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from holdfast.edge.docs_page import PAGE, docs_routes
from holdfast.edge.page import content_security_policy
from holdfast.kernel.event import Event
from holdfast.kernel.route import Answer, Call, Route

TEXT = PAGE.read_text("utf-8")


class Outline(HTMLParser):
    """What a browser would fetch, and which ids and labels there are."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.inputs: set[str] = set()
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag not in {"meta", "link", "input"}:
            self.open.append(tag)
        self.fetched += [told[name] for name in ("src", "srcset", "data", "action") if name in told]
        if tag == "link":
            self.fetched.append(told["href"])
        if "id" in told:
            self.ids.append(told["id"])
        if tag == "label":
            self.labelled.add(told["for"])
        if tag in {"input", "textarea"}:
            self.inputs.add(told["id"])
        if tag == "html":
            self.language = told.get("lang", "")
        self.handlers += [name for name in told if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def outline() -> Outline:
    found = Outline()
    found.feed(TEXT)
    return found


def test_the_page_fetches_nothing_from_elsewhere(outline: Outline) -> None:
    assert all(address.startswith("data:") for address in outline.fetched)
    assert not re.search(r"@import|url\(", TEXT)
    assert re.findall(r"fetch\((.*?)[,)]", TEXT) == ["address", '"openapi.json"']


def test_the_page_is_well_formed_and_labelled(outline: Outline) -> None:
    assert outline.open == []
    assert outline.language == "en"
    assert len(set(outline.ids)) == len(outline.ids)
    assert outline.inputs <= outline.labelled
    assert set(re.findall(r'\$\("(\w+)"\)', TEXT)) <= set(outline.ids)


def test_text_of_the_document_cannot_become_markup() -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", TEXT
    )


def test_the_page_is_small() -> None:
    assert len(TEXT.encode()) < 32 * 1024


def test_the_policy_lets_run_what_stands_in_the_page_and_nothing_else(outline: Outline) -> None:
    policy = dict(part.strip().split(" ", 1) for part in content_security_policy(TEXT).split(";"))
    for kind in ("script", "style"):
        (inline,) = re.findall(f"<{kind}>(.*?)</{kind}>", TEXT, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert policy[f"{kind}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert outline.handlers == [], "inline handlers and styles would be refused by the policy"


async def handler(call: Call) -> Answer:
    return Answer(b"{}")


@pytest.mark.parametrize("prefix", ["", "/holdfast", "/deep/holdfast"])
@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
async def test_the_document_knows_where_the_api_begins(prefix: str, root: str) -> None:
    routes = {
        route.path: route for route in docs_routes(prefix, [Route("GET", "/x", handler, "x")], version="9.9")
    }
    assert set(routes) == {f"{prefix}/docs", f"{prefix}/openapi.json"}
    answer = await routes[f"{prefix}/openapi.json"].handler(Call(Event()))
    found = json.loads(answer.content)
    assert found["info"] == {"title": "Holdfast", "version": "9.9"}
    assert list(found["paths"]) == ["/x"]
    base = urljoin(f"https://example.org{root}{prefix}/openapi.json", found["servers"][0]["url"])
    assert base == f"https://example.org{root}/"


async def test_the_page_is_served_with_its_policy_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    page, _ = docs_routes("", [], version="1")
    answer = await page.handler(Call(Event()))
    assert answer.content == TEXT.encode()
    assert answer.media_type == "text/html; charset=utf-8"
    assert dict(answer.headers)["content-security-policy"] == content_security_policy(TEXT)
    monkeypatch.setattr("holdfast.edge.docs_page.PAGE", None)
    assert await page.handler(Call(Event())) is answer
