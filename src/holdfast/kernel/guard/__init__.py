"""One pipeline for every call that leaves the process: deadline, retry, breaker, bulkhead, hedge, fallback.

payments = Guard("payments", timeout_s=10, retry=Retry(on=OSError), breaker=BreakerRules())
receipt = await payments.call(client.charge, order)
"""

from holdfast.kernel.guard.backoff import Retry
from holdfast.kernel.guard.breaker import Breaker, BreakerRules
from holdfast.kernel.guard.budget import Budget
from holdfast.kernel.guard.bulkhead import BulkheadRules
from holdfast.kernel.guard.guard import Guard
from holdfast.kernel.guard.hedge import HedgeRules
from holdfast.kernel.guard.problems import (
    BulkheadFull,
    CircuitOpen,
    DeadlineExceeded,
    Refused,
    RetryLater,
    TimedOut,
)
from holdfast.kernel.guard.testing import without_waits
from holdfast.kernel.guard.timeouts import Timeouts, phase

__all__ = [
    "Breaker",
    "BreakerRules",
    "Budget",
    "BulkheadFull",
    "BulkheadRules",
    "CircuitOpen",
    "DeadlineExceeded",
    "Guard",
    "HedgeRules",
    "Refused",
    "Retry",
    "RetryLater",
    "TimedOut",
    "Timeouts",
    "phase",
    "without_waits",
]
