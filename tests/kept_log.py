"""An event log that a test can read."""

from holdfast.kernel.event import Record
from holdfast.ports.services import NoEventLog


class KeptLog(NoEventLog):
    """Keeps its records in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def append(self, record: Record) -> None:
        super().append(record)
        self.records.append(record)
