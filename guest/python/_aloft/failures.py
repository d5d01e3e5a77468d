"""Exceptions as the node wants them: type, message, and a traceback without this runtime's own lines."""
import os
import traceback

from .invocation import BadResponse

_own = os.path.dirname(os.path.abspath(__file__))


def failure_of(error, kind, root=""):
    if isinstance(error, BadResponse):
        kind = "response"
    return {
        "type": type(error).__name__,
        "message": message_of(error, kind, root)[:4000],
        "stack": stack_of(error, root)[:16000],
        "kind": kind,
    }


def message_of(error, kind, root):
    if kind != "load":
        return str(error)
    if isinstance(error, SyntaxError) and error.filename:
        return "%s:%s: %s" % (_inner(error.filename, root), error.lineno, error.msg)
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        text += "; packages must lie in the app's folder: pip install -r requirements.txt -t vendor"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root + os.sep)]
    return "%s (%s:%s)" % (text, _inner(own[-1].filename, root), own[-1].lineno) if root and own else text


def stack_of(error, root=""):
    # Causes are printed by the traceback module itself, so the runtime's frames are cut from the text's model.
    seen = traceback.TracebackException(type(error), error, error.__traceback__)
    _strip(seen, root, set())
    return "".join(seen.format()).rstrip("\n")


def _strip(seen, root, done):
    if seen is None or id(seen) in done:
        return
    done.add(id(seen))
    kept = [f for f in seen.stack if not f.filename.startswith((_own, "<frozen importlib"))]
    seen.stack[:] = kept
    for frame in kept:
        frame.filename = _inner(frame.filename, root)
    if getattr(seen, "filename", None):
        seen.filename = _inner(seen.filename, root)
    _strip(seen.__cause__, root, done)
    _strip(seen.__context__, root, done)


def _inner(path, root):
    return path[len(root) + 1 :] if root and path.startswith(root + os.sep) else path
