import json

import pytest

from holdfast.kernel.errors import BadInput
from holdfast.rooms.jobs.rules.lines import line, seq_of


def test_an_event_is_one_line_of_json_under_its_number():
    head, kind, data, *rest = (
        line(7, "progress", 5, {"progress": 0.5, "message": "한\n글"}).decode().split("\n")
    )
    assert (head, kind, rest) == ("id: 7", "event: progress", ["", ""])
    told = json.loads(data.removeprefix("data: "))
    assert told == {
        "progress": 0.5,
        "message": "한\n글",
        "seq": 7,
        "kind": "progress",
        "at_ms": 5,
        "status": "PROGRESS",
    }


@pytest.mark.parametrize(("text", "seq"), [("", 0), (" 12 ", 12), ("1048577", 1048577)])
def test_a_last_event_id_is_read(text, seq):
    assert seq_of(text) == seq


@pytest.mark.parametrize("text", ["-1", "x", "١٢", "1" * 19, "1.5"])
def test_what_is_no_id_of_ours_is_refused(text):
    with pytest.raises(BadInput, match="Last-Event-ID"):
        seq_of(text)
