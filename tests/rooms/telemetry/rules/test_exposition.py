import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from holdfast.rooms.telemetry.rules import exposition as e

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ("Application/OpenMetrics-Text; version=1.0.0", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.2,text/plain", False),
        ("application/openmetrics-text;q=x", False),
    ],
)
def test_the_format_is_what_is_asked_for(accept: str, openmetrics: bool) -> None:
    assert e.wants_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3, "3"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert e.number(value) == text


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False))
def test_any_label_value_comes_back_from_the_parser(value: str, number: float) -> None:
    line = e.sample("x_total", e.label_pairs(("a", "b"), (value, "%d{}")), number)
    [family] = text_string_to_metric_families(line)
    assert family.samples[0].labels == {"a": value, "b": "%d{}"}
    assert family.samples[0].value == number


def test_the_head_names_counters_and_units_as_each_format_wants() -> None:
    assert e.head("a_bytes_total", "counter", 'of "x"\\\n', "bytes", openmetrics=False) == (
        '# HELP a_bytes_total of "x"\\\\\\n\n# TYPE a_bytes_total counter\n'
    )
    assert e.head("a_bytes_total", "counter", 'of "x"', "bytes", openmetrics=True) == (
        '# HELP a_bytes of \\"x\\"\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n'
    )


def test_a_template_survives_percent_signs_and_no_labels() -> None:
    template = e.histogram_template("x", e.label_pairs(("a",), ("100%s",)), (1.0,), openmetrics=False)
    assert template % (1, 2, "3.5", 2) == (
        'x_bucket{a="100%s",le="1.0"} 1\nx_bucket{a="100%s",le="+Inf"} 2\n'
        'x_sum{a="100%s"} 3.5\nx_count{a="100%s"} 2\n'
    )
    bare = e.histogram_template("x", "", (), openmetrics=True)
    assert bare % (2, e.exemplar("ab", 0.5, 10.0), "1", 2, "9") == (
        'x_bucket{le="+Inf"} 2 # {trace_id="ab"} 0.5 10.000\nx_sum 1\nx_count 2\nx_created 9\n'
    )


def test_an_exemplar_too_long_for_openmetrics_is_left_out() -> None:
    assert e.exemplar("a" * 101, 1.0, 1.0) == ""


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        ("counter", ("x_total", "counter")),
        ("info", ("x_info", "gauge")),
        ("unknown", ("x", "untyped")),
        ("summary", ("x", "summary")),
    ],
)
def test_foreign_shapes(kind: str, plain: tuple[str, str]) -> None:
    assert e.foreign_shape("x", kind, openmetrics=False) == plain
    assert e.foreign_shape("x", kind, openmetrics=True) == ("x", kind)
