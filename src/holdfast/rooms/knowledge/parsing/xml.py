"""XML read as it comes, without document types: no entities, no external files, no depth without end."""

from collections.abc import Mapping
from typing import Protocol
from xml.parsers import expat

from holdfast.rooms.knowledge.rules.parsed import Limits
from holdfast.rooms.knowledge.rules.parsing_problems import corrupt, hostile, too_deep


class Reader(Protocol):
    """What is told of each element; names are `namespace local`, or `local` alone."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None: ...
    def end(self, name: str) -> None: ...
    def data(self, text: str) -> None: ...


def read_xml(raw: bytes, what: str, reader: Reader, limits: Limits) -> None:
    """Tell `reader` what stands in `raw`; raises HostileMarkup, TooDeep, Unreadable (not well formed)."""
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > limits.xml_depth:
            raise too_deep(limits.xml_depth)
        reader.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        reader.end(name)

    def refuse(*_: object) -> None:
        raise hostile("a document type definition")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = reader.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise corrupt(f"{what} is not well-formed XML: {expat.ErrorString(error.code)}") from error
