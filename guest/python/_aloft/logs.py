"""What a handler prints and logs becomes log frames, each with its invocation."""
import io
import logging
import os
import sys
import threading
import time

from .invocation import current

DEBUG, INFO, WARN, ERROR = range(4)
CONSOLE, STDOUT, STDERR = range(3)

_LINE_MAX = 32 * 1024


class Logs:
    """`only_stream` is the stream of the one invocation that runs, else 0: threads of a handler do not know theirs."""

    def __init__(self, connection, only_stream, root):
        self._connection = connection
        self._only_stream = only_stream
        self._root = root

    def emit(self, level, source, text, stream=None):
        if stream is None:
            invocation = current.get()
            stream = self._only_stream() if invocation is None else invocation.stream
        try:
            self._connection.log(stream, level, source, time.time() * 1000, text)
        except OSError:
            pass  # The node is gone, and so is this process in a moment.

    def capture(self):
        sys.stdout = _Lines(lambda line: self.emit(INFO, STDOUT, line), 1)
        sys.stderr = _Lines(lambda line: self.emit(ERROR, STDERR, line), 2)
        root = logging.getLogger()
        root.addHandler(_Handler(self, self._root))
        root.setLevel(logging.INFO)


class _Lines(io.TextIOBase):
    """Text in pieces, passed on in lines; what has no end yet leaves with `flush`."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, on_line, descriptor):
        self._on_line = on_line
        self._descriptor = descriptor
        self._local = threading.local()

    @property
    def buffer(self):
        return _Bytes(self)

    def fileno(self):
        return self._descriptor

    def isatty(self):
        return False

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        rest = getattr(self._local, "rest", "") + text
        if "\n" in rest or len(rest) > _LINE_MAX:
            *lines, rest = rest.split("\n")
            for line in lines:
                self._on_line(line)
            while len(rest) > _LINE_MAX:
                self._on_line(rest[:_LINE_MAX])
                rest = rest[_LINE_MAX:]
        self._local.rest = rest
        return len(text)

    def flush(self):
        rest = getattr(self._local, "rest", "")
        if rest:
            self._local.rest = ""
            self._on_line(rest)


class _Bytes(io.RawIOBase):
    def __init__(self, lines):
        self._lines = lines

    def writable(self):
        return True

    def write(self, data):
        self._lines.write(bytes(data).decode("utf-8", "backslashreplace"))
        return len(data)

    def flush(self):
        self._lines.flush()


class _Handler(logging.Handler):
    def __init__(self, logs, root):
        super().__init__()
        self._logs = logs
        self._folder = root + os.sep

    def emit(self, record):
        try:
            level = ERROR if record.levelno >= logging.ERROR else WARN if record.levelno >= logging.WARNING else None
            level = level if level is not None else INFO if record.levelno >= logging.INFO else DEBUG
            text = self.format(record)
            # Tracebacks name files as the app's developer knows them.
            self._logs.emit(level, CONSOLE, text.replace(self._folder, "") if record.exc_info else text)
        except Exception:
            self.handleError(record)
