"""The production layer for AI-backed Python web services: one layer around the app, one record per request.

    from holdfast import Holdfast
    app = FastAPI()
    Holdfast(app)

Names are loaded on first use, so that `import holdfast` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.app import Holdfast
    from holdfast.kernel.context import current_event, note, span
    from holdfast.kernel.errors import Problem

__version__ = "0.1.0"

_HOMES = {
    "Holdfast": "holdfast.app",
    "Problem": "holdfast.kernel.errors",
    "current_event": "holdfast.kernel.context",
    "note": "holdfast.kernel.context",
    "span": "holdfast.kernel.context",
}

_MODULES = frozenset({"experiments"})
"""What is a module of its own: `holdfast.experiments.variant("new-ranker")`."""

__all__ = ["Holdfast", "Problem", "__version__", "current_event", "note", "span"]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"holdfast.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
