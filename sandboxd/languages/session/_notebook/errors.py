"""Exceptions as Python would print them, with no frame of the driver's."""

import sys
import traceback
import types

CELL = "<cell {}>"
OURS = ("/sandboxd/session/", "/sandboxd/python.py", "/sandbox/main.py")


def report(error):
    _prune_chain(error)
    level = error.__traceback__
    while level is not None and not _filename(level).startswith("<cell "):
        level = level.tb_next
    error = error.with_traceback(level)
    try:
        if sys.excepthook is sys.__excepthook__:
            traceback.print_exception(error)
        else:
            sys.excepthook(type(error), error, level)
    except Exception as another:
        print(f"the exception could not be shown: {another!r}", file=sys.__stderr__)


def _prune_chain(error):
    """Of the exception and of those that it came from."""
    seen, waiting = set(), [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        error.__traceback__ = _pruned(error.__traceback__)
        waiting += [error.__cause__, error.__context__]


def _pruned(level):
    levels = []
    while level is not None:
        if not _filename(level).startswith(OURS):
            levels.append(level)
        level = level.tb_next
    rest = None
    for each in reversed(levels):
        rest = types.TracebackType(rest, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return rest


def _filename(level):
    return level.tb_frame.f_code.co_filename
