"""Forks an interpreter for each program, which runs it as `__main__` and leaves as
Python itself would.

This one is started once, imports what its arguments name, and never has a byte of
a program. A fork waits in namespaces of its own until there is a program for it.
"""

import _frozen_importlib
import _frozen_importlib_external
import _signal  # signal itself has an enum of them, which each fork would copy
import atexit
import gc
import io
import os
import sys
import time

MESSAGE, NOTE = 3, 4  # in a fork
FOLDER = "/sandbox"
PROGRAM = "/sandbox/main.py"
SESSION = "SANDBOXD_SESSION"  # set for a driver of sessions, which goes on with its notes
AGAIN = "SANDBOXD_AGAIN"  # set where Python itself is to find the environment at its start
INTERRUPTED = -_signal.SIGINT

forgotten = []  # freed in a fork, every page that they lie on would be copied


def fork():
    """Returns in each fork once it has given up everything; this process stays here."""
    loader = _frozen_importlib_external.ExtensionFileLoader("enter", "/sandboxd/enter.so")
    door = loader.create_module(_frozen_importlib.ModuleSpec("enter", loader, origin=loader.path))
    sys.modules.pop("enter", None)

    def must(result):
        if result < 0:
            raise OSError(-result, os.strerror(-result), door.step())

    must(door.take_filter())
    forgotten.append(locals())
    rehearse()
    gc.collect()
    gc.freeze()  # what is there now is not looked through at a program's end
    while True:
        must(door.next())
        if (child := os.fork()) == 0:
            return must(door.enter())
        must(door.wait(child))


def receive():
    """Blocks until the guest closes the message, which is the signal to go."""
    os.write(NOTE, b"\n")
    with open(MESSAGE, "rb") as message:
        understand(message.read())
    if AGAIN in os.environ:
        os.execv(sys.executable, [*COMMAND, *sys.argv[1:]])  # noqa: S606 - itself


def understand(message):
    """Takes the program's arguments and environment."""
    count, *fields = message.split(b"\0")[:-1]
    arguments, pairs = fields[: int(count)], fields[int(count) :]
    os.environb.update(pair.split(b"=", 1) for pair in pairs)
    if "TZ" in os.environ:
        time.tzset()
    sys.argv = [PROGRAM, *map(os.fsdecode, arguments)]


class Input(io.FileIO):
    """Stdin. Before a program waits for it, what it has printed is seen, a prompt too."""

    def readinto(self, buffer):
        show()
        return super().readinto(buffer)

    def readall(self):
        show()
        return super().readall()


def show():
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - contextlib would be one module more in every program
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # it is closed or replaced, which is the program's affair


def open_streams():
    """A line is written when it is printed, as at a terminal, though stdout is a pipe."""
    if sys.stdin is not None:
        sys.stdin = sys.__stdin__ = reopened(sys.stdin, io.BufferedReader(Input(0, closefd=False)))
    if sys.stdout is not None and not sys.stdout.write_through:
        raw = io.FileIO(1, "w", closefd=False)
        sys.stdout = sys.__stdout__ = reopened(sys.stdout, io.BufferedWriter(raw))
    if sys.stderr is not None and not sys.stderr.write_through:
        raw = io.FileIO(2, "w", closefd=False)
        sys.stderr = sys.__stderr__ = reopened(sys.stderr, io.BufferedWriter(raw))


def reopened(old, buffer):
    buffer.raw.name = old.name
    new = io.TextIOWrapper(buffer, old.encoding, old.errors, "\n", line_buffering=buffer.writable())
    new.mode = old.mode
    return new


def open_streams_ahead():
    """As for a program, whose are pipes: what a stream is on is asked when it is made."""
    kept = [os.dup(number) for number in range(3)]
    reader, writer = os.pipe()
    for number, end in enumerate((reader, writer, writer)):
        os.dup2(end, number)
    open_streams()
    for number, own in enumerate(kept):
        os.dup2(own, number)
    for number in (*kept, reader, writer):
        os.close(number)


