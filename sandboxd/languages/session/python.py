"""Runs one piece of code after another in one `__main__`, as a notebook does.

What to run comes on stdin, which is moved to where no program finds it by chance. That a
run begins, and can be interrupted from here on, and that it has ended are lines of JSON on
the descriptor for notes.
"""

import sys

sys.path.remove("/sandbox")  # until all is imported here: files of a program are no modules of this

import ast
import base64
import builtins
import contextlib
import fcntl
import inspect
import io
import json
import linecache
import os
import resource
import signal
import traceback
import types

STDIN, NOTE, PRIVATE = 0, 4, 10
PROGRAM = "/sandbox/main.py"
CELL = "<cell {}>"
VALUE_MOST = 100_000  # characters
FUTURES = 0x1FE0000  # the flags of all `from __future__ import`


class Session:
    def __init__(self):
        commands = fcntl.fcntl(STDIN, fcntl.F_DUPFD_CLOEXEC, PRIVATE)
        self.commands = os.fdopen(commands, "rb")
        self.notes = fcntl.fcntl(NOTE, fcntl.F_DUPFD_CLOEXEC, PRIVATE)
        os.close(NOTE)
        self.process = os.getpid()
        self.flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.on_interrupt = signal.default_int_handler
        self.loop = None
        self.main = types.ModuleType("__main__")
        self.main.__builtins__ = builtins
        sys.modules["__main__"] = self.main
        sys.stdout.reconfigure(line_buffering=True)
        os.environ.setdefault("MPLBACKEND", "agg")

    def serve(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.end(0, 0, {})
        while header := self.commands.readline():
            command = json.loads(self.commands.read(int(header)))
            shown = {}
            status = self.guard(command, shown)
            for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
                # The program may have closed or replaced it.
                with contextlib.suppress(AttributeError, OSError, ValueError):
                    stream.flush()
            if os.getpid() != self.process:
                os._exit(status)  # a fork of the program's came this far
            self.end(command["run"], status, shown)

    def guard(self, command, shown):
        """Runs it; returns the status that a program of its own would exit with."""
        try:
            try:
                signal.signal(signal.SIGINT, self.on_interrupt)
                self.note({"run": command["run"]})
                self.run(command, shown)
            finally:
                self.on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        except SystemExit as leaving:
            return exit_status(leaving.code)
        except BaseException as error:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            report(error)
            return 130 if isinstance(error, KeyboardInterrupt) else 1
        return 0

    def run(self, command, shown):
        name, source = CELL.format(command["run"]), command["code"]
        os.environ.update(command["env"])
        sys.argv = [PROGRAM, *command["args"]]
        set_stdin(base64.b64decode(command["stdin"]))
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = self.compile(source, name, "exec", ast.PyCF_ONLY_AST)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and source.rstrip()[-1:] != ";":
            last = ast.Expression(tree.body.pop().value)
        body = self.compile(tree, name, "exec")
        self.flags |= body.co_flags & FUTURES
        self.evaluate(body)
        if last is not None:
            value = self.evaluate(self.compile(last, name, "eval"))
            if value is not None:
                builtins._ = value
                shown["value"] = cut(repr(value))
                shown["files"] = rich_forms(value, command["room"])
        shown["files"] = shown.get("files", []) + figures(command["room"])

    def compile(self, source, name, mode, flags=0):
        return compile(source, name, mode, self.flags | flags, dont_inherit=True)

    def evaluate(self, code):
        result = eval(code, self.main.__dict__)  # noqa: S307 - that is what it is for
        return self.complete(result) if code.co_flags & inspect.CO_COROUTINE else result

    def complete(self, coroutine):
        import asyncio

        if self.loop is None or self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        task = self.loop.create_task(coroutine)
        try:
            return self.loop.run_until_complete(task)
        except KeyboardInterrupt:
            task.cancel()
            self.loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            raise

    def end(self, run, status, shown):
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        memory = max(own.ru_maxrss, children.ru_maxrss) * 1024
        self.note({"run": run, "exit_code": status, "cpu": cpu, "memory": memory, **shown})

    def note(self, told):
        line = memoryview(json.dumps(told).encode() + b"\n")
        while line:
            line = line[os.write(self.notes, line) :]


def set_stdin(data):
    if data:
        file = os.memfd_create("stdin")
        with open(file, "wb", closefd=False) as memory:
            memory.write(data)
        os.lseek(file, 0, os.SEEK_SET)
    else:
        file = os.open(os.devnull, os.O_RDONLY)
    os.dup2(file, STDIN)
    if file != STDIN:
        os.close(file)
    sys.stdin = os.fdopen(STDIN, closefd=False)


def exit_status(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def report(error):
    """The traceback as Python would print it, from the program's own first frame on."""
    level = error.__traceback__
    while level is not None and not level.tb_frame.f_code.co_filename.startswith("<cell "):
        level = level.tb_next
    error = error.with_traceback(level)
    try:
        if sys.excepthook is sys.__excepthook__:
            traceback.print_exception(error)
        else:
            sys.excepthook(type(error), error, level)
    except Exception as another:
        print(f"the exception could not be shown: {another!r}", file=sys.__stderr__)


def cut(text):
    text = text.encode(errors="backslashreplace").decode()  # JSON has no half characters
    return text if len(text) <= VALUE_MOST else text[: VALUE_MOST - 1] + "…"


def rich_forms(value, room):
    forms = []
    for method, path in (("_repr_html_", "value.html"), ("_repr_png_", "value.png")):
        form = None
        with contextlib.suppress(Exception):  # it has none, or none now
            form = getattr(type(value), method)(value)
        data = form[0] if isinstance(form, tuple) else form
        if isinstance(data, str):
            data = data.encode()
        if isinstance(data, bytes):
            forms.append(shown_file(path, data, room))
    return forms


def figures(room):
    """Open figures of matplotlib, which are then closed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    files = []
    for number in pyplot.get_fignums() if pyplot else ():
        image = io.BytesIO()
        pyplot.figure(number).savefig(image, format="png")
        pyplot.close(number)
        files.append(shown_file(f"figure-{number}.png", image.getvalue(), room))
    return files


def shown_file(path, data, room):
    fits = len(data) <= room
    encoded = base64.b64encode(data).decode() if fits else None
    return {"path": path, "size": len(data), "data": encoded}


if __name__ == "__main__":
    sys.path.insert(0, "/sandbox")
    Session().serve()
