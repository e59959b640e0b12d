"""`sandbox batch`: a program a line in, a result a line out, many at once.

A line is an object with `language`, with `code` or `file`, and with whatever else
the method `run` takes: `args`, `env`, `stdin`, `limits`, `files`, `outputs`, …; an
`id` comes back with the result. Each line that is not blank is answered, in order:

    {"line": 1, "id": "a", "result": {"status": "ok", "stdout": "42\\n", …}}
    {"line": 2, "error": {"kind": "bad_line", "message": "…"}}
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import msgspec
from msgspec import Struct

from sandboxd_client.batch import CONCURRENCY, Outcome, Program, aimap_programs
from sandboxd_client.cli._terminal import write
from sandboxd_client.cli.command import Command
from sandboxd_client.cli.history import _count
from sandboxd_client.errors import ConnectionLostError, NotRunningError, RemoteError, SandboxError
from sandboxd_client.protocol import RunParams, RunResult, Status, to_blob

_CHUNK = 64 * 1024
_STDIN = "-"
_BAR = 30
"""Columns of the bar itself."""
_REDRAW = 0.1
"""Seconds between one drawing of it and the next."""

LineId = int | str | None


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        help="programs, a JSON object a line, or - for stdin; "
        "a `file` in a line is beside FILE, or where you are",
    )
    parser.add_argument(
        "-j",
        dest="concurrency",
        type=_count,
        default=CONCURRENCY,
        metavar="N",
        help=f"programs at once ({CONCURRENCY})",
    )
    parser.add_argument("--output", metavar="FILE", help="where results go instead of stdout")
    parser.add_argument("--json", action="store_true", help="print the count at the end as JSON")


def batch(arguments: argparse.Namespace) -> int:
    """Exits with 0 when all are ok, 1 when some failed, 2 when some lines are no program.

    The count at the end goes to stderr, or to stdout where the results do not.
    """
    import asyncio  # noqa: PLC0415 - slow, and needed by this command alone

    with contextlib.ExitStack() as stack:
        source = _open_input(arguments.file, stack)
        results = _open_output(arguments.output, source, stack)
        bar = Bar(sys.stderr, _count_lines(source)) if sys.stderr.isatty() else Bar(None, None)
        folder = Path() if arguments.file == _STDIN else Path(arguments.file).parent
        counted = asyncio.run(_run(arguments, Ends(source, results, folder, bar)))
    text = msgspec.json.encode(counted).decode() if arguments.json else counted.sentence()
    (sys.stdout if arguments.output else sys.stderr).write(text + "\n")
    return counted.exit_code()


class Ends(NamedTuple):
    """What a batch has to do with the world."""

    source: int
    """Descriptor of the programs."""
    results: int
    """And of what became of them."""
    folder: Path
    bar: Bar


async def _run(arguments: argparse.Namespace, ends: Ends) -> Counted:
    import asyncio  # noqa: PLC0415 - see above

    from sandboxd_client.aio import AsyncClient  # noqa: PLC0415 - see above

    bar, counted = ends.bar, Counted()
    taken: deque[tuple[int, LineId]] = deque()
    shared_terminal = os.isatty(ends.results)

    async def programs() -> AsyncIterator[Program | SandboxError]:
        number = 0
        async for text in _lines(ends.source):
            number += 1
            if text.strip():
                line = parse_line(text, ends.folder)
                taken.append((number, line.id))
                yield line.program

    async with AsyncClient(arguments.socket) as client:
        outcomes = aimap_programs(client, programs(), arguments.concurrency, bar.advance)
        async with contextlib.aclosing(outcomes):
            async for outcome in outcomes:
                number, given = taken.popleft()
                counted.add(outcome)
                if isinstance(outcome, BadLineError):
                    bar.hide()
                    sys.stderr.write(f"sandbox: line {number}: {outcome}\n")
                if shared_terminal:
                    bar.hide()
                # In a thread: whoever reads the results may be slow, and must not
                # keep the runs' own answers from being read.
                try:
                    await asyncio.to_thread(write, ends.results, answer(number, given, outcome))
                except OSError as error:
                    raise SandboxError(f"cannot write the results: {error.strerror}") from None
    bar.hide()
    return counted


# --- lines in ---


class BadLineError(SandboxError):
    """A line that is no program."""


class Line(NamedTuple):
    id: LineId
    program: Program | BadLineError


class _Identity(Struct):
    id: LineId = None


_identity = msgspec.json.Decoder(_Identity)
_fields = msgspec.json.Decoder(dict[str, Any])


def parse_line(text: bytes, folder: Path) -> Line:
    """What a line asks for, or what is wrong with it; a `file` is looked for in `folder`."""
    given: LineId = None
    try:
        given = _identity.decode(text).id
        fields = _fields.decode(text)
        fields.pop("id", None)
        fields["code"] = _code(fields, folder)
        return Line(given, Program.of(msgspec.convert(fields, RunParams)))
    except BadLineError as error:
        return Line(given, error)
    except ValueError as error:
        return Line(given, BadLineError(str(error)))


def _code(fields: dict[str, Any], folder: Path) -> Any:
    if "stream" in fields:
        raise BadLineError("`stream` means nothing in a batch")
    if ("code" in fields) == ("file" in fields):
        raise BadLineError("a program is given by either `code` or `file`")
    if "code" in fields:
        return fields["code"]
    name = fields.pop("file")
    if not isinstance(name, str):
        raise BadLineError("`file` is not the name of a file")
    try:
        code = to_blob((folder / name).read_bytes())
    except (OSError, ValueError) as error:
        raise BadLineError(f"cannot read {name}: {error}") from None
    return code if isinstance(code, str) else {"base64": code.base64}


async def _lines(descriptor: int) -> AsyncIterator[bytes]:
    """Lines as they come; waiting for them holds up nothing else."""
    left = bytearray()
    while data := await _read(descriptor):
        *lines, rest = data.split(b"\n")
        for line in lines:
            yield bytes(left) + line
            left.clear()
        left += rest
    if left:
        yield bytes(left)


async def _read(descriptor: int) -> bytes:
    """Some of a file, pipe or terminal, whose flags are left as they are: others have it too."""
    import asyncio  # noqa: PLC0415 - see above

    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    with contextlib.suppress(PermissionError):  # a regular file can always be read
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
    try:
        return os.read(descriptor, _CHUNK)
    except OSError as error:
        raise SandboxError(f"cannot read the programs: {error.strerror}") from None


# --- results out ---


class Refusal(Struct, omit_defaults=True):
    """Why a program was not run."""

    message: str
    kind: str | None = None
    code: int | None = None


class Answer(Struct, omit_defaults=True):
    line: int
    id: LineId = None
    result: RunResult | None = None
    error: Refusal | None = None


_KINDS: dict[type[SandboxError], str] = {
    BadLineError: "bad_line",
    NotRunningError: "not_running",
    ConnectionLostError: "connection_lost",
}
"""For errors that have no kind of the daemon's."""


