import msgspec

from holdfast.rooms.resilience.rules.report import Report, finding, together

CLOSED = Report(
    "closed", 0, 0, 0.0, 60.0, 10, 1, 0, 0, 0, 0, 0, 0, 0, 3, "OSError: gone", 5.0, "alone", False
)


def test_a_closed_dependency_is_ok_and_its_old_error_is_no_news():
    found = finding(CLOSED)
    assert (found.status, found.detail) == ("ok", "closed, 10 attempts, 1 failed, 0 refused")
    assert found.facts["last_error"] == "OSError: gone"


def test_an_open_one_is_down_and_says_until_when_and_why():
    report = msgspec.structs.replace(
        CLOSED, state="open", failures_in_a_row=5, next_call_in_s=3.21, since_s=12.4, refused=9, shared="away"
    )
    found = finding(report)
    assert found.status == "down"
    assert found.detail == (
        "open for 12 s, next call in 3.2 s, 5 failures in a row, last error OSError: gone, "
        "the shared store is away, this process is on its own, 10 attempts, 1 failed, 9 refused"
    )
    half = finding(msgspec.structs.replace(CLOSED, state="half_open"))
    assert (half.status, half.detail.split(",")[0]) == ("degraded", "half-open for 60 s")


def test_of_several_the_worst_speaks():
    assert together({}).detail == ""
    assert together({"a": CLOSED}).status == "ok"
    cooling = msgspec.structs.replace(CLOSED, state="cooling")
    opened = msgspec.structs.replace(CLOSED, state="open")
    assert together({"a": CLOSED, "b": cooling}).status == "degraded"
    worst = together({"a": CLOSED, "b": cooling, "c": opened})
    assert worst.status == "down"
    assert worst.detail.startswith("b: cooling")
    assert "; c: open" in worst.detail
