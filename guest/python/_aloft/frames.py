"""The frame protocol (docs/wire.md, src/wire/): a head of 12 bytes and a payload, little-endian."""
import json
import struct
import threading

PROTOCOL = 1

HELLO, ASSIGN, READY, FAILED, INVOKE, BEGUN, HEAD, BODY, RESET, OUTCOME = range(1, 11)
CALL, REPLY, LOG, CANCEL, CREDIT, PING, PONG, WARMED, DRAIN = range(11, 20)

END, DONE, MORE = 1, 2, 4

KIND_HTTP, KIND_CALL = 0, 1
CALLER_GONE, DEADLINE, TAKEN_BACK = 1, 2, 3

HEAD_BYTES = 12
PAYLOAD_MAX = 64 * 1024 - HEAD_BYTES
#: Body bytes that may be on the way in one direction of a stream before there is credit.
WINDOW = 256 * 1024

_frame = struct.Struct("<IBBHI")
_invoke = struct.Struct("<BBHII")
_head = struct.Struct("<HI")
_log = struct.Struct("<BBd")
_pong = struct.Struct("<IIdd")
_u32 = struct.Struct("<I")


class Connection:
    """The guest's end of the socket. Any thread may send; one reads."""

    def __init__(self, sock):
        self._sock = sock
        self._lock = threading.Lock()
        self._buffer = bytearray()

    def read(self):
        """Frames of one read as (type, flags, stream, payload); empty when the node is gone."""
        frames = []
        while not frames:
            try:
                data = self._sock.recv(256 * 1024)
            except OSError:
                return []
            if not data:
                return []
            buffer = self._buffer
            buffer += data
            at = 0
            while len(buffer) - at >= HEAD_BYTES:
                size, kind, flags, _, stream = _frame.unpack_from(buffer, at)
                end = at + HEAD_BYTES + size
                if end > len(buffer):
                    break
                frames.append((kind, flags, stream, bytes(buffer[at + HEAD_BYTES : end])))
                at = end
            del buffer[:at]
        return frames

    def fileno(self):
        return self._sock.fileno()

    def send(self, kind, flags, stream, payload=b""):
        with self._lock:
            self._sock.sendall(_frame.pack(len(payload), kind, flags, 0, stream) + payload)

    def send_chunked(self, kind, stream, payload):
        parts = [payload[at : at + PAYLOAD_MAX] for at in range(0, len(payload), PAYLOAD_MAX)] or [b""]
        with self._lock:
            for part in parts[:-1]:
                self._sock.sendall(_frame.pack(len(part), kind, MORE, 0, stream) + part)
            self._sock.sendall(_frame.pack(len(parts[-1]), kind, 0, 0, stream) + parts[-1])

    def send_json(self, kind, stream, value):
        self.send_chunked(kind, stream, json.dumps(value).encode())

    def u32(self, kind, stream, *numbers):
        self.send(kind, 0, stream, b"".join(_u32.pack(number) for number in numbers))

    def head(self, flags, stream, status, headers, body=b""):
        """`headers` are (name, value) texts; False when they and the body do not fit one frame."""
        text = "\n".join(part for pair in headers for part in pair).encode("latin-1")
        payload = _head.pack(status, len(text)) + text + body
        if len(payload) > PAYLOAD_MAX:
            return False
        self.send(HEAD, flags, stream, payload)
        return True

    def log(self, stream, level, source, at_ms, text):
        data = text.encode("utf-8", "backslashreplace")[: 32 * 1024]
        self.send(LOG, 0, stream, _log.pack(level, source, at_ms) + data)

    def pong(self, number, in_flight, utilisation):
        self.send(PONG, 0, 0, _pong.pack(number, in_flight, utilisation, 0.0))


def read_u32(payload):
    return _u32.unpack_from(payload)[0]


def read_invoke(payload):
    """(kind, function number, ms to the deadline, lines of the text, first body bytes)."""
    kind, _, function, timeout_ms, text_bytes = _invoke.unpack_from(payload)
    start = _invoke.size
    text = payload[start : start + text_bytes].decode("latin-1")
    return kind, function, timeout_ms, text.split("\n"), payload[start + text_bytes :]