def execute():
    """Runs the program in a fresh `__main__`; returns its exit status."""
    main = type(sys)("__main__")
    main.__dict__.update(
        __loader__=_frozen_importlib_external.SourceFileLoader("__main__", PROGRAM),
        __annotations__={},
        __builtins__=__builtins__,
        __file__=PROGRAM,
        __cached__=None,
    )
    sys.modules["__main__"] = main
    try:
        with open(PROGRAM, "rb") as file:
            source = file.read()
        try:
            source.decode()
            code = compile(source, PROGRAM, "exec")
        except (SyntaxError, ValueError) as error:
            if isinstance(error, SyntaxError) and error.lineno:
                raise
            leave_to_python()
        exec(code, main.__dict__)
    except SystemExit as leaving:
        return exit_status(leaving.code)
    except BaseException as error:
        # The first frame is the one above, or for a syntax error all of them.
        traceback = error.__traceback__.tb_next
        if isinstance(error, SyntaxError) and error.filename == PROGRAM:
            traceback = None
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def leave_to_python():
    """Of bytes that are no plain text `compile` says other things than Python of a file."""
    os.execv(sys.executable, [*COMMAND[:-1], "-u", *sys.argv])  # noqa: S606 - itself


def exit_status(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if abs(code) < 1 << 63 else 0xFF
    print(code, file=sys.stderr)
    return 1


def leave(status):
    """What the interpreter does at its end, without taking itself apart first.

    That last part costs more than most programs. The program's own modules are let go
    before, so that open files are flushed, and finalizers run and find their globals. The
    collection ahead of that is the interpreter's too: it brings files in the order in
    which they can be closed without loss.
    """
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
        flush()
        gc.collect()
        imported = [*sys.modules][KNOWN:] if len(sys.modules) > KNOWN else []
        for name in ["__main__", *imported]:
            if is_of_program(sys.modules[name]):
                del sys.modules[name]
        gc.collect()
        flush()
    except BrokenPipeError:
        status = status or 120
    finally:
        if status == INTERRUPTED:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
            os.kill(os.getpid(), _signal.SIGINT)
        os._exit(status)


def is_of_program(module):
    return str(getattr(module, "__file__", None)).startswith(FOLDER + "/")


def flush():
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()


def prepare(names):
    """Imports what a program is to find imported."""
    for name in names:
        __import__(name)
    fork()
    if "numpy" in sys.modules:
        # Python's own generators seed themselves anew in a fork; this one does not.
        sys.modules["numpy"].random.seed()


def rehearse():
    """Does what every run does, to no effect. Once before all forks, so that what is made
    at its first use is there; and in each, since there the first write to a page copies
    it, and whoever waits for a run should not wait for that."""
    with open(__file__, "rb") as file:
        file.read()
    scope = {"__builtins__": __builtins__, "__name__": "__main__"}
    exec(compile("def f(x):\n    return [str(x)]\nf(1)\n", PROGRAM, "exec"), scope)
    understand(b"0\0")
    sys.stdout.write("")
    sys.stdout.flush()
    gc.collect()


COMMAND = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]  # without what follows it
beside = sys.path[:1] == [os.path.dirname(__file__)]  # unless PYTHONSAFEPATH says otherwise
del sys.path[:beside]
if os.environ.pop(AGAIN, None) is None:
    open_streams_ahead()
    prepare(sys.argv[1:])
    rehearse()
    receive()
else:
    open_streams()
sys.path[:0] = [FOLDER] * beside
KNOWN = len(sys.modules)  # what comes later is behind these
if os.environ.pop(SESSION, None) is None:
    os.close(NOTE)
else:
    sys.modules["runner"] = sys.modules[__name__]  # for the driver alone, which removes it
sys.argv[0] = PROGRAM
sys.orig_argv = [COMMAND[0], *sys.argv]
leave(execute())
