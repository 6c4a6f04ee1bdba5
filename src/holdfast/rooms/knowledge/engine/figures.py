"""What the room measures."""

from collections.abc import Callable

from holdfast.ports.services import Meter


class Figures:
    """The room's metrics, bound once."""

    def __init__(self, meter: Meter, busy: Callable[[], int] = lambda: 0) -> None:
        self.documents = meter.counter(
            "holdfast_knowledge_documents_total",
            "Versions by what they came to: serving, superseded, gone, failed, unchanged.",
            ("outcome",),
        )
        self.ingest = meter.histogram(
            "holdfast_knowledge_ingest_seconds", "From the beginning of a document's job to its serving."
        ).labels()
        self.upload_bytes = meter.counter(
            "holdfast_knowledge_upload_bytes_total", "Bytes of the files that were taken."
        ).labels()
        self.search = meter.histogram(
            "holdfast_knowledge_search_seconds", "Finding passages, without the model."
        ).labels()
        self.answer = meter.histogram(
            "holdfast_knowledge_answer_seconds", "From a question to its checked answer."
        ).labels()
        self.answers = meter.counter(
            "holdfast_knowledge_answers_total",
            "Questions by what they came to: answered, refused, unsupported, failed.",
            ("outcome",),
        )
        self.citations = meter.counter(
            "holdfast_knowledge_citations_total",
            "What models claimed, by what became of it: verified, removed, outdated.",
            ("outcome",),
        )
        meter.watch(
            "holdfast_knowledge_answers_running",
            "Questions on their way in this process.",
            lambda: float(busy()),
        )
