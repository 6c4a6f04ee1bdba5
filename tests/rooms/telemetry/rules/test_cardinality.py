import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import Misconfigured
from holdfast.rooms.telemetry.rules import cardinality as c


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("holdfast_http_requests_total", "counter"),
        ("orders_total", "counter"),
        ("holdfast_http_request_duration_seconds", "histogram"),
        ("queue_length", "gauge"),
        ("prompt_size_tokens", "histogram"),
    ],
)
def test_good_names_pass(name: str, kind: str) -> None:
    c.check_name(name, kind)


@pytest.mark.parametrize(
    ("name", "kind", "hint"),
    [
        ("1st_total", "counter", "a letter first"),
        ("주문_total", "counter", "a letter first"),
        ("job:rate_total", "counter", "a letter first"),
        ("a-b_total", "counter", "a letter first"),
        ("orders", "counter", "_total"),
        ("orders_total", "gauge", "_total"),
        ("holdfast_up", "gauge", "holdfast_<room>"),
        ("wait_ms", "histogram", "measure in seconds"),
        ("wait_milliseconds_total", "counter", "measure in seconds"),
        ("body_kb", "histogram", "measure in bytes"),
        ("full_percent", "gauge", "measure in ratio"),
        ("wait_count", "gauge", "rendering adds"),
        ("wait_bucket", "histogram", "rendering adds"),
        ("wait_created_total", "counter", "rendering adds"),
    ],
)
def test_bad_names_are_refused_with_what_to_do(name: str, kind: str, hint: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        c.check_name(name, kind)
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    "labels",
    [
        ("le",),
        ("quantile",),
        ("worker",),
        ("a", "a"),
        ("__x",),
        ("a-b",),
        ("경로",),
        [f"l{n}" for n in range(11)],
    ],
)
def test_bad_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(Misconfigured):
        c.check_labels("orders_total", labels)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("a_seconds", "seconds"),
        ("a_bytes_total", "bytes"),
        ("a_total", ""),
        ("a_open", ""),
        ("a_ratio", "ratio"),
    ],
)
def test_the_unit_is_what_the_name_ends_with(name: str, unit: str) -> None:
    assert c.unit_of(name) == unit


@given(st.lists(st.one_of(st.text(), st.just("\ud800"), st.just("가" * 500), st.integers()), max_size=4))
def test_label_values_can_always_be_written(values: list[object]) -> None:
    for clean in c.clean_values("orders_total", values, len(values)):
        assert len(clean.encode()) <= c.MAX_VALUE_BYTES


def test_a_wrong_number_of_values_is_refused() -> None:
    with pytest.raises(Misconfigured) as refused:
        c.clean_values("orders_total", ("a",), 2)
    assert "2 label values" in refused.value.hint
