"""WSGI apps (PEP 3333): a thread for each request, bodies streamed both ways."""
import io
import sys
from urllib.parse import unquote_to_bytes, urlsplit

from .invocation import BadResponse, Gone
from .lambda_handler import header

_NO_BODY = (204, 205, 304)
#: The connection's own; whoever speaks to the client writes them.
HOP_BY_HOP = frozenset(["connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-connection"])


def call(app, invocation):
    """Runs the app and sends its answer. What it raises is the caller's to report."""
    answer = _Answer(invocation)
    result = app(environ_of(invocation), answer.start_response)
    try:
        for chunk in result:
            answer.take(chunk)
        answer.finish(len(result) == 1 if hasattr(result, "__len__") else False)
    except Gone:
        invocation.finish()
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


def environ_of(invocation):
    path, _, query = invocation.target.partition("?")
    origin = urlsplit(invocation.origin)
    environ = {
        "REQUEST_METHOD": invocation.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "RAW_URI": invocation.target,
        "REQUEST_URI": invocation.target,
        "QUERY_STRING": query,
        "REMOTE_ADDR": invocation.remote_address,
        "SERVER_NAME": origin.hostname or "localhost",
        "SERVER_PORT": str(origin.port or (443 if origin.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "aloft",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": origin.scheme or "http",
        "wsgi.input": io.BufferedReader(_Input(invocation)),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "aloft.invocation_id": invocation.id,
    }
    # The last one names the invocation to the local API of state.
    for name, value in [*invocation.headers, ("aloft-invocation", invocation.id)]:
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        environ[key] = environ[key] + ("; " if name == "cookie" else ",") + value if key in environ else value
    return environ


class _Input(io.RawIOBase):
    def __init__(self, invocation):
        self._invocation = invocation
        self._rest = b""

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self._rest:
            self._rest = self._invocation.next_chunk() or b""
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _Answer:
    def __init__(self, invocation):
        self._invocation = invocation
        self._head = None
        self._held = b""
        self._sends_body = invocation.method != "HEAD"

    def start_response(self, status, headers, exc_info=None):
        if exc_info is not None:
            try:
                if self._invocation.has_head:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called a second time")
        code = status[:3]
        if not code.isdigit() or not 200 <= int(code) <= 599:
            raise BadResponse("the app's status is %r; it must begin with a number from 200 to 599" % status)
        pairs = [header(name, value) for name, value in headers]
        self._head = (int(code), [pair for pair in pairs if pair[0] not in HOP_BY_HOP])
        return self.take

    def take(self, chunk):
        """One chunk is held back, for an answer of one chunk leaves whole."""
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise BadResponse("a WSGI app must yield bytes, and yielded %s" % type(chunk).__name__)
        if self._head is None:
            raise BadResponse("the app yielded a body before it called start_response")
        if not chunk or not self._sends_body or self._head[0] in _NO_BODY:
            return
        self._send_held()
        self._held = bytes(chunk)

    def finish(self, is_whole):
        if self._head is None:
            raise BadResponse("the app ended without calling start_response")
        if not self._invocation.has_head:
            self._invocation.answer(self._head[0], self._head[1], self._held)
            return
        self._send_held()
        self._invocation.finish()

    def _send_held(self):
        if not self._held:
            return
        if not self._invocation.has_head:
            self._invocation.start(*self._head)
        held, self._held = self._held, b""
        self._invocation.write(held)
