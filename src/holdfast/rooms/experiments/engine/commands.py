"""What the room's commands share: who gives one, a definition read from a file, a report written."""

import argparse
import getpass
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from holdfast.kernel.errors import BadInput
from holdfast.rooms.experiments.rules.report import html
from holdfast.rooms.experiments.rules.report.experiment_page import ExperimentPage
from holdfast.rooms.experiments.rules.report.release_page import ReleasePage

T = TypeVar("T")


def actor() -> str:
    """Who gives the command, as it stands in the audit and the diary: `cli:kim`."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError, ImportError):
        return "cli"


def from_file(path: Path, kind: type[T], hint: str) -> T:
    """A definition of this kind, TOML or JSON by the file's ending; raises BadInput with the hint."""
    try:
        raw = path.read_text("utf-8")
        read = tomllib.loads(raw) if path.suffix == ".toml" else msgspec.json.decode(raw)
        return msgspec.convert(read, kind)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path}: {error}", hint=hint) from None


def write_report(page: ReleasePage | ExperimentPage, options: argparse.Namespace) -> int:
    """The page as `--json`, `--lang` and `--out` say; 0, the command's exit code. Raises BadInput."""
    text = html.encode(page).decode() if options.json else html.render(page, options.lang)
    if options.out is None:
        print(text)
    else:
        try:
            options.out.write_text(text, "utf-8")
        except OSError as error:
            raise BadInput(
                f"the report cannot be written: {error}", hint="name a file in a folder that is there"
            ) from None
        print(f"{page.name}: {options.out}")
    return 0
