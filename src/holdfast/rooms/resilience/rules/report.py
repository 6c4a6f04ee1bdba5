"""How a dependency is, for people: the answer of the addresses, the words of its health check."""

import msgspec

from holdfast.kernel.room import Finding


class Report(msgspec.Struct, frozen=True):
    """One dependency as this process sees it."""

    state: str
    """closed, open, half_open or cooling."""
    failures_in_a_row: int
    opened: int
    """Times in a row that it opened without having closed."""
    next_call_in_s: float
    """Until the next call may get through; 0 when it may now."""
    since_s: float
    """How long it has been in this state."""
    attempts: int
    failed: int
    timed_out: int
    retries: int
    hedges: int
    refused: int
    degraded: int
    busy: int
    waiting: int
    budget_left: int
    last_error: str
    last_error_age_s: float | None
    shared: str
    """`alone`, `shared`, or `away`: asked to share, and the store does not answer."""
    probed: bool
    """Whether a background probe watches for its return."""


_STATUS = {"closed": "ok", "cooling": "degraded", "half_open": "degraded", "open": "down"}


def finding(report: Report) -> Finding:
    """The health check's words; everything that matters stands in the detail."""
    parts = [report.state.replace("_", "-")]
    if report.state != "closed":
        parts[0] += f" for {report.since_s:.0f} s"
        if report.next_call_in_s:
            parts.append(f"next call in {report.next_call_in_s:.1f} s")
    if report.failures_in_a_row:
        parts.append(f"{report.failures_in_a_row} failures in a row")
    if report.last_error and report.state != "closed":
        parts.append(f"last error {report.last_error}")
    if report.shared == "away":
        parts.append("the shared store is away, this process is on its own")
    parts.append(f"{report.attempts} attempts, {report.failed} failed, {report.refused} refused")
    return Finding(_STATUS[report.state], ", ".join(parts), msgspec.structs.asdict(report))


def together(reports: dict[str, Report]) -> Finding:
    """One finding for several dependencies: the worst of them speaks."""
    findings = {name: finding(report) for name, report in reports.items()}
    bad = {name: found for name, found in findings.items() if found.status != "ok"}
    if not bad:
        return Finding("ok", f"{len(findings)} more dependencies, all closed" if findings else "")
    status = "down" if any(found.status == "down" for found in bad.values()) else "degraded"
    return Finding(status, "; ".join(f"{name}: {found.detail}" for name, found in bad.items()))
