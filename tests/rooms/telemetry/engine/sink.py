"""An event log in memory, for what only needs to see which records were appended."""

from holdfast.kernel.event import Record


class Kept:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record) -> None:
        self.records.append(record)
