"""Runs one piece of code after another in one `__main__`, as a notebook does.

What to run comes on stdin, which is moved to where no program finds it by chance. That a
run begins, and can be interrupted from here on, and that it has ended are lines of JSON on
the descriptor for notes.
"""

import ast
import builtins
import contextvars
import fcntl
import functools
import json
import linecache
import os
import resource
import signal
import sys
import types

from runner import exit_status

from . import errors, output, show

STDIN, NOTE, PRIVATE = 0, 4, 10
PROGRAM = "/sandbox/main.py"
VALUE_MOST = 100_000  # characters
FUTURES = 0x1FE0000  # the flags of all `from __future__ import`
COROUTINE = 0x80
INTERRUPTED = 130
BEGINS_TASKS = {"create_task", "ensure_future", "get_running_loop"}
BRINGS_A_LOOP = {"run", "run_until_complete", "run_forever"}


class Session:
    def __init__(self):
        commands = fcntl.fcntl(STDIN, fcntl.F_DUPFD_CLOEXEC, PRIVATE)
        self.commands = os.fdopen(commands, "rb")
        self.notes = fcntl.fcntl(NOTE, fcntl.F_DUPFD_CLOEXEC, PRIVATE)
        os.close(NOTE)
        self.process = os.getpid()
        self.flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.on_interrupt = signal.default_int_handler
        self.context = contextvars.copy_context()
        self.loop = None
        self.shown = show.Shown()
        self.value = None
        self.main = types.ModuleType("__main__")
        self.main.__builtins__ = builtins
        self.main.__file__ = PROGRAM
        sys.modules["__main__"] = self.main
        if show.PYPLOT in sys.modules:
            self.take_pyplot(sys.modules[show.PYPLOT])
        else:
            sys.meta_path.insert(0, show.WhenImported(show.PYPLOT, self.take_pyplot))
        builtins.display = self.shown.display
        output.remember_starters()
        os.environ.setdefault("MPLBACKEND", "agg")

    def take_pyplot(self, pyplot):
        @functools.wraps(pyplot.show)  # pyplot itself looks at its attributes
        def shows(*_, **__):
            self.shown.show()

        pyplot.show = shows

    def serve(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.end(0, 0)
        while header := self.commands.readline():
            command = json.loads(self.commands.read(int(header)))
            output.open_streams(command["streams"])
            output.begin(command["run"], self.context, tasks=self.loop is not None)
            self.value = None
            self.shown.begin(command["room"])
            status = self.perform(command)
            self.context.run(output.flush)
            output.end(self.context)
            if os.getpid() != self.process:
                os._exit(status)  # a fork of the program's came this far
            self.end(command["run"], status)

    def perform(self, command):
        """Returns the status that a program of its own would exit with."""
        status = self.guard(self.run, command)
        while self.shown.waiting() and status != INTERRUPTED:
            status = self.guard(self.shown.show) or status
        self.shown.close()
        return status

    def guard(self, work, *arguments):
        """What a run can be interrupted at, and can fail in."""
        try:
            try:
                signal.signal(signal.SIGINT, self.on_interrupt)
                work(*arguments)
            finally:
                self.on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        except SystemExit as leaving:
            return self.context.run(exit_status, leaving.code)
        except BaseException as error:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.context.run(errors.report, error)
            return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
        return 0

    def run(self, command):
        self.note({"run": command["run"]})
        name, source = errors.CELL.format(command["run"]), command["code"]
        os.environ.update(command["env"])
        sys.argv = [PROGRAM, *command["args"]]
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree, magic = self.parse(source, name)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and source.rstrip()[-1:] != ";":
            last = ast.Expression(tree.body.pop().value)
        in_loop = begins_tasks(tree, last)
        body = self.compile(tree, name, "exec")
        self.flags |= body.co_flags & FUTURES
        codes = [body] if last is None else [body, self.compile(last, name, "eval")]
        since = self.notebook().clock() if magic else None
        value = self.evaluate(codes, in_loop=in_loop)
        if magic:
            self.context.run(self.notebook().timed, since, None)
        if value is not None:
            builtins._ = value
            self.value = self.context.run(lambda: cut(repr(value)))
            self.context.run(self.shown.add_forms, "value", value)

    def parse(self, source, name):
        """Also what notebooks write that is not Python; see idioms.translate."""
        try:
            return self.compile(source, name, "exec", ast.PyCF_ONLY_AST), None
        except SyntaxError:
            from . import idioms

            translated, magic = idioms.translate(source)
            if translated == source:
                raise
        self.notebook()
        return self.compile(translated, name, "exec", ast.PyCF_ONLY_AST), magic

    def notebook(self):
        """What the idioms call, made when one is there first."""
        from . import idioms, magics

        if not hasattr(builtins, idioms.NAME):
            made = magics.Notebook(self.main.__dict__, output.flush)
            setattr(builtins, idioms.NAME, made)
        return getattr(builtins, idioms.NAME)

    def compile(self, source, name, mode, flags=0):
        return compile(source, name, mode, self.flags | flags, dont_inherit=True)

    # --- the event loop ---

    def evaluate(self, codes, *, in_loop):
        """The value of the last. One event loop runs all the while if any of them awaits."""
        scope = self.main.__dict__
        if in_loop or any(code.co_flags & COROUTINE for code in codes):
            return self.complete(codes, scope)
        value = None
        for code in codes:
            value = self.context.run(eval, code, scope)
        return value

    def complete(self, codes, scope):
        import asyncio

        if self.loop is None or self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        task = self.loop.create_task(await_all(codes, scope), context=self.context)
        try:
            return self.loop.run_until_complete(task)
        except KeyboardInterrupt:
            task.cancel()
            self.loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            raise
        finally:
            if task.done() and not task.cancelled():
                task.exception()  # or asyncio tells of one that nobody asked for

    # --- to the daemon ---

    def end(self, run, status):
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        memory = max(own.ru_maxrss, children.ru_maxrss) * 1024
        shown = {"value": self.value, "files": self.shown.files}
        self.note({"run": run, "exit_code": status, "cpu": cpu, "memory": memory, **shown})

    def note(self, told):
        line = memoryview(json.dumps(told).encode() + b"\n")
        while line:
            line = line[os.write(self.notes, line) :]


async def await_all(codes, scope):
    value = None
    for code in codes:
        value = eval(code, scope)  # noqa: S307 - that is what it is for
        if code.co_flags & COROUTINE:
            value = await value
    return value


def begins_tasks(tree, last):
    """Whether a cell needs a running loop though it awaits nothing itself, as where it
    leaves a task for the next to await; one that brings a loop of its own must have none."""
    called, waiting = set(), [*tree.body, *([] if last is None else [last.body])]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue  # who knows when that is called
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            called.add(getattr(node.func, "attr", None) or node.func.id)
        waiting += ast.iter_child_nodes(node)
    return bool(called & BEGINS_TASKS) and not called & BRINGS_A_LOOP


def cut(text):
    text = text.encode(errors="backslashreplace").decode()  # JSON has no half characters
    return text if len(text) <= VALUE_MOST else text[: VALUE_MOST - 1] + "…"
