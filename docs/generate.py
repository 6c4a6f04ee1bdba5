"""Writes docs/reference.md from the code: `python docs/generate.py`. A test fails when the page is stale."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from holdfast.app import Holdfast
from holdfast.kernel.config import ROOT as TOP

PAGE = Path(__file__).with_name("reference.md")

HEAD = """# Reference

Written by `python docs/generate.py` from the code itself; do not edit.

"""


def render() -> str:
    """The whole page."""
    return asyncio.run(_render())


async def _render() -> str:
    for name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        app = Holdfast(config=_empty(folder), data_dir=folder)
        await app.start()
        routes = list(app.edge.router.routes)
        metrics = app.ground.meter.describe()  # type: ignore[attr-defined] # the telemetry room's registry
        verbs = app.verbs()
        await app.stop()
    parts = [HEAD, _settings(app), _addresses(routes), _verbs(verbs), _metrics(metrics)]
    return "".join(parts).rstrip() + "\n"


def _empty(folder: str) -> Path:
    file = Path(folder) / "holdfast.toml"
    file.write_text("")
    return file


def _settings(app: Holdfast) -> str:
    lines = [
        "## Settings\n\n",
        "In `holdfast.toml` by section and key, in the environment by the name in the first column (with "
        "`_FILE` behind it: the value is read from that file), or as arguments of `Holdfast(...)`. "
        "`holdfast config` shows what holds and who said so.\n",
    ]
    section = None
    for option in app.settings.options:
        if option.section != section:
            section = option.section
            title = "top level" if section == TOP else f"[{section}]"
            lines += [f"\n### {title}\n\n", "| variable | key | default | meaning |\n|---|---|---|---|\n"]
        default = "(a folder)" if option.key == "data_dir" else f"`{option.shown()}`"
        if option.key == "data_dir":
            default = '`".holdfast"`'
        meaning = option.meaning.replace("|", "\\|")
        lines.append(f"| `{option.env}` | `{option.key}` | {default} | {meaning} |\n")
    return "".join(lines)


def _addresses(routes: list[Any]) -> str:
    lines = ["\n## Addresses\n\n", "| address | what | open |\n|---|---|---|\n"]
    for route in sorted(routes, key=lambda route: (route.path, route.method)):
        who = "to all" if route.public else "to administrators"
        lines.append(f"| `{route.method} {route.path}` | {route.summary} | {who} |\n")
    lines.append(
        "\nAttached to an app of yours, `GET /holdfast/docs` and `GET /holdfast/openapi.json` take the "
        "place of `/docs` and `/openapi.json`.\n"
    )
    return "".join(lines)


def _verbs(verbs: list[Any]) -> str:
    own = [
        ("serve [module:app]", "Serve the built-in API, or your app inside the layer."),
        ("config", "Print every setting and where its value came from."),
        ("check", "Look for errors and warnings in the settings and the installation."),
        ("migrate", "Bring the database up to this version's tables."),
    ]
    lines = ["\n## Commands\n\n", "| command | what |\n|---|---|\n"]
    lines += [f"| `holdfast {name}` | {text} |\n" for name, text in own]
    lines += [f"| `holdfast {verb.name}` | {verb.summary} |\n" for verb in verbs]
    return "".join(lines)


def _metrics(found: list[Any]) -> str:
    lines = ["\n## Metrics\n\n", "| metric | kind | labels | meaning |\n|---|---|---|---|\n"]
    for metric in sorted(found, key=lambda metric: metric.name):
        labels = ", ".join(metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |\n")
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
