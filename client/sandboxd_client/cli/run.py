"""`sandbox run`: a program's output and exit code, as if it ran here."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sandboxd_client._wire import Event, Output
from sandboxd_client.cli.command import Command
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import Limits, RunResult, Status
from sandboxd_client.sync import Client, RunStream

_CHUNK = 64 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("language", metavar="LANGUAGE")
    parser.add_argument("-c", dest="code", metavar="CODE", help="the program itself")
    parser.add_argument("file", nargs="?", metavar="FILE", help="its file, or - for stdin")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-t", "--timeout", type=float, metavar="SECONDS")
    parser.add_argument("--output-limit", metavar="SIZE", help="a stream; such as 64MiB")
    parser.add_argument("--fresh", action="store_true", help="a container of its own, used once")
    parser.add_argument("--json", action="store_true", help="print the result as JSON instead")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell at the end how it went")


def run(arguments: argparse.Namespace) -> int:
    code = _program(arguments)
    stdin_is_ours = bool(arguments.code or arguments.file not in (None, "-")) and _has_stdin()
    client = Client(arguments.socket)
    stream = client.stream(
        arguments.language,
        code,
        args=arguments.args,
        env=dict(pair.partition("=")[::2] for pair in arguments.env),
        stdin=() if stdin_is_ours else None,
        limits=Limits(timeout=arguments.timeout, output=arguments.output_limit),
        reuse="never" if arguments.fresh else "owner",
        capture=arguments.json,
    )
    with stream:
        for event in _events(stream, feed=stdin_is_ours):
            if isinstance(event, Output) and not arguments.json:
                _write(1 if event.stream == "stdout" else 2, event.data)
    result = stream.result
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        _explain_end(result, verbose=arguments.verbose)
    return result.exit_code


def _program(arguments: argparse.Namespace) -> str:
    """The code. Raises SandboxError when it cannot be read."""
    if arguments.code is not None and arguments.file is not None:
        raise SandboxError("the program is given by -c or by a file, not by both")
    if arguments.code is not None:
        code: str = arguments.code
        return code
    try:
        if arguments.file in (None, "-"):
            return sys.stdin.read()
        return Path(arguments.file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SandboxError(f"cannot read {arguments.file or 'stdin'}: {error}") from None


def _has_stdin() -> bool:
    """Whether there is something to pass on: a terminal is not read for the program."""
    with contextlib.suppress(OSError, ValueError):
        return not os.isatty(0)
    return False


def _events(stream: RunStream, *, feed: bool) -> Iterator[Event]:
    """Events as they come, while our own stdin goes to the program as it takes it."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    open_stdin, polled = feed, False
    while not stream.ended:
        wanted = open_stdin and stream.stdin_room >= _CHUNK
        if wanted != polled:
            if wanted:
                poll.register(0, select.POLLIN)
            else:
                poll.unregister(0)
            polled = wanted
        for descriptor, _ in poll.poll():
            if descriptor == 0:
                open_stdin = _feed(stream)
            else:
                yield from stream.take()


def _feed(stream: RunStream) -> bool:
    """Passes on what our stdin has; False at its end."""
    data = os.read(0, _CHUNK)
    if data:
        stream.send_stdin(data)
    else:
        stream.end_stdin()
    return bool(data)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _explain_end(result: RunResult, *, verbose: bool) -> None:
    """What the program itself cannot have said."""
    words = {
        Status.TIMEOUT: "killed: its time was up",
        Status.OOM: "killed: its memory was full",
        Status.OUTPUT_LIMIT: "killed: it printed far too much",
        Status.KILLED: "killed",
    }
    if result.status in words:
        sys.stderr.write(f"sandbox: {words[result.status]} after {result.duration:.2f} s\n")
    for name in ("stdout", "stderr"):
        if getattr(result.truncated, name):
            sys.stderr.write(f"sandbox: {name} was cut at its limit; see --output-limit\n")
    if verbose:
        sys.stderr.write(
            f"sandbox: {result.status}, exit {result.exit_code}, ran {result.duration:.3f} s, "
            f"cpu {result.usage.cpu:.3f} s, memory {result.usage.memory_peak / 2**20:.0f} MiB, "
            f"{'warm' if result.warm else 'cold'}, run {result.run}\n"
        )


COMMANDS = (
    Command(
        "run",
        "run a program, and exit with its code (124 at a timeout)",
        add_arguments,
        run,
        usage="sandbox run [options] LANGUAGE [-c CODE | FILE | -] [-- ARG ...]",
    ),
)
