"""What a run prints is its own: nothing of it shows in the output of a later one.

Each run's descriptors are new, so a process that outlives its run prints into the old
ones. Threads and tasks share their descriptors with whatever runs now: what they print
through `sys.stdout` and `sys.stderr` is dropped once the run that started them has ended.
A pool's threads work for whoever gives them work, so they belong to no run.
"""

import contextlib
import contextvars
import errno
import io
import os
import sys
import threading

POOLS = ("concurrent.futures.thread", "multiprocessing.pool")

STDIN, STDOUT, STDERR = 0, 1, 2
MADE_AS = [
    (each.name, each.mode, each.encoding, each.errors, each.write_through)
    for each in (sys.__stdin__, sys.__stdout__, sys.__stderr__)
]

_under_way = [None]
"""The run that is, or None between two."""
_run = contextvars.ContextVar("run")  # a task has what was set where it was made
_STARTED_BY = "_started_by_run"


def begin(run, context, *, tasks):
    """What is printed in the context is this run's from here on; `tasks`: an earlier one
    may have left some."""
    _under_way[0] = run
    context.run(_run.set, run)
    _ask(always=tasks or any(hasattr(each, _STARTED_BY) for each in threading.enumerate()))


def end(context):
    _under_way[0] = None
    context.run(_run.set, None)
    _ask(always=True)


def heard():
    """Whether who asks belongs to the run under way, or to none."""
    run = _run.get(None) or getattr(_thread(), _STARTED_BY, None)
    return run is None or run == _under_way[0]


def _thread():
    return threading._active.get(threading.get_ident())


def remember_starters():
    """From here on a thread knows the run that it was started by."""
    name = "_start_joinable_thread"
    if not hasattr(threading, name):
        name = "_start_new_thread"
    start = getattr(threading, name)

    def started(bootstrap, *arguments, **options):
        thread = bootstrap.__self__
        if getattr(thread._target, "__module__", None) not in POOLS:
            run = _run.get(None) or getattr(_thread(), _STARTED_BY, None)
            setattr(thread, _STARTED_BY, run)
        return start(bootstrap, *arguments, **options)

    setattr(threading, name, started)


class _Bytes(io.BufferedWriter):
    """As it is where nothing of an earlier run is left."""


class _Text(io.TextIOWrapper):
    """The same."""


class _AskedBytes(_Bytes):
    def write(self, data):
        return super().write(data) if heard() else len(data)

    def flush(self):
        if heard():
            super().flush()


class _AskedText(_Text):
    def write(self, text):
        return super().write(text) if heard() else len(text)

    def flush(self):
        if heard():  # it would take what another has not finished
            super().flush()


def _ask(*, always):
    """To ask each time takes as long as to write a word: it is done where it may matter."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, _Text) and _is_open(stream):
            stream.__class__ = _AskedText if always else _Text
            stream.buffer.__class__ = _AskedBytes if always else _Bytes


class _Input(io.FileIO):
    """A program that waits for stdin has said what it has to say."""

    def readinto(self, buffer):
        flush()
        return super().readinto(buffer)

    def readall(self):
        flush()
        return super().readall()


def flush():
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        # The program may have closed or replaced it.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def open_streams(path):
    """Takes a run's own descriptors; where they are not there, those of the last go on."""
    for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        with contextlib.suppress(OSError):
            file = _open(f"{path}.{number}", flags, number)
            if file == number:  # the last run has closed its own
                os.set_inheritable(number, True)
            else:
                os.dup2(file, number)
                os.close(file)
    buffer = io.BufferedReader(_Input(STDIN, closefd=False))
    sys.stdin = sys.__stdin__ = _reopened(io.TextIOWrapper, STDIN, buffer)
    _renew("stdout", STDOUT)
    _renew("stderr", STDERR)


def _open(path, flags, instead_of):
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    os.close(instead_of)  # the program has used up all that it may have open
    return os.open(path, flags)


def _renew(name, number):
    """The same object for all of a session, since a logger may hold it; unless it is closed."""
    old = getattr(sys, f"__{name}__")
    if isinstance(old, _Text) and _is_open(old):
        return
    new = _reopened(_Text, number, _Bytes(io.FileIO(number, "w", closefd=False)))
    setattr(sys, f"__{name}__", new)
    if getattr(sys, name) is old:
        setattr(sys, name, new)


def _is_open(stream):
    try:
        return not stream.closed
    except ValueError:
        return False  # its buffer was taken out of it


def _reopened(kind, number, buffer):
    """As Python made it, for what its variables in the environment say."""
    buffer.raw.name, mode, encoding, errors, unbuffered = MADE_AS[number]
    lines = buffer.writable()
    new = kind(buffer, encoding, errors, "\n", line_buffering=lines, write_through=unbuffered)
    new.mode = mode
    return new
