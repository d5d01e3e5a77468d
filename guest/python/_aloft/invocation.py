"""One invocation: what the node said of it, its body as it comes, and its answer as far as the node has room for it.

The reading thread changes it, the handler's thread or task waits on it. A waiter of either kind is woken by any change.
"""
import contextvars
import threading
import time
from collections import deque

from . import frames

#: Of the code that runs now; None outside of any handler.
current = contextvars.ContextVar("aloft_invocation", default=None)


class Gone(Exception):
    """Nobody waits for the answer any longer."""


class BadResponse(Exception):
    """What the handler returned is no answer."""


class Invocation:
    def __init__(self, connection, stream, kind, timeout_ms, lines, first, is_complete, on_end):
        self.connection = connection
        self.stream = stream
        self.kind = kind
        self.deadline = time.time() + timeout_ms / 1000
        self.id, self.traceparent, self.attempt, self.method, self.origin, self.target, self.remote_address = lines[:7]
        # Nobody outside may name an invocation of this app.
        self.headers = [pair for pair in zip(lines[8::2], lines[9::2]) if pair[0] != "aloft-invocation"]
        self.has_body = bool(first) or not is_complete
        self.abort_reason = None
        self.is_ended = False
        self._chunks = deque([first] if first else [])
        self._is_complete = is_complete
        self._error = None
        self._credit = frames.WINDOW
        self._changed = threading.Condition()
        self._wake = None
        self._on_end = on_end
        self._has_head = False

    # --- from the reading thread

    def push(self, chunk, is_last):
        with self._changed:
            if chunk:
                self._chunks.append(chunk)
            self._is_complete = self._is_complete or is_last
            self._notify()

    def body_failed(self):
        with self._changed:
            self._error = ConnectionError("the request body ended before it was complete")
            self._notify()

    def add_credit(self, size):
        with self._changed:
            self._credit += size
            self._notify()

    def abort(self, reason):
        with self._changed:
            self.abort_reason = reason
            self._notify()

    def _notify(self):
        self._changed.notify_all()
        if self._wake is not None:
            self._wake()

    def wake_by(self, wake):
        """`wake` is called, in the reading thread, at every change."""
        with self._changed:
            self._wake = wake

    # --- the request's body

    def take(self):
        """(has something come, the chunk or None at the end), without waiting."""
        with self._changed:
            if self._chunks:
                chunk = self._chunks.popleft()
                grants = not self._is_complete
            elif self.abort_reason is not None:
                raise Gone(self.abort_reason)
            elif self._error is not None:
                raise self._error
            else:
                return (self._is_complete, None)
        if grants:
            self.connection.u32(frames.CREDIT, self.stream, len(chunk))
        return (True, chunk)

    def next_chunk(self):
        """Waits. None at the end."""
        while True:
            has_come, chunk = self.take()
            if has_come:
                return chunk
            with self._changed:
                self._changed.wait_for(self._has_news)

    def _has_news(self):
        return bool(self._chunks) or self._is_complete or self._error is not None or self.abort_reason is not None

    @property
    def is_body_complete(self):
        return self._is_complete and not self._chunks

    def read_all(self):
        parts = []
        while True:
            chunk = self.next_chunk()
            if chunk is None:
                return b"".join(parts)
            parts.append(chunk)

    # --- the answer

    def answer(self, status, headers, body):
        """The whole answer at once."""
        if self._is_over():
            return
        text_bytes = sum(len(name) + len(value) + 2 for name, value in headers)
        if len(body) + text_bytes < frames.PAYLOAD_MAX - 64:
            self._has_head = True
            self.connection.head(frames.END | frames.DONE, self.stream, status, headers, body)
            self._end()
            return
        self.start(status, headers)
        self.write(body)
        self.finish()

    def start(self, status, headers):
        """The head; the body follows by `write` and `finish`."""
        if self._is_over():
            return
        self._has_head = True
        if not self.connection.head(0, self.stream, status, headers):
            self._has_head = False
            raise BadResponse("the headers of the answer are over %d bytes" % frames.PAYLOAD_MAX)

    def room(self):
        """Body bytes that may be sent now. Raises Gone."""
        with self._changed:
            if self.abort_reason is not None:
                raise Gone(self.abort_reason)
            return min(self._credit, frames.PAYLOAD_MAX)

    def write_some(self, data, room):
        part = bytes(data[:room])
        with self._changed:
            self._credit -= len(part)
        self.connection.send(frames.BODY, 0, self.stream, part)
        return data[len(part) :]

    def write(self, data):
        """Waits until all of it has been sent."""
        data = memoryview(data)
        while len(data) > 0:
            room = self.room()
            if room > 0:
                data = self.write_some(data, room)
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._credit > 0 or self.abort_reason is not None)

    def finish(self):
        if self._is_over():
            return
        self.connection.send(frames.BODY, frames.END | frames.DONE, self.stream)
        self._end()

    @property
    def has_head(self):
        return self._has_head

    def fail(self, failure):
        if self._is_over():
            return
        if self._has_head:
            self.connection.send(frames.RESET, 0, self.stream, failure["message"].encode()[:1000])
        self.connection.send_json(frames.OUTCOME, self.stream, failure)
        self._end()

    def _is_over(self):
        """Whether it has ended; one that was aborted ends now, with the confirmation that the node waits for."""
        if self.is_ended:
            return True
        if self.abort_reason is None:
            return False
        failure = {"type": "Aborted", "message": "cancelled", "stack": "", "kind": "cancelled"}
        self.connection.send_json(frames.OUTCOME, self.stream, failure)
        self._end()
        return True

    def _end(self):
        self.is_ended = True
        self._on_end(self)
