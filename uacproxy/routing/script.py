"""Route scripts: Python files whose decorated functions are the handlers.

A script is loaded as a whole or not at all: whatever is wrong in it is a ``ScriptError``
with file and line, and the script that ran before goes on.
"""

from __future__ import annotations

import inspect
import linecache
import traceback
from collections.abc import Callable
from functools import wraps
from types import CodeType
from typing import Any, Final, final

from uacproxy.errors import ScriptError, UacproxyError

Handler = Callable[[Any], Any]

_REQUEST: Final = "request_route"
_DIALOG: Final = "dialog_route"
_BRANCH: Final = "branch_route"
_FAILURE: Final = "failure_route"
_BRANCH_FAILURE: Final = "branch_failure_route"
_ONREPLY: Final = "onreply_route"
_EVENT: Final = "event_route"

_MARK: Final = "_uacproxy_routes"


def request_route(handler: Handler) -> Handler:
    """Mark the handler of every request that is not already routed by its dialog."""
    return _marked(handler, _REQUEST, "")


def dialog_route(handler: Handler) -> Handler:
    """Mark the handler of requests that follow our Record-Route inside a dialog.

    Without one they are relayed along their route set, identities restored. It may look,
    edit and refuse; returning None relays.
    """
    return _marked(handler, _DIALOG, "")


def branch_route(name: str) -> Callable[[Handler], Handler]:
    """Mark a handler for single branches, armed by ``ctx.on_branch(name)``."""
    return _marking(_BRANCH, name)


def failure_route(name: str) -> Callable[[Handler], Handler]:
    """Mark a handler for a request that failed everywhere, armed by ``ctx.on_failure(name)``."""
    return _marking(_FAILURE, name)


def branch_failure_route(name: str) -> Callable[[Handler], Handler]:
    """Mark a handler for one branch that failed, armed by ``ctx.on_branch_failure(name)``."""
    return _marking(_BRANCH_FAILURE, name)


def onreply_route(name: str) -> Callable[[Handler], Handler]:
    """Mark a handler for responses, armed by ``ctx.on_reply(name)``."""
    return _marking(_ONREPLY, name)


def event_route(name: str) -> Callable[[Handler], Handler]:
    """Mark a handler for an event, such as ``uac:registration``."""
    return _marking(_EVENT, name)


def _marking(kind: str, name: object) -> Callable[[Handler], Handler]:
    if not isinstance(name, str) or not name:
        raise TypeError(f'{kind} needs a name: @{kind}("NAME")')
    known: str = name
    return lambda handler: _marked(handler, kind, known)


def _marked(handler: Any, kind: str, name: str) -> Handler:
    if not callable(handler):
        raise TypeError(f"@{kind} stands before a function" + ("" if name else ", without a name"))
    marks: list[tuple[str, str]] = getattr(handler, _MARK, [])
    setattr(handler, _MARK, [*marks, (kind, name)])
    marked: Handler = handler
    _marked_while_loading.append(marked)
    return marked


_marked_while_loading: list[Handler] = []
"""Every handler marked since the last script began to load, also those whose name was reused."""


@final
class Script:
    """The handlers of one loaded script, or those that ini rules were compiled to."""

    __slots__ = ("dialog", "file", "functions", "request", "routes")

    def __init__(self, file: str) -> None:
        self.file = file
        self.request: Handler | None = None
        self.dialog: Handler | None = None
        self.routes: dict[tuple[str, str], Handler] = {}
        self.functions: dict[str, Callable[..., Any]] = {}  # of the script, by name

    def branch(self, name: str) -> Handler:
        """Return the branch route ``name``."""
        return self._route(_BRANCH, name)

    def failure(self, name: str) -> Handler:
        """Return the failure route ``name``."""
        return self._route(_FAILURE, name)

    def branch_failure(self, name: str) -> Handler:
        """Return the branch failure route ``name``."""
        return self._route(_BRANCH_FAILURE, name)

    def onreply(self, name: str) -> Handler:
        """Return the onreply route ``name``."""
        return self._route(_ONREPLY, name)

    def event(self, name: str) -> Handler | None:
        """Return the handler of an event, None when nobody listens."""
        return self.routes.get((_EVENT, name))

    def call_for_event(self, event: str, function: str) -> bool:
        """Have a function called for an event, as ``function(ctx, event)``, whatever was marked.

        False where the script has no such function.
        """
        called = self.functions.get(function)
        if called is None:
            return False

        @wraps(called)
        def told(ctx: Any) -> Any:
            return called(ctx, event)

        self.routes[(_EVENT, event)] = told
        return True

    def _route(self, kind: str, name: str) -> Handler:
        handler = self.routes.get((kind, name))
        if handler is None:
            raise ScriptError(f"there is no {kind}({name!r})", file=self.file, line=1)
        return handler

    def add(self, kind: str, name: str, handler: Handler) -> None:
        """Add one handler.

        Raises:
            ScriptError: there is one of that kind and name already.
        """
        if kind == _REQUEST or kind == _DIALOG:
            known = self.request if kind == _REQUEST else self.dialog
        else:
            known = self.routes.get((kind, name))
        if known is not None and known is not handler:
            label = f"{kind}({name!r})" if name else kind
            raise ScriptError(f"a second {label}", file=self.file, line=_line_of(handler))
        if kind == _REQUEST:
            self.request = handler
        elif kind == _DIALOG:
            self.dialog = handler
        else:
            self.routes[(kind, name)] = handler


def load_script(path: str, source: str) -> Script:
    """Run a script's text and gather its handlers.

    Args:
        path: for messages and tracebacks.
        source: the text of the file.

    Raises:
        ScriptError: it does not compile, fails while it is run, marks a handler twice or
            has no request_route.
    """
    try:
        code: CodeType = compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ScriptError(error.msg or "syntax error", file=path, line=error.lineno or 1) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ScriptError(str(error), file=path, line=1) from error
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {"__name__": "uacproxy_route_script", "__file__": path}
    _marked_while_loading.clear()
    try:
        exec(code, namespace)
    except (Exception, SystemExit) as error:  # whatever an operator's file may raise
        raise script_error(error, path) from error
    script = Script(path)
    here = [value for value in _marked_while_loading if _file_of(value) == path]
    for value in [*here, *namespace.values()]:  # the latter may come from other files
        if callable(value):
            for kind, name in getattr(value, _MARK, ()):
                script.add(kind, name, value)
    script.functions = {name: each for name, each in namespace.items() if inspect.isroutine(each)}
    if script.request is None:
        raise ScriptError("no function is marked @request_route", file=path, line=1)
    return script


def script_error(error: BaseException, path: str) -> ScriptError:
    """Turn what a handler raised into a ``ScriptError`` that names the script's own line."""
    if isinstance(error, ScriptError) and error.file:
        return error
    line = 0
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == path:
            line = frame.lineno or 0
    why = error.why if isinstance(error, UacproxyError) else f"{type(error).__name__}: {error}"
    return ScriptError(why, file=path, line=line)


def _line_of(handler: Handler) -> int:
    code = getattr(inspect.unwrap(handler), "__code__", None)
    return code.co_firstlineno if code is not None else 1


def _file_of(handler: Handler) -> str:
    code = getattr(inspect.unwrap(handler), "__code__", None)
    return code.co_filename if code is not None else ""
