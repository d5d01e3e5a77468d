"""Renders the Mandelbrot set as PNG, row by row while it is being sent: a WSGI app and an image format in plain Python.

    /?x=-0.7&y=0&width=3&pixels=320&depth=100
"""
import struct
import zlib
from urllib.parse import parse_qs


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    try:
        x, y, width = (number(query, name, standard) for name, standard in (("x", -0.7), ("y", 0.0), ("width", 3.0)))
        pixels, depth = int(number(query, "pixels", 160)), int(number(query, "depth", 60))
        if not (0 < width <= 10 and 1 <= pixels <= 1024 and 1 <= depth <= 1000):
            raise ValueError("width is at most 10, pixels at most 1024, depth at most 1000")
    except ValueError as error:
        start_response("400 Bad Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{error}\n".encode()]
    if environ["PATH_INFO"] != "/":
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"only / renders\n"]
    start_response("200 OK", [("Content-Type", "image/png"), ("Cache-Control", "public, max-age=86400")])
    return png(pixels, rows(x, y, width, pixels, depth))


def number(query, name, standard):
    return float(query.get(name, [standard])[0])


def rows(x, y, width, pixels, depth):
    step = width / pixels
    for row in range(pixels):
        imaginary = y + (pixels / 2 - row) * step
        yield bytes(shade(complex(x + (column - pixels / 2) * step, imaginary), depth) for column in range(pixels))


def shade(c, depth):
    z = 0j
    for step in range(depth):
        z = z * z + c
        if z.real * z.real + z.imag * z.imag > 4:
            return 255 - 255 * step // depth
    return 0


def png(pixels, lines):
    """A greyscale image; its data leaves as soon as the compressor gives some away."""
    yield b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", pixels, pixels, 8, 0, 0, 0, 0))
    compressor = zlib.compressobj()
    for line in lines:
        data = compressor.compress(b"\0" + line)
        if data:
            yield chunk(b"IDAT", data)
    yield chunk(b"IDAT", compressor.flush())
    yield chunk(b"IEND", b"")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
