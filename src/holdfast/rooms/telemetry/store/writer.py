"""The event log's front: `append` on the hot path, a thread behind it that only hands bytes to the kernel.

Measured choices. Encoding inline costs under a microsecond; a thread that encodes multiplies the
99th percentile by eight, because it fights the event loop for the interpreter. So the thread joins lines
and calls `os.write`, which lets the interpreter go. It keeps its own time instead of an event loop's
timer: a handler that blocks the loop for a second must not delay the records before it.
"""

import atexit
import errno
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.codec import encode_json
from holdfast.kernel.event import Event, Record
from holdfast.kernel.ids import IdSource
from holdfast.ports.services import Tap
from holdfast.rooms.telemetry.rules.lines import LONG_LINE_BYTES
from holdfast.rooms.telemetry.rules.redaction import Redaction
from holdfast.rooms.telemetry.rules.segments import is_due, next_stamp_ms, segment_name
from holdfast.rooms.telemetry.store.encode import Encoding, holds_only_scalars
from holdfast.rooms.telemetry.store.segment import Segment

FLUSH_BYTES = 64 * 1024
FLUSH_S = 0.1
NUDGE_S = FLUSH_S / 2
HAND_OVER_S = 0.005
"""The longest that an append stands back for a thread that is late; CPython's own switch interval."""
MOST_UNANSWERED = 3
"""After so many in vain the disk hangs, and nobody stands back until the thread has moved again."""
RETRY_S = 0.5
"""Between two attempts on a disk that refuses."""
BATCH_LINES = 8192
"""The most one write takes. Each write waits its turn for the interpreter, so few and large ones keep up."""

