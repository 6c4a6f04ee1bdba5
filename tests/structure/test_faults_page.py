"""The page of the fake provider lists every fault, and none that is not there."""

import re

from holdfast.rooms.faults.rules.table import FAULTS

from .source import ROOT

PAGE = ROOT / "docs" / "rooms" / "faults.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)


def test_the_page_lists_every_fault_as_the_table_has_it():
    rows = [row for row in ROW.findall(PAGE.read_text("utf-8")) if not row[0].startswith("faults.")]
    assert [row[0] for row in rows] == [kind.name for kind in FAULTS]
    assert [row[2] for row in rows] == [kind.what for kind in FAULTS]
    assert [bool(row[1].strip()) for row in rows] == [bool(kind.takes) for kind in FAULTS]
