"""From what aloft.json names, or nothing, to what is called and how: a Lambda handler, a WSGI or an ASGI app."""
import importlib
import inspect
import os
import types

#: Of a folder without a named handler, the first that is there.
MODULES = ("app", "main", "application", "lambda_function", "index", "handler", "wsgi", "asgi")
#: Of a module without a named handler, the first that is callable.
NAMES = ("app", "application", "lambda_handler", "handler")
_APP_NAMES = ("app", "application")


class HandlerNotFound(Exception):
    pass


def find_handler(handler, root):
    """(style, what is called). Raises HandlerNotFound, and whatever the import raises."""
    module_name, name = _split(handler, root)
    module = _import(module_name, handler, root)
    if name is not None:
        target = module
        for part in name.split("."):
            target = getattr(target, part, None)
        if target is None:
            raise HandlerNotFound("the module %s has no %s" % (module_name, name))
        if not isinstance(target, types.ModuleType):
            return style_of(target, name), target
        module = target
    for name in NAMES:
        target = getattr(module, name, None)
        if callable(target):
            return style_of(target, name), target
    wanted = ", ".join(NAMES[:-1]) + " or " + NAMES[-1]
    raise HandlerNotFound("the module %s has none of %s; name one: handler" % (module.__name__, wanted))


def _split(handler, root):
    """`app.handler`, `folder/app.handler`, `app:app` or `app` -> module and name; the name may be None."""
    if handler == "":
        return _only_module(root), None
    if ":" in handler:
        module, name = handler.split(":", 1)
        return module.replace("/", "."), name
    dotted = handler.replace("/", ".")
    if "." not in dotted or _is_module(dotted, root):
        return dotted, None
    module, name = dotted.rsplit(".", 1)
    return module, name


def _is_module(dotted, root):
    path = os.path.join(root, *dotted.split("."))
    return os.path.isfile(path + ".py") or os.path.isfile(os.path.join(path, "__init__.py"))


def _only_module(root):
    for name in MODULES:
        if _is_module(name, root):
            return name
    found = sorted(n[:-3] for n in os.listdir(root) if n.endswith(".py") and not n.startswith(("test_", "setup")))
    if len(found) == 1:
        return found[0]
    raise HandlerNotFound("the folder has none of %s; name a handler in aloft.json" % ", ".join(m + ".py" for m in MODULES))


def _import(module_name, handler, root):
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that the code imports in turn is another matter.
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        there = sorted(n for n in os.listdir(root) if n.endswith(".py"))[:20]
        files = "its Python files are " + ", ".join(there) if there else "it has no Python file"
        raise HandlerNotFound("the handler %s names the module %s, which the folder does not have; %s" % (handler, module_name, files)) from None


def style_of(target, name):
    call = target if inspect.isroutine(target) or inspect.isclass(target) else getattr(target, "__call__", target)
    names = _parameters(call)
    if names is not None:
        if len(names) == 3 and (inspect.iscoroutinefunction(call) or names[0] == "scope"):
            return "asgi"
        if len(names) == 2 and names[1] == "start_response":
            return "wsgi"
        if len(names) == 2 and inspect.iscoroutinefunction(call):
            return "lambda"
    return "wsgi" if name in _APP_NAMES else "lambda"


def _parameters(call):
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]