REASONS = ("unencodable", "disk_full", "io_error", "backlog", "torn", "debug")
"""Why a record is not in the log: no JSON form; no space; the disk failed; it hung; its process died in the
middle of the line; debug lines were stopped for lack of space."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SegmentLog:
    """Implements `ports.services.EventLog`: one JSON line a record, in segments under `folder`/hot.

    A record is with the kernel at most `FLUSH_S` after `append` (an order of magnitude more only when
    the machine has no processor to spare), so killing the process loses nothing older than 200 ms. What
    the disk refuses waits in at most `backlog_bytes` of memory; then the oldest goes, and is counted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        segment_bytes: int = 16 * 1024 * 1024,
        segment_age_s: float = 300.0,
        backlog_bytes: int = 16 * 1024 * 1024,
        redaction: Redaction | None = None,
    ) -> None:
        self.folder = folder
        self.dropped: dict[str, int] = dict.fromkeys(REASONS, 0)
        """Records that did not reach a segment, by reason."""
        self.written = 0
        """Records handed to the kernel."""
        self.failure = ""
        """What the disk said last, while it refuses; empty when all is well."""
        self.dropped_at_s: float | None = None
        """Monotonic seconds of the last drop."""
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource()
        self._segment_bytes = segment_bytes
        self._segment_age_s = segment_age_s
        self._backlog_bytes = backlog_bytes
        self._encoding = Encoding(redaction or Redaction())
        self._are_harmless = self._encoding.are_harmless
        self._taps: tuple[Tap, ...] = ()
        self._lines: list[bytes] = []
        self._take = self._lines.append
        self._left = -1
        """Bytes until the thread is woken; below zero the very next record wakes it."""
        self._last_stamp_ms = 0
        self._reset()
        weak = weakref.WeakMethod(self._after_fork)
        os.register_at_fork(after_in_child=lambda: (found := weak()) and found())

    def _reset(self) -> None:
        self._held_bytes = 0
        self._refusal = ""
        """Under which reason the records are counted that the disk's present failure costs."""
        self._segment: Segment | None = None
        self._thread: threading.Thread | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._closing = threading.Event()
        self._collecting = threading.Lock()
        self._starting = threading.Lock()
        self._handing = threading.Lock()
        self._collected = threading.Event()
        self._collections = self._collections_seen = 0
        self._late = self._unanswered = 0
        self._waiters: list[threading.Event] = []
        self._roll_wanted = False

    def append(self, record: Record) -> None:
        """Take the record now; never blocks, never raises. From any thread."""
        try:
            facts = record.facts
            if facts is None or (self._are_harmless(facts) and holds_only_scalars(map(type, facts.values()))):
                line = encode_json(record)
            else:
                line = self._encoding.with_care(record)
            size = len(line)
            if size > LONG_LINE_BYTES:
                line = self._encoding.shorter(line, record)
                size = len(line)
        except Exception:  # noqa: BLE001 - a caller must never suffer from what it wanted noted
            found = self._rescue(record)
            if found is None:
                return
            line, size = found, len(found)
        # list.append is atomic: no lock, so a log call from a signal handler or a finaliser is safe too.
        self._take(line)
        self._left -= size
        if self._left < 0:
            self._wake()
        # A request on which nobody wrote is most of them, and tells a tap nothing: it costs no call.
        if self._taps and (record.facts is not None or type(record) is not Event):
            for saw in self._taps:
                saw(record)

    def tap(self, saw: Tap) -> Callable[[], None]:
        """As `EventLog.tap` says."""
        self._taps = (*self._taps, saw)
        return partial(self._untap, saw)

    def _untap(self, saw: Tap) -> None:
        self._taps = tuple(each for each in self._taps if each != saw)

    def _rescue(self, record: Record) -> bytes | None:
        try:
            return self._encoding.rescue(record)
        except Exception:  # noqa: BLE001 - see append
            self.count_dropped("unencodable")
            return None

    def count_dropped(self, reason: str, records: int = 1) -> None:
        """Note that `records` will not be in the log, and why."""
        self.dropped[reason] = self.dropped.get(reason, 0) + records
        self.dropped_at_s = self._clock.monotonic()

    @property
    def waiting(self) -> int:
        """Records not yet handed to the kernel."""
        return len(self._lines)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything appended before is with the kernel; False when that took too long."""
        done = threading.Event()
        self._waiters.append(done)
        self._wake()
        return done.wait(timeout_s)

    def roll(self, timeout_s: float = 5.0) -> bool:
        """Flush, and seal the open segment whatever its age."""
        self._roll_wanted = True
        return self.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Flush, seal and end the thread; a later record starts it again. False when the disk hangs."""
        thread = self._thread
        if thread is None:
            return True
        self._closing.set()
        self._bell.put(None)
        thread.join(timeout_s)
        atexit.unregister(self.close)
        return not thread.is_alive()

    def _wake(self) -> None:
        """Once per FLUSH_BYTES, or for the first record after a pause."""
        taken, self._left = FLUSH_BYTES - self._left, FLUSH_BYTES
        if self._thread is None:
            self._begin()
        self._bell.put(None)
        if self._held_bytes > 2 * FLUSH_BYTES:
            self._hand_over()
        if self._collecting.acquire(blocking=False):
            try:
                self._held_bytes += taken
                if self._held_bytes > self._backlog_bytes:
                    self._drop_oldest()
            finally:
                self._collecting.release()

    def nudge(self) -> None:
        """Called by an event loop every NUDGE_S: see that the thread comes to its turn."""
        seen, self._collections_seen = self._collections_seen, self._collections
        self._late = self._late + 1 if self._lines and seen == self._collections_seen else 0
        if self._late > 1:
            self._hand_over()

    def _hand_over(self) -> None:
        """Stand back until the thread has collected, HAND_OVER_S at most.

        A loop that lets the interpreter go at every poll and takes it back at once can starve a thread
        for seconds on a busy machine: CPython asks the holder to yield only after 5 ms without any release.
        """
        if self._unanswered >= MOST_UNANSWERED or self._thread is threading.current_thread():
            return
        if not self._handing.acquire(blocking=False):  # a finaliser that logs while this thread waits below
            return
        try:
            self._collected.clear()
            self._bell.put(None)
            if not self._collected.wait(HAND_OVER_S):
                self._unanswered += 1
        finally:
            self._handing.release()

    def _drop_oldest(self) -> None:
        """A quarter at once, so that a long outage costs little per record."""
        oldest = self._lines[: len(self._lines) // 4 + 1]
        del self._lines[: len(oldest)]
        self._held_bytes -= sum(map(len, oldest))
        self.count_dropped(self._refusal or "backlog", len(oldest))

    def _begin(self) -> None:
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="holdfast-event-log", daemon=True)
                self._thread = thread
                thread.start()
                atexit.register(self.close)
        except RuntimeError:
            # No thread can be had, most likely because the interpreter is going: write here and now.
            self._thread = None
            self._turn()
            self._end_segment()
        finally:
            self._starting.release()

    def _run(self) -> None:
        busy = True
        while not self._closing.is_set():
            self._rest(busy)
            busy = self._turn()
        self._turn()
        self._end_segment()
        if self._lines and self.failure:
            self.count_dropped(self._refusal, len(self._lines))
            self._lines.clear()
        self._thread = None
        self._closing.clear()
        self._left = -1
        if self._lines:  # appended while this thread was leaving
            self._wake()

    def _rest(self, busy: bool) -> None:
        """Until the next write: at most FLUSH_S after a busy turn, else until there is a record."""
        if self.failure:
            self._closing.wait(RETRY_S)
            return
        if not busy:
            self._left = -1
            # Looked at after the line above: a record that came before it did not ring.
            if not (self._lines or self._waiters or self._closing.is_set()):
                self._bell.get()
        if not (self._waiters or self._closing.is_set()):
            try:
                self._bell.get(timeout=FLUSH_S)
            except Empty:
                return

    def _turn(self) -> bool:
        """Write what waits and seal what is due; whether there was anything."""
        while not self._bell.empty():
            self._bell.get()
        waiters = self._waiters[:]
        before = self.written
        self._drain()
        if not self.failure:
            for waiter in waiters:
                self._waiters.remove(waiter)
            self._roll_if_due()
            for waiter in waiters:
                waiter.set()
        return self.written != before

    def _drain(self) -> None:
        while True:
            with self._collecting:
                batch = self._lines[:BATCH_LINES]
                del self._lines[: len(batch)]
                self._collections += 1
                self._unanswered = 0
                if not batch:
                    self._held_bytes = 0
                    self.failure = self._refusal = ""
                    return
            self._collected.set()
            count, error = self._put(batch)
            self.written += count
            self._held_bytes -= sum(map(len, batch[:count]))
            if error is not None:
                self._lines[0:0] = batch[count:]
                if not self._start_afresh(error):
                    self.failure = error.strerror or str(error)
                    self._refusal = "disk_full" if error.errno in _FULL else "io_error"
                    return
            else:
                self.failure = self._refusal = ""
                self._roll_if_due()

    def _put(self, batch: list[bytes]) -> tuple[int, OSError | None]:
        try:
            if self._segment is None:
                self._segment = self._open()
            return self._segment.write(batch)
        except OSError as error:
            return 0, error
        except Exception as error:  # noqa: BLE001 - the thread must outlive even a lack of memory
            return 0, OSError(errno.EIO, repr(error))

    def _open(self) -> Segment:
        wall_s = self._clock.wall()
        self._last_stamp_ms = next_stamp_ms(self._last_stamp_ms, wall_s)
        name = segment_name(self._last_stamp_ms, self._ids.sortable(wall_s))
        return Segment(self.folder, name, self._clock.monotonic())

    def _start_afresh(self, error: OSError) -> bool:
        """Leave a segment that takes no more; whether a new one is worth trying at once."""
        segment = self._segment
        if segment is None:
            return False
        at_its_limit = error.errno == errno.EFBIG and segment.size > 0
        if at_its_limit or segment.broken or error.errno not in _FULL:
            self._end_segment()
        return at_its_limit

    def _roll_if_due(self) -> None:
        segment = self._segment
        if segment is None:
            return
        age_s = self._clock.monotonic() - segment.opened_s
        due = is_due(segment.size, age_s, max_bytes=self._segment_bytes, max_age_s=self._segment_age_s)
        if due or (self._roll_wanted and not self._lines):
            self._roll_wanted = False
            self._end_segment()

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            try:
                segment.seal()
            except OSError as error:  # it stays in hot without its lock, and upkeep seals it as an orphan
                self.failure = error.strerror or str(error)

    def _after_fork(self) -> None:
        """The child starts empty: what waits is the parent's to write, and so is the segment."""
        if self._segment is not None:
            self._segment.forget()
        self._lines.clear()
        self.dropped = dict.fromkeys(REASONS, 0)
        self.written = 0
        self._left = -1
        self._reset()
