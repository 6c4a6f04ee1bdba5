"""Puts the layer outermost on an app object that is already there."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from holdfast.edge.passage import Receive, Send
from holdfast.kernel.context import current_event
from holdfast.kernel.errors import Internal, Problem
from holdfast.ports.services import Scope

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class _ProblemResponse:
    """A response as Starlette takes it from an exception handler: an ASGI callable, nothing more."""

    def __init__(self, problem: Problem) -> None:
        event = current_event()
        self._body = problem.body(event.request_id if event is not None else "")
        self._status = problem.status
        self._headers = [*problem.headers(), (b"content-length", b"%d" % len(self._body))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        content = b"" if scope.get("method") == "HEAD" else self._body
        await send({"type": "http.response.body", "body": content})


async def _on_problem(request: Any, error: Exception) -> _ProblemResponse:
    return _ProblemResponse(error if isinstance(error, Problem) else Internal())


def is_starlette(app: Any) -> bool:
    """Whether `app` builds its middleware stack the way Starlette and FastAPI do."""
    return hasattr(app, "build_middleware_stack") and hasattr(app, "middleware_stack")


def attach(app: Any, wrap: Callable[[App], App], *, problem_json: bool) -> None:
    """Wrap what a Starlette or FastAPI app builds: outside ServerErrorMiddleware, so that nothing is missed.

    Works before the first request and after it, and before or after `add_middleware`. Unhandled
    exceptions and Problems become problem+json unless the app has a handler of its own for them.
    """
    if problem_json:
        if not {500, Exception} & set(app.exception_handlers):
            app.exception_handlers[Exception] = _on_problem
        app.exception_handlers.setdefault(Problem, _on_problem)
    if app.middleware_stack is not None:
        app.middleware_stack = wrap(app.middleware_stack)
        return
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: wrap(build())


def addresses_of(app: Any) -> Iterator[tuple[str, str]]:
    """(method, path) of the app's own routes, where it lists them; they win over ours."""
    for route in getattr(app, "routes", None) or ():
        path = getattr(route, "path", None)
        if isinstance(path, str):
            for method in getattr(route, "methods", None) or ():
                yield str(method), path
