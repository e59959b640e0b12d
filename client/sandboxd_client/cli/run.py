"""`sandbox run`: a program's output and exit code, as if it ran here."""

from __future__ import annotations

import contextlib
import os
import select
import sys

from sandboxd_client._paths import default_socket_name
from sandboxd_client.cli._local import find_files, put_files
from sandboxd_client.cli._quick import QuickRun
from sandboxd_client.cli._terminal import (
    Interrupts,
    may_read_stdin,
    print_out,
    read_stdin,
)
from sandboxd_client.cli.command import Command
from sandboxd_client.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any, Self

    from sandboxd_client.cli._local import EmptyFolder, LocalFile

_CHUNK = 64 * 1024
_INCOMPLETE = 123
"""Exit code where the program ended with 0, and its output was cut at a limit, or a file
that was asked for by name did not come back."""
_SOURCES = 1024 * 1024
"""Bytes of files that a report is made with."""
_LIMITS = ("timeout", "memory", "cpus", "pids", "tmp", "output")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("language", metavar="LANGUAGE")
    parser.add_argument("-c", dest="code", metavar="CODE", help="the program itself")
    parser.add_argument("file", nargs="?", metavar="FILE", help="its file, or - for stdin")
    parser.add_argument(
        "-n",
        "--no-stdin",
        action="store_true",
        help="read nothing for the program: as of `ssh -n`, for a loop that reads itself",
    )
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    limits = parser.add_argument_group("limits")
    limits.add_argument("-t", "--timeout", dest="limit_timeout", type=float, metavar="SECONDS")
    limits.add_argument("--memory", dest="limit_memory", metavar="SIZE", help="such as 256MiB")
    limits.add_argument("--cpus", dest="limit_cpus", type=float, metavar="CORES")
    limits.add_argument(
        "--pids", dest="limit_pids", type=int, metavar="N", help="processes and threads at once"
    )
    limits.add_argument(
        "--tmp", dest="limit_tmp", metavar="SIZE", help="all that the program can write"
    )
    limits.add_argument(
        "--output-limit",
        dest="limit_output",
        metavar="SIZE",
        help="of stdout, and of stderr; what is cut there is told, and ends in 123 instead of 0. "
        "There is none unless asked for, but for --json and --detach, which keep what is printed",
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        dest="files",
        metavar="PATH[:NAME]",
        help="lay this file in the work folder, or all of this folder",
    )
    files.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        dest="outputs",
        metavar="GLOB",
        help="take these files of the work folder back; where one that is named does not come, "
        "that is told, and ends in 123 instead of 0",
    )
    files.add_argument("--into", default=".", metavar="DIR", help="and put them here")
    parser.add_argument(
        "--detach",
        action="store_true",
        help="print the run's id and let it go on, without stdin; see `sandbox attach`",
    )
    parser.add_argument(
        "--session",
        metavar="SESSION",
        help="run in this one of `sandbox session`, with what its earlier runs left",
    )
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
    feeds = _feeds(arguments)
    params = _params(arguments, streams_stdin=feeds)
    socket = arguments.socket or default_socket_name()
    files = find_files(arguments.files, arguments.file)
    running = QuickRun(socket, params, code=code, files=files)
    if arguments.detach:
        return _detach(running, as_json=arguments.json)
    exit_code, result = pass_on(running, arguments, feed=feeds, interrupt=not arguments.session)
    if arguments.explain and result["status"] != "ok":
        _explain(socket, result["run"], files)
    return exit_code


def _detach(running: QuickRun, *, as_json: bool) -> int:
    poll = select.poll()
    poll.register(running, select.POLLIN)
    with contextlib.closing(running), _Place() as place:
        list(running.take())
        while running.run is None:
            place.show(running.queued)
            poll.poll()
            list(running.take())
    sys.stdout.write(f'{{"run": "{running.run}"}}\n' if as_json else f"{running.run}\n")
    return 0


def pass_on(
    running: QuickRun, arguments: argparse.Namespace, *, feed: bool, interrupt: bool
) -> tuple[int, dict[str, Any]]:
    """Puts a run's output and files where they belong; gives its exit code and its result.

    `interrupt` passes a first Ctrl-C, SIGTERM or SIGHUP on to the program.
    """
    told = Interrupts(passed_on=interrupt)
    with contextlib.closing(running), _Place() as place, told as interrupts:
        for stream, data in _output(running, place, interrupts, feed=feed):
            if not arguments.json:
                print_out(stream, data)
    result = running.result
    if result is None:
        raise SandboxError("the run ended without a result")
    put_files(result, arguments.into)
    if arguments.json:
        import json  # noqa: PLC0415 - loaded already

        line = json.dumps(result, ensure_ascii=False) + "\n"
        print_out("stdout", line.encode())
    else:
        _tell_end(result, verbose=arguments.verbose)
    for name, cut in result["truncated"].items():
        if cut:
            sys.stderr.write(f"sandbox: {name} was cut at its limit; see --output-limit\n")
    missing = any(skipped.get("named") for skipped in result["files_skipped"])
    incomplete = missing or any(result["truncated"].values())
    return result["exit_code"] or _INCOMPLETE * incomplete, result


