"""The page at /docs: one file that reads `openapi.json` and needs nothing from anywhere else."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from holdfast.edge.page import page_answer
from holdfast.kernel.route import Answer, Call, Route

PAGE = Path(__file__).parent / "static" / "docs.html"


class DocsPage:
    """Serves the document and the page that shows it; both are made when first asked for, then kept."""

    def __init__(self, routes: Sequence[Route], *, version: str, server: str) -> None:
        self._routes = routes
        self._version = version
        self._server = server
        self._document: Answer | None = None
        self._page: Answer | None = None

    async def document(self, call: Call) -> Answer:
        if self._document is None:
            from holdfast.edge.openapi import render

            content = render(self._routes, title="Holdfast", version=self._version, server=self._server)
            self._document = Answer(content, headers=(("cache-control", "no-cache"),))
        return self._document

    async def page(self, call: Call) -> Answer:
        if self._page is None:
            text = await asyncio.to_thread(PAGE.read_text, "utf-8")
            self._page = page_answer(text)
        return self._page


def docs_routes(prefix: str, routes: Sequence[Route], *, version: str) -> list[Route]:
    """`prefix`/docs and `prefix`/openapi.json for these routes; `prefix` is empty or like `/holdfast`."""
    # Relative to openapi.json, so that it stays true behind a proxy that strips a prefix.
    server = "../" * prefix.count("/") or "./"
    page = DocsPage(routes, version=version, server=server)
    return [
        Route("GET", f"{prefix}/docs", page.page, "The API as a page", listed=False),
        Route("GET", f"{prefix}/openapi.json", page.document, "The API as OpenAPI 3.1", listed=False),
    ]
