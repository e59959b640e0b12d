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
from sandboxd_client.cli.debug import print_report
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import Blob, Limits, RunResult, Status, from_blob, to_blob
from sandboxd_client.sync import Client, RunStream

_CHUNK = 64 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("language", metavar="LANGUAGE")
    parser.add_argument("-c", dest="code", metavar="CODE", help="the program itself")
    parser.add_argument("file", nargs="?", metavar="FILE", help="its file, or - for stdin")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    limits = parser.add_argument_group("limits")
    limits.add_argument("-t", "--timeout", type=float, metavar="SECONDS")
    limits.add_argument("--memory", metavar="SIZE", help="such as 256MiB")
    limits.add_argument("--cpus", type=float, metavar="CORES")
    limits.add_argument("--pids", type=int, metavar="N", help="processes and threads at once")
    limits.add_argument("--tmp", metavar="SIZE", help="all that the program can write")
    limits.add_argument("--output-limit", metavar="SIZE", help="a stream; such as 64MiB")
    files = parser.add_argument_group("files")
    files.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        dest="files",
        metavar="PATH[:NAME]",
        help="lay this file in the work folder",
    )
    files.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        dest="outputs",
        metavar="GLOB",
        help="take these files of the work folder back",
    )
    files.add_argument("--into", type=Path, default=Path(), metavar="DIR", help="and put them here")
    parser.add_argument("--fresh", action="store_true", help="a container of its own, used once")
    parser.add_argument("--network", action="store_true", help="needs the operator's leave")
    parser.add_argument("--writable", action="store_true", help="a root that can be written to")
    parser.add_argument("--profile", default="auto", help="a profile of the language")
    parser.add_argument("--package", action="append", default=[], dest="packages", metavar="NAME")
    parser.add_argument("--label", help="text for the history")
    parser.add_argument(
        "--explain", action="store_true", help="after a failure, tell what went wrong"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON instead")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell at the end how it went")


def run(arguments: argparse.Namespace) -> int:
    code = _program(arguments)
    stdin_is_ours = bool(arguments.code or arguments.file not in (None, "-")) and _has_stdin()
    with Client(arguments.socket) as client:
        result = _stream(client, code, arguments, feed=stdin_is_ours)
        _take_files(result, arguments.into)
        if arguments.json:
            sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
        else:
            _explain_end(result, verbose=arguments.verbose)
        if arguments.explain and result.status is not Status.OK:
            sys.stderr.write("\n")
            print_report(client.debug_report(result.run), sys.stderr)
    return result.exit_code


def _stream(client: Client, code: str, arguments: argparse.Namespace, *, feed: bool) -> RunResult:
    """Runs the program, its streams going to ours as they come."""
    stream = client.stream(
        arguments.language,
        code,
        args=arguments.args,
        env=dict(pair.partition("=")[::2] for pair in arguments.env),
        stdin=() if feed else None,
        limits=Limits(
            timeout=arguments.timeout,
            memory=arguments.memory,
            cpus=arguments.cpus,
            pids=arguments.pids,
            tmp=arguments.tmp,
            output=arguments.output_limit,
        ),
        files=_read_files(arguments.files),
        outputs=arguments.outputs,
        reuse="never" if arguments.fresh else "owner",
        network=arguments.network,
        read_only=not arguments.writable,
        profile=arguments.profile,
        packages=arguments.packages,
        capture=arguments.json,
        label=arguments.label,
    )
    with stream:
        for event in _events(stream, feed=feed):
            if isinstance(event, Output) and not arguments.json:
                _write(1 if event.stream == "stdout" else 2, event.data)
    return stream.result


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


def _read_files(named: list[str]) -> dict[str, Blob]:
    """Files to lay, by the name they get. Raises SandboxError."""
    files = {}
    for each in named:
        path, _, name = each.partition(":")
        try:
            files[name or Path(path).name] = to_blob(Path(path).read_bytes())
        except OSError as error:
            raise SandboxError(f"cannot read {path}: {error}") from None
    return files


def _take_files(result: RunResult, folder: Path) -> None:
    """Writes what came back; a path of the sandbox's never leads out of the folder."""
    for file in result.files:
        target = folder / file.path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise SandboxError(f"not written: {file.path} would lie outside {folder}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(from_blob(file.data))
    for skipped in result.files_skipped:
        sys.stderr.write(f"sandbox: {skipped.path} did not come back: {skipped.why}\n")


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
