"""The local HTTP API of state (docs/state-api.md), as guest/companion/state-api.ts serves it for other programs.

The socket is there from the start; what serves it is imported by the first who connects.
"""
import base64
import json
import os
import socket
import tempfile
import threading
from urllib.parse import parse_qsl, unquote, urlsplit

from .state_calls import StateError

_PIECE = 512 * 1024
#: Of a JSON body or a value.
_BODY_MAX = 8 * 1024 * 1024
_STATUSES = {
    "REQUEST_INVALID": 400, "KEY_INVALID": 400, "INVOCATION_ENDED": 409, "NOT_AN_INTEGER": 409, "UPLOAD_EXPIRED": 409,
    "DEDUPE_MISMATCH": 409, "STATE_CONFLICT": 409, "VALUE_TOO_LARGE": 413, "EFFECTS_TOO_LARGE": 413,
    "READ_SET_TOO_LARGE": 413, "COMMIT_UNKNOWN": 503, "KEYSPACE_BUSY": 503, "DISK_FULL": 507,
}  # fmt: skip


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status = status
        self.code = code


def serve(calls):
    """Resolves names by `calls`; the answer is the socket's path."""
    path = os.path.join(tempfile.gettempdir(), "aloft-state.sock")
    if os.path.exists(path):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    threading.Thread(target=_accept, args=(listening, calls), name="aloft-state", daemon=True).start()
    return path


def _accept(listening, calls):
    handler = None
    while True:
        connection, _ = listening.accept()
        handler = handler or _handler_class(calls)
        threading.Thread(target=_serve_one, args=(handler, connection), name="aloft-state-call", daemon=True).start()


def _serve_one(handler, connection):
    try:
        with connection:
            handler(connection, ("", 0), None)
    except OSError:
        pass  # The client is gone.


def _handler_class(calls):
    from http.server import BaseHTTPRequestHandler

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _serve(self):
            self._pieces = self._read_pieces()
            try:
                _answer(self, lambda call: calls.ask(call, self.headers.get("aloft-invocation") or None))
            except StateError as error:
                self._fail(_STATUSES.get(error.code, 500), error.code, str(error))
            except Refused as error:
                self._fail(error.status, error.code, str(error))

        def _fail(self, status, code, message):
            # A client that still sends its body would find the connection broken and never read the answer.
            self.close_connection = not self._drain()
            self.reply(status, json.dumps({"code": code, "message": message}).encode())

        def _drain(self):
            """Whether what was left of the body is read: else it would be taken for the next request."""
            left = _BODY_MAX
            try:
                for piece in self._pieces:
                    left -= len(piece)
                    if left < 0:
                        return False
            except Refused:
                return False
            return True

        def reply(self, status, body=b"", content_type="application/json", headers=()):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def pieces(self):
            """The body, at most so much at once; what was taken does not come again."""
            return self._pieces

        def _read_pieces(self):
            if "chunked" in self.headers.get("transfer-encoding", "").lower():
                while True:
                    size = _length(self.rfile.readline(64).split(b";")[0], 16)
                    left = size
                    while left > 0:
                        piece = self.rfile.read(min(left, _PIECE))
                        if not piece:
                            raise _ended()
                        left -= len(piece)
                        yield piece
                    self.rfile.readline(64)
                    if size == 0:
                        return
            left = _length(self.headers.get("content-length") or "0", 10)
            while left > 0:
                piece = self.rfile.read(min(left, _PIECE))
                if not piece:
                    raise _ended()
                left -= len(piece)
                yield piece

        def body(self):
            body = b""
            for piece in self.pieces():
                body += piece
                if len(body) > _BODY_MAX:
                    raise Refused(413, "VALUE_TOO_LARGE", "the body is too large for a value")
            return body

        def json(self):
            try:
                return json.loads(self.body())
            except ValueError:
                raise Refused(400, "REQUEST_INVALID", "the body is not JSON") from None

        def object(self):
            value = self.json()
            if isinstance(value, dict):
                return value
            raise Refused(400, "REQUEST_INVALID", "the body is not a JSON object")

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _serve

    return Handler


def _length(text, base):
    try:
        length = int(text, base)
    except ValueError:
        length = -1
    if length < 0:
        raise Refused(400, "REQUEST_INVALID", "the length of the body is no number")
    return length


def _ended():
    return Refused(400, "REQUEST_INVALID", "the body ended before it was complete")


