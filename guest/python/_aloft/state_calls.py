"""What code asks of the node about state: a call goes out under a number, its reply comes back under the same."""
import json
import struct
import threading

from . import frames

#: The node lets 256 be open; the rest waits here.
_OPEN_MAX = 200


class StateError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class StateCalls:
    def __init__(self, connection, find_stream):
        self._connection = connection
        #: The stream of the invocation with an id; None when it does not run.
        self._find_stream = find_stream
        self._room = threading.BoundedSemaphore(_OPEN_MAX)
        self._lock = threading.Lock()
        self._number = 0
        #: Replies are read. Before that, while code is imported, a call would wait for ever.
        self.is_answered = False
        self._waiting = {}
        self._parts = {}

    def ask(self, call, invocation_id):
        """The value of the node's answer. `invocation_id` None: in nobody's name.

        Bytes in the arguments of a read, or in what it has found, travel as they are, behind the JSON and a zero.
        """
        if not self.is_answered:
            raise StateError("INVOCATION_ENDED", "state cannot be used while code is imported")
        stream = 0 if invocation_id is None else self._find_stream(invocation_id.replace("-", ""))
        if stream is None:
            raise StateError("INVOCATION_ENDED", "no invocation with this id runs here")
        answered = threading.Event()
        with self._room:
            with self._lock:
                self._number += 1
                number = self._number
                self._waiting[number] = waiting = [answered, None]
            args = call.get("args")
            raw = args.get("bytes") if call.get("op") == "read" and isinstance(args, dict) else None
            if isinstance(raw, bytes):
                call = dict(call, args={name: value for name, value in args.items() if name != "bytes"})
            payload = struct.pack("<I", number) + json.dumps(call).encode()
            if isinstance(raw, bytes):
                payload = b"\0".join((payload, raw))
            self._connection.send_chunked(frames.CALL, stream, payload)
            answered.wait()
        reply = waiting[1]
        if reply["ok"]:
            return reply["value"]
        raise StateError(reply["code"], reply["message"])

    def on_reply(self, flags, stream, payload):
        """In the reading thread. Frames of one reply follow each other on their stream."""
        parts = self._parts.setdefault(stream, [])
        parts.append(payload)
        if flags & frames.MORE:
            return
        del self._parts[stream]
        whole = b"".join(parts)
        with self._lock:
            waiting = self._waiting.pop(struct.unpack_from("<I", whole)[0], None)
        if waiting is not None:
            zero = whole.find(b"\0", 4)
            waiting[1] = reply = json.loads(whole[4:] if zero == -1 else whole[4:zero])
            if zero != -1:
                reply["value"]["value"]["bytes"] = whole[zero + 1 :]
            waiting[0].set()
