"""The two text formats that Prometheus reads, as pure text: lines, escapes, and which one to send.

Sources: the Prometheus text format 0.0.4, and OpenMetrics 1.0 (exemplars, `_created`, `# EOF`).
"""

from collections.abc import Sequence
from math import inf, isfinite

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
MAX_EXEMPLAR_ID = 100
"""Characters of a trace id in an exemplar: OpenMetrics allows 128 for all of its labels together."""


def wants_openmetrics(accept: str) -> bool:
    """Whether the Accept header asks for OpenMetrics by name, and no less than for plain text."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media in weights:
            weights[media] = max(weights[media], _weight(parameters))
    return weights["application/openmetrics-text"] > 0 and (
        weights["application/openmetrics-text"] >= weights["text/plain"]
    )


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def escape_value(text: str) -> str:
    """A label value between its quotes."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def escape_help(text: str, *, openmetrics: bool) -> str:
    """The meaning of a metric on its HELP line; only OpenMetrics escapes quotes there."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if openmetrics else escaped


def number(value: float) -> str:
    """A number as both formats read it."""
    if isinstance(value, int) or isfinite(value):
        return repr(value)
    if value == inf:
        return "+Inf"
    return "-Inf" if value == -inf else "NaN"


def label_pairs(names: Sequence[str], values: Sequence[str]) -> str:
    """`method="GET",route="/x"`, without braces so that more can follow."""
    return ",".join(f'{name}="{escape_value(value)}"' for name, value in zip(names, values, strict=True))


def braced(pairs: str) -> str:
    """The pairs in braces; nothing where there are none."""
    return f"{{{pairs}}}" if pairs else ""


def head(name: str, kind: str, meaning: str, unit: str, *, openmetrics: bool) -> str:
    """The HELP, TYPE and (OpenMetrics) UNIT lines. OpenMetrics names a counter without its `_total`."""
    shown = name.removesuffix("_total") if openmetrics and kind == "counter" else name
    lines = f"# HELP {shown} {escape_help(meaning, openmetrics=openmetrics)}\n# TYPE {shown} {kind}\n"
    if openmetrics and unit and shown.endswith("_" + unit):
        lines += f"# UNIT {shown} {unit}\n"
    return lines


_PLAIN_SHAPES = {
    "counter": ("_total", "counter"),
    "info": ("_info", "gauge"),
    "stateset": ("", "gauge"),
    "gaugehistogram": ("", "histogram"),
    "unknown": ("", "untyped"),
}


def foreign_shape(name: str, kind: str, *, openmetrics: bool) -> tuple[str, str]:
    """Name and kind for the head of a metric that is described in OpenMetrics' terms."""
    if openmetrics:
        return name, kind
    suffix, plain = _PLAIN_SHAPES.get(kind, ("", kind))
    return name + suffix, plain


def sample(name: str, pairs: str, value: float) -> str:
    """One line: name, labels, value."""
    return f"{name}{braced(pairs)} {number(value)}\n"


def histogram_template(name: str, pairs: str, bounds: Sequence[float], *, openmetrics: bool) -> str:
    """A %-template of one series, filled in one call.

    Plain: each bucket, sum, count. OpenMetrics: each bucket and its exemplar (or ""), sum, count, created.
    """
    name_, pairs = name.replace("%", "%%"), pairs.replace("%", "%%")
    front = pairs + "," if pairs else ""
    mark = "%d%s\n" if openmetrics else "%d\n"
    lines = [f'{name_}_bucket{{{front}le="{number(float(bound))}"}} {mark}' for bound in (*bounds, inf)]
    lines.append(f"{name_}_sum{braced(pairs)} %s\n{name_}_count{braced(pairs)} %d\n")
    if openmetrics:
        lines.append(f"{name_}_created{braced(pairs)} %s\n")
    return "".join(lines)


def exemplar(trace_id: str, value: float, stamp_s: float) -> str:
    """What follows a bucket's count in OpenMetrics; empty when the id is too long for it."""
    if len(trace_id) > MAX_EXEMPLAR_ID:
        return ""
    return f' # {{trace_id="{escape_value(trace_id)}"}} {number(value)} {stamp_s:.3f}'
