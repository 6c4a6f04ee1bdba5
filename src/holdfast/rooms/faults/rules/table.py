"""Every fault by name: what it takes and what it does, in one line each."""

import msgspec

SECONDS, MILLISECONDS, CHUNKS, CALLS, BYTES = "seconds", "milliseconds", "chunks", "calls", "bytes"
PROBABILITY, STATUS, CALLS_OR_SECONDS = "probability", "status", "calls, or seconds with an s"


class Kind(msgspec.Struct, frozen=True):
    """One line of the table."""

    name: str
    what: str
    takes: str = ""
    """What the number behind the colon is; empty: there is none."""
    default: float = 0.0
    most: float = 86_400.0
    """The largest number that is taken: a day, unless the number is no time."""

    @property
    def example(self) -> str:
        """The name with its default, as a model name."""
        return f"{self.name}:{self.default:g}" if self.takes and self.default < 1e6 else self.name


FAULTS: tuple[Kind, ...] = (
    Kind("ok", "a healthy answer"),
    # -- late, or never
    Kind("slow-headers", "a healthy answer, begun late", SECONDS, 2),
    Kind("silent", "takes the request and never answers"),
    Kind("silent-after-headers", "sends the headers of a 200 and nothing more"),
    Kind("slow-first-token", "headers at once, the first byte of content late", SECONDS, 3),
    Kind("role-only-first", "a first chunk with the role alone, the content late", SECONDS, 2),
    Kind("stall-mid-stream", "goes silent after so many chunks, the connection stays open", CHUNKS, 3, 1e6),
    Kind("slow-drip", "sixteen bytes at a time with a pause between", SECONDS, 0.05),
    Kind("paced", "a healthy answer with a pause before each chunk", SECONDS, 0.05),
    # -- refusals
    Kind("401", "the key is not valid"),
    Kind("403", "the key may not use this model"),
    Kind("404", "the model does not exist, for this key"),
    Kind("408", "the provider gave up waiting"),
    Kind("429", "rate limited, with no hint when to come back"),
    Kind("429-retry-after", "rate limited, Retry-After in seconds", SECONDS, 2),
    Kind("429-retry-after-ms", "rate limited, retry-after-ms", MILLISECONDS, 500, 86_400_000),
    Kind("429-retry-after-date", "rate limited, Retry-After as an HTTP date", SECONDS, 2),
    Kind("429-long", "rate limited for longer than anybody should wait", SECONDS, 3600, 1e9),
    Kind("429-quota", "the money is spent: insufficient_quota, which no retry mends"),
    Kind("500", "an internal error"),
    Kind("503", "unavailable"),
    Kind("529", "overloaded, as Anthropic says it"),
    Kind("status", "an error of any status", STATUS, 418, 599),
    Kind("context-length", "400 context_length_exceeded"),
    Kind("content-filter-400", "400 content_filter: the prompt itself is refused"),
    # -- down, then up again; counted for each key and model
    Kind("500-burst", "so many 500s, then healthy", CALLS, 3, 1e6),
    Kind("outage", "503 for the first calls or seconds, then healthy", CALLS_OR_SECONDS, 5, 1e6),
    Kind("outage-reset", "the same, and the connection is reset instead", CALLS_OR_SECONDS, 5, 1e6),
    Kind("flaky", "503 for this share of the calls, by the seed", PROBABILITY, 0.3, 1),
    # -- a 200 that is none
    Kind("html-200", "an HTML page with status 200"),
    Kind("empty-200", "status 200 and no body"),
    Kind("error-200", "an error object as the whole body of a 200"),
    Kind("error-first-in-stream", "an error object in the stream before any content"),
    Kind("error-in-stream", "an error object in the stream after so many chunks", CHUNKS, 2, 1e6),
    Kind("wrong-content-type", "the right body as text/plain"),
    Kind("bad-json", "JSON that ends too early; in a stream, one such chunk"),
    Kind("malformed-sse", "a line that is no event amid good chunks"),
    Kind("crlf-sse", "a healthy stream whose lines end in CR LF and whose fields have no space"),
    Kind("keepalive-comments", "comments between the chunks, blank lines before a body", SECONDS, 0),
    # -- broken off
    Kind("reset", "the connection is reset before the headers"),
    Kind("reset-mid-body", "the connection is reset in the middle of the body"),
    Kind("cut-mid-stream", "the connection is closed after so many chunks", CHUNKS, 3, 1e6),
    Kind("no-done", "a stream that ends after finish_reason without [DONE]"),
    Kind("no-finish", "a stream that ends with neither finish_reason nor [DONE]"),
    # -- what is in the answer
    Kind("truncated-length", "half an answer, finish_reason length"),
    Kind("content-filter", "an answer stopped by the filter, finish_reason content_filter"),
    Kind("wrong-model", "answers in the name of another model"),
    Kind("no-usage", "no usage, though it was asked for"),
    Kind("reasoning", "reasoning before the content"),
    Kind("tool-call", "a tool call, its arguments in several fragments"),
    Kind("echo-headers", "the content is the request's headers, secrets masked"),
    Kind("huge", "content of so many bytes", BYTES, 10_000_000, 2e9),
    Kind("bad-dimensions", "embeddings one number short"),
    Kind("nan-embedding", "embeddings with a NaN in them"),
)

BY_NAME = {kind.name: kind for kind in FAULTS}
