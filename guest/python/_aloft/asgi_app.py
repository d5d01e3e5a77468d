"""ASGI apps (https://asgi.readthedocs.io/en/latest/specs/www.html): all requests on one event loop, with lifespan."""
import asyncio
import sys
from urllib.parse import unquote, urlsplit

from .failures import failure_of
from .invocation import BadResponse, Gone, current
from .lambda_handler import header
from .wsgi_app import HOP_BY_HOP

#: An app that goes on after it was told that the client is gone is cancelled.
_CANCEL_AFTER = 0.3
_STARTUP_WITHIN = 25
_SHUTDOWN_WITHIN = 8


class AsgiServer:
    """Runs in the main thread; `submit` is called by the reading thread."""

    def __init__(self, app, root, logs):
        self._app = app
        self._root = root
        self._logs = logs
        self._loop = asyncio.new_event_loop()
        self._state = {}
        self._lifespan = None
        self._tasks = set()
        asyncio.set_event_loop(self._loop)

    def start(self):
        """Raises what the app says of its start."""
        self._lifespan = _Lifespan(self._app, self._state)
        self._loop.run_until_complete(self._lifespan.start())

    def serve(self):
        """Until `stop`."""
        self._loop.run_forever()
        self._loop.run_until_complete(self._lifespan.stop())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)

    def submit(self, invocation):
        self._loop.call_soon_threadsafe(self._begin, invocation)

    def _begin(self, invocation):
        current.set(invocation)
        # The task copies the context, in which the invocation is the current one.
        task = self._loop.create_task(self._run(invocation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        current.set(None)

    async def _run(self, invocation):
        exchange = _Exchange(invocation, self._loop, asyncio.current_task())
        try:
            await self._app(scope_of(invocation, self._state), exchange.receive, exchange.send)
            if not exchange.is_complete and invocation.abort_reason is None:
                raise BadResponse("the app ended without a whole answer")
            invocation.finish()
        except (Gone, asyncio.CancelledError):
            if invocation.abort_reason is None:
                invocation.fail({"type": "CancelledError", "message": "the task was cancelled", "stack": "", "kind": "threw"})
            invocation.finish()
        except Exception as error:
            failure = failure_of(error, "threw", self._root)
            self._logs.emit(3, 0, failure["stack"] or failure["message"])
            invocation.fail(failure)
        except SystemExit as error:
            invocation.fail(failure_of(error, "crashed", self._root))
            raise
        finally:
            sys.stdout.flush()


def scope_of(invocation, state):
    path, _, query = invocation.target.partition("?")
    origin = urlsplit(invocation.origin)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": invocation.method,
        "scheme": origin.scheme or "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in _headers(invocation)],
        "client": (invocation.remote_address, 0),
        "server": (origin.hostname or "localhost", origin.port or (443 if origin.scheme == "https" else 80)),
        "state": dict(state),
        "extensions": {},
    }


class _Exchange:
    def __init__(self, invocation, loop, task):
        self._invocation = invocation
        self._loop = loop
        self._task = task
        self._news = asyncio.Event()
        self._head = None
        self._is_read = False
        self._is_aborted = False
        self.is_complete = False
        self._sends_body = invocation.method != "HEAD"
        if not invocation.is_body_complete or invocation.has_body:
            invocation.wake_by(lambda: loop.call_soon_threadsafe(self._wake))
        else:
            invocation.wake_by(lambda: loop.call_soon_threadsafe(self._wake))

    def _wake(self):
        self._news.set()
        if self._invocation.abort_reason is not None and not self._is_aborted:
            self._is_aborted = True
            self._loop.call_later(_CANCEL_AFTER, self._task.cancel)

    async def receive(self):
        if not self._is_read:
            try:
                while True:
                    self._news.clear()
                    has_come, chunk = self._invocation.take()
                    if has_come:
                        break
                    await self._news.wait()
            except (Gone, ConnectionError):
                return {"type": "http.disconnect"}
            self._is_read = chunk is None or self._invocation.is_body_complete
            return {"type": "http.request", "body": chunk or b"", "more_body": not self._is_read}
        while self._invocation.abort_reason is None and not self.is_complete:
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        kind = message["type"]
        if kind == "http.response.start":
            if self._head is not None:
                raise RuntimeError("http.response.start was sent a second time")
            status = message["status"]
            if not isinstance(status, int) or not 200 <= status <= 599:
                raise BadResponse("the app's status is %r; it must be a number from 200 to 599" % (status,))
            pairs = [header(_text(name), _text(value)) for name, value in message.get("headers", [])]
            self._head = (int(status), [pair for pair in pairs if pair[0] not in HOP_BY_HOP])
        elif kind == "http.response.body":
            if self._head is None:
                raise RuntimeError("http.response.body was sent before http.response.start")
            if self.is_complete:
                raise RuntimeError("http.response.body was sent after the end of the answer")
            body = message.get("body", b"") if self._sends_body else b""
            await self._send_body(body, message.get("more_body", False))
        elif not kind.startswith("http.response."):
            raise RuntimeError("unexpected ASGI message %r" % kind)

    async def _send_body(self, body, more):
        invocation = self._invocation
        if not more and not invocation.has_head and len(body) <= 32 * 1024:
            self._complete()
            invocation.answer(self._head[0], self._head[1], bytes(body))
            return
        if not invocation.has_head:
            invocation.start(*self._head)
        data = memoryview(body)
        while len(data) > 0:
            self._news.clear()
            room = invocation.room()
            if room > 0:
                data = invocation.write_some(data, room)
            else:
                await self._news.wait()
        if not more:
            self._complete()
            invocation.finish()

    def _complete(self):
        self.is_complete = True
        self._news.set()


def _text(value):
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


class _Lifespan:
    """An app that knows nothing of lifespan raises at once, and is served without it."""

    def __init__(self, app, state):
        self._app = app
        self._state = state
        self._to_app = asyncio.Queue()
        self._from_app = asyncio.Queue()
        self._task = None

    async def start(self):
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        self._task = asyncio.ensure_future(self._app(scope, self._to_app.get, self._from_app.put))
        self._to_app.put_nowait({"type": "lifespan.startup"})
        said = await self._next(_STARTUP_WITHIN)
        if said is None:
            # It ended or raised: that is how apps say that they have no lifespan.
            if not self._task.done():
                raise RuntimeError("the app's startup took longer than %d s" % _STARTUP_WITHIN)
            self._task.exception()
            self._task = None
        elif said["type"] == "lifespan.startup.failed":
            raise RuntimeError("the app's startup failed: %s" % said.get("message", ""))

    async def stop(self):
        if self._task is None or self._task.done():
            return
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        await self._next(_SHUTDOWN_WITHIN)

    async def _next(self, within):
        getting = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait({getting, self._task}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
        return self._from_app.get_nowait() if not self._from_app.empty() else None


def _headers(invocation):
    """With the one that names the invocation to the local API of state."""
    return [*invocation.headers, ("aloft-invocation", invocation.id)]