def _params(arguments: argparse.Namespace, *, streams_stdin: bool) -> dict[str, Any]:
    limits = {
        name: value
        for name in _LIMITS
        if (value := getattr(arguments, f"limit_{name}")) is not None
    }
    return {
        "language": arguments.language,
        "args": arguments.args,
        "env": dict(pair.partition("=")[::2] for pair in arguments.env),
        "stdin": {"stream": True} if streams_stdin else None,
        "limits": limits,
        "outputs": arguments.outputs,
        "reuse": "never" if arguments.fresh else "owner",
        "network": arguments.network,
        "read_only": not arguments.writable,
        "profile": arguments.profile,
        "packages": arguments.packages,
        "session": arguments.session,
        "label": arguments.label,
        "stream": not arguments.detach,
        "capture": arguments.json or arguments.detach,
        "keep": arguments.detach,
    }


def _program(arguments: argparse.Namespace) -> bytes:
    """The code, as it is. Raises SandboxError when it cannot be read."""
    if arguments.code is not None and arguments.file is not None:
        raise SandboxError("the program is given by -c or by a file, not by both")
    if arguments.code is not None:
        return os.fsencode(arguments.code)
    source = 0 if arguments.file in (None, "-") else arguments.file
    try:
        with open(source, "rb", closefd=source != 0) as file:
            return file.read()
    except OSError as error:
        raise SandboxError(f"cannot read {arguments.file or 'stdin'}: {error}") from None


def _feeds(arguments: argparse.Namespace) -> bool:
    """Whether our stdin is the program's."""
    if arguments.no_stdin or arguments.detach:
        return False
    if arguments.code is None and arguments.file in (None, "-"):
        return False  # it is the program
    return may_read_stdin()


class _Place:
    """Where a run stands in the queue, in the last line of a terminal; nowhere else."""

    def __init__(self) -> None:
        self._terminal = os.isatty(2)
        self._shown: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.show(None)

    def show(self, queued: dict[str, Any] | None) -> None:
        if queued == self._shown or not self._terminal:
            return
        self._shown, words = queued, ""
        if queued:
            words = f"sandbox: waiting, number {queued['position']} in the queue"
            if queued["estimate"] is not None:
                words += f", about {queued['estimate']:.0f} s"
        sys.stderr.write(f"\r\x1b[K{words}")
        sys.stderr.flush()


def _output(
    running: QuickRun, place: _Place, interrupts: Interrupts, *, feed: bool
) -> Iterator[tuple[str, bytes]]:
    """What is printed, as it comes, while our own stdin goes to the program as it takes it."""
    poll = select.poll()
    poll.register(running, select.POLLIN)
    poll.register(interrupts, select.POLLIN)
    open_stdin, polled = feed, False
    while True:
        for printed in running.take():
            place.show(running.queued)
            yield printed
        place.show(running.queued)
        if running.result is not None:
            return
        wanted = open_stdin and running.stdin_room >= _CHUNK
        if wanted != polled:
            if wanted:
                poll.register(0, select.POLLIN)
            else:
                poll.unregister(0)
            polled = wanted
        for descriptor, _ in poll.poll():
            if descriptor == 0:
                data = read_stdin(_CHUNK)
                running.send_stdin(data)
                open_stdin = bool(data)
            elif descriptor == interrupts.fileno():
                number = interrupts.take()
                if running.run is None:
                    raise SystemExit(128 + number)
                running.interrupt(number)


def _tell_end(result: dict[str, Any], *, verbose: bool) -> None:
    """What the program itself cannot have said."""
    words = {
        "timeout": "killed: its time was up",
        "oom": "killed: its memory was full",
        "output_limit": "killed: it printed far too much",
        "killed": "killed",
    }
    status, ran = result["status"], result["duration"]
    if (value := result.get("value")) is not None:
        print_out("stdout", f"{value}\n".encode())
    if status in words:
        sys.stderr.write(f"sandbox: {words[status]} after {ran:.2f} s\n")
    if lost := result.get("lost"):
        sys.stderr.write(f"sandbox: {lost}\n")
    if verbose:
        usage = result["usage"]
        sys.stderr.write(
            f"sandbox: {status}, exit {result['exit_code']}, ran {ran:.3f} s, "
            f"cpu {usage['cpu']:.3f} s, memory {usage['memory_peak'] / 2**20:.0f} MiB, "
            f"{'warm' if result['warm'] else 'cold'}, run {result['run']}\n"
        )


def _explain(socket: str, run: str, files: dict[str, LocalFile | EmptyFolder]) -> None:
    """`files` are those that were sent with it, whose lines may be shown."""
    from sandboxd_client.cli.debug import print_report  # noqa: PLC0415 - slow, and seldom needed
    from sandboxd_client.sync import Client  # noqa: PLC0415 - the same

    left, sources = _SOURCES, {}
    for name, file in files.items():
        if file.size <= left:
            left -= file.size
            with contextlib.suppress(UnicodeDecodeError):  # a source is text
                sources[name] = b"".join(file.pieces()).decode()
    sys.stderr.write("\n")
    with Client(socket) as client:
        print_report(client.debug_report(run, files=sources), sys.stderr)


COMMANDS = (
    Command(
        "run",
        add_arguments,
        run,
        usage="sandbox run [options] LANGUAGE [-c CODE | FILE | -] [-- ARG ...]",
    ),
)
