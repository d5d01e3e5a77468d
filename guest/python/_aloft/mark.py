"""Descriptor 4: a file of four bytes that holds the highest id of an invocation whose handler may have been called."""
import mmap
import os
import stat
import struct


def open_mark():
    """A function that writes an id there; None where the instance has no such file and must say it over the socket."""
    try:
        status = os.fstat(4)
        if not stat.S_ISREG(status.st_mode) or status.st_size != 4:
            return None
        view = mmap.mmap(4, 4)
    except (OSError, ValueError):
        return None
    pack_into = struct.Struct("<I").pack_into
    return lambda stream: pack_into(view, 0, stream)
