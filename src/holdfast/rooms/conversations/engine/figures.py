"""What the room measures."""

from collections.abc import Callable

from holdfast.ports.services import Meter


class Figures:
    """The room's metrics, bound once."""

    def __init__(self, meter: Meter, running: Callable[[], int]) -> None:
        self.turns = meter.counter(
            "holdfast_conversations_turns_total",
            "Answers by how they ended: done, timeout, failed, cancelled, interrupted.",
            ("status",),
        )
        self.first_token = meter.histogram(
            "holdfast_conversations_first_token_seconds", "From the call of the model to its first text."
        ).labels()
        self.answer = meter.histogram(
            "holdfast_conversations_answer_seconds", "From the call of the model to the end of its answer."
        ).labels()
        self.state_bytes = meter.histogram(
            "holdfast_conversations_state_bytes", "A conversation's state at rest, each time it is stored."
        ).labels()
        self.recalls = meter.counter(
            "holdfast_conversations_recalled_messages_total", "Earlier messages given to the model."
        ).labels()
        self.folds = meter.counter(
            "holdfast_conversations_folds_total",
            "Exchanges folded into a summary, by extractive; summaries written, by model; left, by none.",
            ("by",),
        )
        self.refused = meter.counter(
            "holdfast_conversations_refused_total",
            "Messages that were not taken: busy, full, key_reused.",
            ("reason",),
        )
        self.expired = meter.counter(
            "holdfast_conversations_expired_total", "Conversations removed at the end of their time."
        ).labels()
        self.streams = meter.gauge(
            "holdfast_conversations_active_streams", "Streams of answers open now."
        ).labels()
        meter.watch(
            "holdfast_conversations_answers_running",
            "Answers on their way in this process.",
            lambda: float(running()),
        )