def _answer(http, ask):
    url = urlsplit(http.path)
    parts = [unquote(part) for part in url.path.split("/")[1:]]
    if http.command == "POST" and len(parts) == 1:
        return _plain(http, ask, parts[0])
    if len(parts) not in (2, 3) or parts[0] not in ("kv", "blobs"):
        raise Refused(404, "NOT_FOUND", "there is nothing at %s %s" % (http.command, url.path))
    kind, name = {"kv": "kv", "blobs": "blob"}[parts[0]], parts[1]
    key = parts[2] if len(parts) == 3 else ""
    query = _query(url.query)

    def read(method, args):
        return ask({"op": "read", "resource": kind, "name": name, "method": method, "args": args})["value"]

    def write(method, args):
        return _write(ask, {"resource": kind, "name": name, "method": method, "args": args})

    if key == "":
        if http.command != "GET":
            raise Refused(405, "METHOD_NOT_ALLOWED", "a store is only read")
        return http.reply(200, json.dumps(read("list", query)).encode())
    args = dict(query, key=key)
    if http.command in ("GET", "HEAD"):
        return (_send_value if kind == "kv" else _send_blob)(http, read, args)
    if http.command == "PUT":
        (_put_value if kind == "kv" else _put_blob)(http, read, write, args)
    elif http.command == "POST" and kind == "blob":
        return http.reply(200, json.dumps(read("link", dict(http.object(), key=key))).encode())
    elif http.command == "POST":
        write("increment", {"key": key, "by": query.get("by", 1)})
    elif http.command == "DELETE":
        write("delete", args)
    else:
        raise Refused(405, "METHOD_NOT_ALLOWED", "%s is not taken here" % http.command)
    http.reply(204)


def _plain(http, ask, what):
    if what not in ("read", "write", "commit"):
        raise Refused(404, "NOT_FOUND", "there is nothing at POST /%s" % what)
    body = http.json()
    # What the node would end this process for.
    wanted = ("seen", "effects") if what == "commit" else ("resource", "name", "method")
    if not isinstance(body, dict) or not all(isinstance(body.get(one), list if what == "commit" else str) for one in wanted):
        raise Refused(400, "REQUEST_INVALID", "the body has no " + ", ".join(wanted))
    if what == "read":
        args = body.get("args")
        # Bytes as base64: what is answered here is JSON.
        args = dict(args, raw=False) if isinstance(args, dict) else {}
        http.reply(200, json.dumps(ask(dict(body, op="read", args=args))).encode())
    elif what == "write":
        http.reply(200, json.dumps({"result": _write(ask, body)}).encode())
    else:
        reply = ask({"op": "commit", "seen": body["seen"], "effects": body["effects"]})
        http.reply(200 if reply["kind"] == "committed" else 409, json.dumps(reply).encode())


def _write(ask, effect):
    reply = ask({"op": "commit", "seen": [], "effects": [effect]})
    if reply["kind"] == "conflict":
        raise Refused(409, "STATE_CONFLICT", reply["where"] + " has changed")
    result = reply["results"][0] if reply["results"] else None
    if result is False:
        raise Refused(412, "STATE_CONFLICT", "the condition does not hold")
    return result


def _send_value(http, read, args):
    entry = read("get", args)
    if entry is None:
        raise _nothing(args)
    value, headers = entry["value"], [("aloft-version", str(entry["version"]))]
    if "b64" in value:
        http.reply(200, base64.b64decode(value["b64"]), "application/octet-stream", headers)
    else:
        http.reply(200, (value["big"] if "big" in value else json.dumps(value["json"])).encode(), headers=headers)


def _put_value(http, _read, write, args):
    is_json = "json" in http.headers.get("content-type", "")
    value = {"json": http.json()} if is_json else {"b64": base64.b64encode(http.body()).decode()}
    write("set", dict(args, value=value))


def _send_blob(http, read, args):
    found = read("get", args)
    if found is None:
        raise _nothing(args)
    info = found["value"]
    own = {"upload": info["upload"], "hash": info["hash"]} if "upload" in info else {"key": args["key"]}
    opened = read("open", dict(own, raw=True))
    if opened is None:
        raise _nothing(args)
    info = (opened["entry"] or found)["value"]
    http.send_response(200)
    for name in (("content-type", info["contentType"]), ("content-length", str(info["size"])), ("etag", '"%s"' % info["hash"])):
        http.send_header(*name)
    http.end_headers()
    at, piece, transfer = 0, opened["bytes"], opened["transfer"]
    while http.command != "HEAD":
        http.wfile.write(piece)
        at += len(piece)
        if at >= info["size"] or transfer is None or not piece:
            break
        more = {"transfer": transfer, "raw": True, "offset": at, "length": min(_PIECE, info["size"] - at)}
        piece = read("pull", more)["bytes"]
    if transfer is not None:
        read("end", {"transfer": transfer})


def _put_blob(http, read, write, args):
    upload = read("begin", {})["upload"]
    for piece in http.pieces():
        read("push", {"upload": upload, "bytes": piece})
    done = read("finish", {"upload": upload})
    content_type = http.headers.get("content-type", "application/octet-stream")
    value = dict(done, contentType=content_type, metadata={}, createdAtMs=0)
    write("set", dict(args, value=value, upload=done["upload"]))


def _query(text):
    """Numbers and truths as what they are."""
    query = dict(parse_qsl(text, keep_blank_values=True))
    for name, value in query.items():
        if name in ("reverse", "snapshot", "ifAbsent"):
            query[name] = value != "false"
        elif name in ("limit", "ifVersion", "expiresInMs"):
            query[name] = int(value) if value.lstrip("-").isdigit() else value
    return query


def _nothing(args):
    return Refused(404, "NOT_FOUND", 'there is nothing under the key "%s"' % args["key"][:200])
