"""The runtime: says hello, takes one deployment, imports it, and calls its handlers.

A thread of its own reads the socket, so that pings are answered and bodies flow whatever a handler does. Handlers run where
they expect to: Lambda handlers one at a time in the main thread, WSGI requests in threads, ASGI requests on the main
thread's event loop. Before an invocation is handed to any of them, the node can know that it may act (`begun`).
"""
import json
import os
import queue
import select
import socket
import sys
import threading
import time

from . import frames
from .invocation import Invocation, current
from .mark import open_mark

#: What many handlers import; loaded while a process waits for a deployment.
_COMMON = (
    "logging", "datetime", "re", "base64", "hashlib", "hmac", "uuid", "random", "decimal", "functools", "collections",
    "itertools", "contextlib", "dataclasses", "enum", "typing", "string", "textwrap", "copy", "math", "statistics",
    "urllib.parse", "asyncio", "inspect", "traceback", "tempfile", "pathlib", "concurrent.futures", "zlib", "gzip", "csv",
    "html", "http.client", "urllib.request", "ssl", "email.utils", "sqlite3", "subprocess", "secrets", "zoneinfo",
    "_aloft.failures", "_aloft.logs", "_aloft.find_handler", "_aloft.lambda_handler", "_aloft.wsgi_app", "_aloft.asgi_app",
    "_aloft.state_api", "_aloft.state_calls",
)  # fmt: skip

#: Threads of a WSGI app unless aloft.json says otherwise: handlers wait for databases most of the time, but not for free.
WSGI_CONCURRENCY = 16
#: A process that is being asked for is not made to wait for what may never be needed.
_QUIET_SECONDS = 0.02


def run():
    connection = frames.Connection(socket.socket(fileno=3))
    version = "%d.%d.%d" % sys.version_info[:3]
    connection.send_json(frames.HELLO, 0, {"protocol": frames.PROTOCOL, "runtime": "python " + version})
    assign, early = _await_assign(connection)
    Runtime(connection, assign).serve(early)


def _await_assign(connection):
    parts = []
    to_load = list(_COMMON)
    while True:
        while to_load and not select.select([connection], [], [], _QUIET_SECONDS if len(to_load) == len(_COMMON) else 0)[0]:
            try:
                __import__(to_load.pop(0))
            except ImportError:
                pass  # Some builds lack sqlite3 or ssl; the handler that needs it will say so.
            if not to_load:
                _rehearse()
                connection.send(frames.WARMED, 0, 0)
        got = connection.read()
        if not got:
            os._exit(0)
        for at, (kind, flags, _, payload) in enumerate(got):
            if kind != frames.ASSIGN:
                continue
            parts.append(payload)
            if not flags & frames.MORE:
                return json.loads(b"".join(parts)), got[at + 1 :]


def _rehearse():
    """What the first request would otherwise be the first to do."""
    import gc

    json.loads(json.dumps({"a": [1, 2.5, None, True, "ä"]}))
    "é".encode("idna")
    gc.collect()
    # What is here now stays: the collector need not look at it again.
    gc.freeze()


