"""Names, labels and their number: what a metric may be called and how many series it may have."""

import re
from collections.abc import Sequence

from holdfast.kernel.codec import clean_text, cut_bytes
from holdfast.kernel.errors import Misconfigured

DEFAULT_SERIES_LIMIT = 1_000
"""Series of one metric in one process; what comes after them is folded into one."""
OVERFLOW = "overflow"
"""The value of every label of the series that takes what came after the limit."""
MAX_LABELS = 10
MAX_VALUE_BYTES = 256
WORKER = "worker"
"""The label that tells workers apart where a gauge is shown for each."""

UNITS = ("seconds", "bytes", "ratio", "tokens")
_SCALED = {
    **dict.fromkeys(("ns", "nanoseconds", "us", "microseconds", "ms", "milliseconds"), "seconds"),
    **dict.fromkeys(("minutes", "hours", "days"), "seconds"),
    **dict.fromkeys(("kb", "mb", "gb", "kib", "mib", "gib", "kilobytes", "megabytes", "gigabytes"), "bytes"),
    **dict.fromkeys(("percent", "pct"), "ratio"),
}
_RENDERED = ("_bucket", "_count", "_sum", "_created", "_info")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED_LABELS = frozenset({"le", "quantile", WORKER})


def check_name(name: str, kind: str) -> None:
    """Raises Misconfigured unless `name` is a Prometheus name in a plain unit, with `_total` on counters.

    Colons are for recording rules and refused (Prometheus, "Metric and label naming").
    """
    if not _NAME.fullmatch(name):
        raise _refused(name, "letters, digits and underscores make a metric's name, a letter first")
    if name.startswith("holdfast_") and name.count("_") < 2:
        raise _refused(name, "our own metrics are called holdfast_<room>_<noun>_<unit>")
    if (kind == "counter") != name.endswith("_total"):
        raise _refused(name, "a counter's name ends with _total, and no other's does")
    for suffix in _RENDERED:
        if name.removesuffix("_total").endswith(suffix):
            raise _refused(name, f"{suffix} is an ending that rendering adds; end the name otherwise")
    last = name.removesuffix("_total").rsplit("_", 1)[-1]
    if last in _SCALED:
        raise _refused(name, f"measure in {_SCALED[last]} and say so at the end of the name")


def check_labels(name: str, labels: Sequence[str]) -> tuple[str, ...]:
    """The label names as a tuple; raises Misconfigured for one that Prometheus or we reserve."""
    found = tuple(labels)
    if len(found) > MAX_LABELS:
        raise _refused(name, f"at most {MAX_LABELS} labels: every one multiplies the series")
    if len(set(found)) != len(found):
        raise _refused(name, "name each label once")
    for label in found:
        if not _NAME.fullmatch(label) or label.startswith("__"):
            raise _refused(name, f"{label!r} is no label name: letters, digits, underscores, no two in front")
        if label in _RESERVED_LABELS:
            raise _refused(name, f"the label {label} is added when the metric is rendered; choose another")
    return found


def unit_of(name: str) -> str:
    """The unit a metric's name ends with, empty when it counts things: `x_bytes_total` is in bytes."""
    last = name.removesuffix("_total").rsplit("_", 1)[-1]
    return last if last in UNITS else ""


def clean_values(name: str, values: Sequence[object], wanted: int) -> tuple[str, ...]:
    """Label values as they are kept: text, encodable as UTF-8, at most MAX_VALUE_BYTES each."""
    if len(values) != wanted:
        raise _refused(name, f"give {wanted} label values in the order of its labels, not {len(values)}")
    return tuple(cut_bytes(clean_text(str(value)), MAX_VALUE_BYTES) for value in values)


def _refused(name: str, hint: str) -> Misconfigured:
    return Misconfigured(f"the metric {name!r} cannot be registered or bound as asked", hint=hint)