def _kind(error: SandboxError) -> str | None:
    return error.kind if isinstance(error, RemoteError) else _KINDS.get(type(error))


def answer(line: int, given: LineId, outcome: Outcome) -> bytes:
    """A line of the results."""
    said = Answer(line, given)
    if isinstance(outcome, RunResult):
        said.result = outcome
    else:
        code = outcome.code if isinstance(outcome, RemoteError) else None
        said.error = Refusal(str(outcome), _kind(outcome), code)
    return msgspec.json.encode(said) + b"\n"


def _is_ok(outcome: Outcome) -> bool:
    return isinstance(outcome, RunResult) and outcome.status is Status.OK


class Counted(Struct):
    """What became of the lines so far."""

    programs: int = 0
    ok: int = 0
    failed: int = 0
    bad_lines: int = 0
    by_status: Counter[str] = msgspec.field(default_factory=Counter)
    """Ends of runs, and kinds of errors where there was no run."""

    def add(self, outcome: Outcome) -> None:
        if isinstance(outcome, BadLineError):
            self.bad_lines += 1
            return
        self.programs += 1
        self.ok += _is_ok(outcome)
        self.failed += not _is_ok(outcome)
        ended = outcome.status if isinstance(outcome, RunResult) else _kind(outcome)
        self.by_status[ended or "other"] += 1

    def sentence(self) -> str:
        bad = f", {self.bad_lines} bad lines" if self.bad_lines else ""
        return f"{self.programs} programs: {self.ok} ok, {self.failed} failed{bad}"

    def exit_code(self) -> int:
        if self.bad_lines:
            return 2
        return 1 if self.failed else 0


# --- the terminal ---


def render(done: int, total: int | None, failed: int, width: int) -> str:
    """A bar of one line, as wide as there is room for."""
    text = f"{done} done" if total is None else f"{done}/{total}"
    if failed:
        text += f", {failed} failed"
    if total:
        full = min(done, total) * _BAR // total
        text = f"[{'#' * full}{'.' * (_BAR - full)}] {text}"
    return text[:width]


class Bar:
    """A progress bar on a terminal; without one it does nothing."""

    def __init__(
        self,
        stream: TextIO | None,
        total: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._total = total
        self._clock = clock
        self._failed = 0
        self._drawn: float | None = None

    def advance(self, done: int, _: int | None, outcome: Outcome) -> None:
        """Takes notice of one more end."""
        self._failed += not _is_ok(outcome)
        now = self._clock()
        if self._stream is None or (self._drawn is not None and now - self._drawn < _REDRAW):
            return
        self._drawn = now
        text = render(done, self._total, self._failed, _columns(self._stream) - 1)
        self._stream.write(f"\r{text}\x1b[K")
        self._stream.flush()

    def hide(self) -> None:
        """Makes room for something else."""
        if self._stream is not None and self._drawn is not None:
            self._drawn = None
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


# --- files ---


def _open_input(name: str, stack: contextlib.ExitStack) -> int:
    try:
        if name == _STDIN:
            os.fstat(0)  # it may be closed
            return 0
        return stack.enter_context(Path(name).open("rb", buffering=0)).fileno()
    except OSError as error:
        raise SandboxError(f"cannot read {name}: {error.strerror}") from None


def _open_output(name: str | None, source: int, stack: contextlib.ExitStack) -> int:
    if name is None:
        return 1
    try:
        if Path(name).is_file() and os.path.samestat(Path(name).stat(), os.fstat(source)):
            raise SandboxError(f"{name} holds the programs: results need a file of their own")
        return stack.enter_context(Path(name).open("wb", buffering=0)).fileno()
    except OSError as error:
        raise SandboxError(f"cannot write {name}: {error.strerror}") from None


def _count_lines(descriptor: int) -> int | None:
    """How many lines there are to answer; None for what cannot be read twice."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return None
    start = os.lseek(descriptor, 0, os.SEEK_CUR)
    with open(descriptor, "rb", closefd=False) as file:
        count = sum(1 for line in file if line.strip())
    os.lseek(descriptor, start, os.SEEK_SET)
    return count


COMMANDS = (Command("batch", _add_arguments, batch, "sandbox batch [options] FILE.jsonl | -"),)
