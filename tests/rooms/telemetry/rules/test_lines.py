import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.codec import encode_json
from holdfast.kernel.event import Event, LogLine
from holdfast.rooms.telemetry.rules.lines import TEXT_BYTES, cleaned, cut_text, shortened, without_facts

MEGABYTE = 1024 * 1024


def test_short_text_is_left_alone():
    assert cut_text("결제 초과") == "결제 초과"


def test_long_text_is_cut_at_a_character_and_says_so():
    cut = cut_text("가" * MEGABYTE)
    kept, _, mark = cut.partition("…")
    assert len(kept.encode()) <= TEXT_BYTES < len(kept.encode()) + 3
    assert set(kept) == {"가"}
    assert mark == f" [cut, {MEGABYTE} characters in all]"


@given(st.text())
def test_what_is_cut_starts_as_the_original_did(text: str):
    long = text + "x" * TEXT_BYTES
    kept = cut_text(long).rpartition("… [cut")[0] or cut_text(long)
    assert long.startswith(kept)


def test_every_text_of_a_record_is_cut_facts_and_stack_included():
    long = "x" * MEGABYTE
    line = shortened(
        LogLine(message=long, error_stack=long, facts={"a": {"b": [long, 7]}, "ok": "short", long: 1})
    )
    assert len(encode_json(line)) < 5 * TEXT_BYTES
    assert line.facts is not None
    assert line.facts["ok"] == "short"
    assert line.facts["a"]["b"][1] == 7


def test_facts_beyond_measure_leave_a_note():
    assert without_facts(Event(path="/x", facts={"a": 1}), 9).facts == {"cut": "facts of 9 bytes"}


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters(categories=["Cs", "L"]))))
def test_a_cleaned_record_can_always_be_encoded(facts: dict[str, str]):
    record = cleaned(Event(path="\udcff", facts=dict(facts)))
    assert msgspec.json.decode(encode_json(record), type=Event) == record
    assert record.path == "\\udcff"