class Runtime:
    def __init__(self, connection, assign):
        from .logs import Logs

        self._connection = connection
        self._assign = assign
        self._root = assign["root"]
        self._mark = open_mark()
        self._open = {}
        self._is_draining = False
        self._logs = Logs(connection, self._only_stream, self._root)
        self._calls = None
        self._busy = (time.monotonic(), time.process_time())
        self._submit = None
        self._stop = None

    def serve(self, early):
        from .failures import failure_of

        self._logs.capture()
        threading.excepthook = self._thread_failed
        try:
            handlers = self._load()
        except BaseException as error:
            failure = failure_of(error, "load", self._root)
            if isinstance(error, SystemExit):
                failure["message"] = "the code called sys.exit(%s) while it was imported" % error.code
            self._flush_output()
            self._connection.send_json(frames.FAILED, 0, failure)
            _wait_for_end()
        if self._assign["mode"] == "describe":
            self._flush_output()
            self._connection.send_json(frames.READY, 0, {"functions": handlers})
            _wait_for_end()
        style, handler = handlers
        try:
            wait = {"lambda": self._serve_lambda, "wsgi": self._serve_wsgi, "asgi": self._serve_asgi}[style](handler)
        except BaseException as error:
            self._flush_output()
            self._connection.send_json(frames.FAILED, 0, failure_of(error, "load", self._root))
            _wait_for_end()
        self._flush_output()
        threading.Thread(target=self._read, args=(early,), name="aloft-reader", daemon=True).start()
        self._calls.is_answered = True
        self._connection.send_json(frames.READY, 0, {})
        wait()

    # --- loading

    def _load(self):
        from . import find_handler, lambda_handler

        assign, root = self._assign, self._root
        if assign.get("lambda"):
            handler = assign["program"]["handler"]
            os.environ.update(lambda_handler.environment(assign, handler, sys.version_info[:2]))
        os.environ.update(assign["variables"])
        if assign["mode"] != "describe":
            self._serve_state()
        if "TZ" in os.environ:
            time.tzset()
        os.chdir(root)
        folders = [os.path.join(root, name) for name in ("vendor", "python")]
        folders += self._layer_folders(root)
        sys.path[0:0] = [root] + [folder for folder in folders if os.path.isdir(folder)]
        if assign["mode"] != "describe":
            return find_handler.find_handler(assign["program"]["handler"], root)
        described = []
        for function in assign["functions"]:
            style, _ = find_handler.find_handler(function["handler"], root)
            limits = {"concurrency": WSGI_CONCURRENCY} if style == "wsgi" else {}
            described.append({"name": function["name"], "style": style, "triggers": [], "limits": limits})
        return described

    def _layer_folders(self, root):
        """Where layers have modules; in a container /opt is a link to them, else they are where they lie."""
        layers = os.path.join(root, ".opt")
        if not os.path.isdir(layers):
            return []
        if os.path.realpath("/opt") == os.path.realpath(layers):
            layers = "/opt"
        os.environ["PATH"] = "%s:%s/bin" % (os.environ.get("PATH", ""), layers)
        return ["%s/python/lib/python%d.%d/site-packages" % (layers, *sys.version_info[:2]), layers + "/python"]

    def _serve_state(self):
        from . import state_api, state_calls

        self._calls = state_calls.StateCalls(self._connection, self._stream_of)
        os.environ["ALOFT_STATE_SOCKET"] = state_api.serve(self._calls)

    def _stream_of(self, invocation_id):
        for invocation in list(self._open.values()):
            if invocation.id == invocation_id and not invocation.is_ended:
                return invocation.stream
        return None

    # --- serving

    def _serve_lambda(self, handler):
        from . import lambda_handler

        work = queue.SimpleQueue()
        self._submit = work.put
        self._stop = lambda: work.put(None)
        return lambda: self._run_all(work, lambda invocation: lambda_handler.call(handler, invocation))

    def _serve_wsgi(self, app):
        from . import wsgi_app

        work = queue.SimpleQueue()
        ended = threading.Event()
        self._submit = work.put
        self._stop = ended.set
        call = lambda invocation: wsgi_app.call(app, invocation)
        waiting = threading.Semaphore(0)
        threads = []

        def submit(invocation):
            # A thread that waits takes it; while there are fewer than requests at once, another one is made.
            if not waiting.acquire(blocking=False) and len(threads) < self._assign["program"]["concurrency"]:
                thread = threading.Thread(target=loop, name="aloft-wsgi-%d" % len(threads), daemon=True)
                threads.append(thread)
                thread.start()
            work.put(invocation)

        def loop():
            self._run_all(work, call, waiting.release)

        self._submit = submit
        return ended.wait

    def _serve_asgi(self, app):
        from .asgi_app import AsgiServer

        server = AsgiServer(app, self._root, self._logs)
        server.start()
        self._submit = server.submit
        self._stop = server.stop
        return server.serve

    def _run_all(self, work, call, on_waiting=lambda: None):
        while True:
            invocation = work.get()
            if invocation is None:
                return
            token = current.set(invocation)
            try:
                call(invocation)
                self._flush_output()
                # Whatever was not answered by now was aborted.
                invocation.finish()
            except BaseException as error:
                self._failed(invocation, error)
            finally:
                current.reset(token)
            on_waiting()

    def _failed(self, invocation, error):
        from .failures import failure_of
        from .invocation import Gone

        if isinstance(error, Gone):
            invocation.finish()
            return
        is_exit = isinstance(error, SystemExit)
        failure = failure_of(error, "crashed" if is_exit else "threw", self._root)
        if is_exit:
            failure["message"] = "the code called sys.exit(%s)" % error.code
        self._logs.emit(3, 0, failure["stack"] or failure["message"])
        self._flush_output()
        invocation.fail(failure)
        if is_exit:
            os._exit(error.code if isinstance(error.code, int) else 1 if error.code else 0)

    def _thread_failed(self, args):
        from .failures import stack_of

        if args.exc_type is not SystemExit and args.exc_value is not None:
            self._logs.emit(3, 0, "a thread failed: " + stack_of(args.exc_value, self._root))

    @staticmethod
    def _flush_output():
        sys.stdout.flush()
        sys.stderr.flush()

    # --- the reading thread

    def _read(self, early):
        got = early
        while True:
            fresh = []
            for kind, flags, stream, payload in got:
                self._on_frame(kind, flags, stream, payload, fresh)
            if fresh:
                self._begin(fresh)
            got = self._connection.read()
            if not got:
                os._exit(0)

    def _on_frame(self, kind, flags, stream, payload, fresh):
        if kind == frames.INVOKE:
            is_complete = bool(flags & frames.END)
            what, _, timeout_ms, lines, first = frames.read_invoke(payload)
            invocation = Invocation(self._connection, stream, what, timeout_ms, lines, first, is_complete, self._ended)
            self._open[stream] = invocation
            fresh.append(invocation)
        elif kind == frames.PING:
            self._connection.pong(frames.read_u32(payload), len(self._open), self._utilisation())
        elif kind == frames.REPLY:
            if self._calls is not None:
                self._calls.on_reply(flags, stream, payload)
        elif kind == frames.DRAIN:
            self._is_draining = True
            self._stop_when_drained()
        else:
            invocation = self._open.get(stream)
            if invocation is None:
                return
            if kind == frames.BODY:
                invocation.push(payload, bool(flags & frames.END))
            elif kind == frames.RESET:
                invocation.body_failed()
            elif kind == frames.CREDIT:
                invocation.add_credit(frames.read_u32(payload))
            elif kind == frames.CANCEL and payload[0] != frames.TAKEN_BACK:
                # What has begun cannot be taken back; the node hears of that from `begun`.
                invocation.abort("the timeout has passed" if payload[0] == frames.DEADLINE else "the caller is gone")

    def _begin(self, fresh):
        if self._mark is not None:
            self._mark(fresh[-1].stream)
        else:
            self._connection.u32(frames.BEGUN, 0, *[invocation.stream for invocation in fresh])
        for invocation in fresh:
            self._submit(invocation)

    def _ended(self, invocation):
        self._open.pop(invocation.stream, None)
        if self._is_draining:
            self._stop_when_drained()

    def _stop_when_drained(self):
        if not self._open and self._stop is not None:
            stop, self._stop = self._stop, None
            stop()

    def _only_stream(self):
        open_now = list(self._open)
        return open_now[0] if len(open_now) == 1 else 0

    def _utilisation(self):
        """The part of one processor that was used since the last time: Python's threads share one lock."""
        wall, cpu = time.monotonic(), time.process_time()
        before_wall, before_cpu = self._busy
        self._busy = (wall, cpu)
        return max(0.0, min(1.0, (cpu - before_cpu) / max(wall - before_wall, 1e-6)))


def _wait_for_end():
    """The node has what it wanted to know, and ends this process."""
    while True:
        time.sleep(3600)
