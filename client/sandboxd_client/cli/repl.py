"""`sandbox repl`: a session at the terminal, one piece of code after another."""

from __future__ import annotations

import argparse
import codeop
import contextlib
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from sandboxd_client._wire import Event, Output
from sandboxd_client.cli._terminal import read_stdin
from sandboxd_client.cli.command import Command
from sandboxd_client.errors import CancelledError
from sandboxd_client.protocol import Limits, RunResult, State
from sandboxd_client.session import Session
from sandboxd_client.stream import RunStream
from sandboxd_client.sync import Client

_CHUNK = 64 * 1024
_HISTORY_MOST = 10_000
_FIRST, _MORE = "> ", ". "
_LEAVE = re.compile(r"(?:exit|quit)(?:\s*\(\s*(\d{0,3})\s*\)|\s+(\d{1,3}))?\s*;?")
_BLOCKS = {
    "ruby": re.compile(
        r"^\s*(?:def|class|module|begin|if|unless|case|while|until|for)\b"
        r"|^(?!\s*(?:while|until|for)\b).*\bdo\b",
        re.MULTILINE,
    ),
    "bash": re.compile(r"(?:^|;|\bthen|\bdo)\s*(?:if|case|for|while|until)\b", re.MULTILINE),
}
_ENDS = {"ruby": re.compile(r"\bend\b"), "bash": re.compile(r"\b(?:fi|esac|done)\b")}
_QUOTED = re.compile(r"""'[^'\n]*'|"(?:\\.|[^"\\\n])*"|#.*|//.*""")

Ask = Callable[[str], str]
"""Shows a prompt and gives a line. Raises EOFError and KeyboardInterrupt."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("language", metavar="LANGUAGE")
    parser.add_argument("-t", "--timeout", type=float, metavar="SECONDS", help="of each run")
    parser.add_argument("--memory", metavar="SIZE", help="of the session, such as 256MiB")
    parser.add_argument("--profile", help="a profile of the language")
    parser.add_argument("--network", action="store_true", help="needs the operator's leave")


def run(arguments: argparse.Namespace) -> int:
    with Client(arguments.socket) as client:
        language = _its_name(client, arguments.language)
        limits = Limits(timeout=arguments.timeout, memory=arguments.memory)
        opened = client.session(
            arguments.language,
            limits=limits,
            profile=arguments.profile,
            network=arguments.network,
        )
        with opened as session, _asking(language) as ask:
            return _converse(session, language, ask)


def _its_name(client: Client, language: str) -> str:
    """The language's own name, where an alias was given."""
    known = client.languages()
    return next((each.name for each in known if language.lower() in each.aliases), language)


def _converse(session: Session, language: str, ask: Ask) -> int:
    """Until it is left, or its interpreter has an end of its own; returns the exit code of
    the last run."""
    code = 0
    for source in _sources(language, ask):
        if leaving := _LEAVE.fullmatch(source.strip()):
            return int(leaving[1] or leaving[2] or 0)
        result = _run(session, source, typed=sys.stdin.isatty())
        if result is None:
            code = 128 + signal.SIGINT
            continue
        code = result.exit_code
        if result.state is State.LOST and result.status == "error" and result.signal is None:
            break  # its interpreter has ended by itself
        if result.lost is not None:
            sys.stderr.write(f"sandbox: {result.lost}\n")
    return code


def _sources(language: str, ask: Ask) -> Iterator[str]:
    """Each piece of code once it is whole. An empty line ends one that seems not to be."""
    lines: list[str] = []
    while True:
        try:
            line = ask(_MORE if lines else _FIRST)
        except KeyboardInterrupt:
            lines = []
            sys.stderr.write("\n")
            continue
        except EOFError:
            if lines:
                yield "\n".join(lines)
            return
        lines.append(line)
        source = "\n".join(lines)
        if not source.strip():
            lines = []
        elif (not line.strip() and len(lines) > 1) or is_whole(language, source):
            lines = []
            yield source


def is_whole(language: str, source: str) -> bool:
    """Whether code can be run as it is, or more of it must be meant to follow."""
    if language == "python":
        return _is_whole_python(source)
    bare = _QUOTED.sub("''", source)
    if bare.rstrip().endswith("\\") or bare.count("`") % 2:
        return False
    if len(re.findall(r"[({\[]", bare)) > len(re.findall(r"[)}\]]", bare)):
        return False
    begins, ends = _BLOCKS.get(language), _ENDS.get(language)
    if begins is None or ends is None:
        return True
    return len(begins.findall(bare)) <= len(ends.findall(bare))


def _is_whole_python(source: str) -> bool:
    if source.rpartition("\n")[2][:1].isspace():
        return False  # a block, which may go on
    try:
        return codeop.compile_command(source, symbol="exec") is not None
    except (SyntaxError, ValueError, OverflowError):
        return True  # the session says what is wrong, and knows `await`


def _run(session: Session, source: str, *, typed: bool) -> RunResult | None:
    """Shows what it prints and what it is worth; None where it was interrupted. What is
    `typed` meanwhile is its stdin."""
    with session.stream(source, capture=False, stdin=() if typed else None) as running:
        # The program is interrupted, and not this: its end is waited for.
        before = signal.signal(signal.SIGINT, lambda *_: running.cancel())
        try:
            for event in _events(running, typed=typed):
                if isinstance(event, Output):
                    to = sys.stdout if event.stream == "stdout" else sys.stderr
                    to.buffer.write(event.data)
                    to.flush()
        except CancelledError:
            return None
        finally:
            signal.signal(signal.SIGINT, before)
    result = running.result
    if result.value is not None:
        sys.stdout.write(f"{result.value}\n")
    for file in result.files:
        sys.stderr.write(f"sandbox: {file.path}, {file.size} bytes\n")
    if result.status not in ("ok", "error"):
        sys.stderr.write(f"sandbox: {result.status} after {result.duration:.2f} s\n")
    sys.stdout.flush()
    return result


def _events(running: RunStream, *, typed: bool) -> Iterator[Event]:
    """What is told of a run, while what is typed goes to it as it takes it."""
    while True:
        yield from running.take()
        if running.ended:
            return
        poll = select.poll()
        poll.register(running, select.POLLIN)
        if typed and running.stdin_room >= _CHUNK:
            poll.register(0, select.POLLIN)
        if any(descriptor == 0 for descriptor, _ in poll.poll()):
            if data := read_stdin(_CHUNK):
                running.send_stdin(data)
            else:
                running.end_stdin()
                typed = False


# --- lines ---


@contextlib.contextmanager
def _asking(language: str) -> Iterator[Ask]:
    if not sys.stdin.isatty():
        yield lambda _: _next_line()
        return
    history = _history_path(language)
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory
    except ImportError:
        with _readline(history):
            yield input
        return
    prompts: PromptSession[str] = PromptSession(history=FileHistory(str(history)))
    yield prompts.prompt


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _history_path(language: str) -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    folder = Path(home) / "sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"history-{language}"


@contextlib.contextmanager
def _readline(path: Path) -> Iterator[None]:
    """The history of `input`, where this Python has it."""
    try:
        import readline
    except ImportError:
        yield
        return
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(_HISTORY_MOST)
        with contextlib.suppress(OSError):
            readline.write_history_file(path)


COMMANDS = (Command("repl", add_arguments, run),)
