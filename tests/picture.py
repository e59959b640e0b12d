"""The terminal's picture in the README: real runs, drawn as they came. `make picture`.

Each command runs in a terminal of its own, on a daemon of its own; a line of the picture
appears when the line was printed, and has the time since its command was given.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from tests.support.daemon import RunningDaemon, eventually, pools_are_full

COMMANDS = (
    ("sandbox run python -c 'import time\nfor n in range(1, 5): print(n * n); time.sleep(0.4)'"),
    "sandbox run bash --timeout 1 -c 'echo begun; sleep 60'; echo \"exit code $?\"",
    "sandbox run ruby -c 'puts `id -un`, `nproc`, File.writable?(\"/etc\")'",
)
FILE = Path(__file__).parents[1] / "client/docs/pages/terminal.svg"

_PAUSE, _HOLD = 0.9, 5.0
"""Seconds before each next command, and with the whole before it begins anew."""
_COLUMNS, _LINE, _TOP, _LEFT, _CHAR = 88, 21, 58, 22, 8.43
_STYLE = """
text { font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace;
  fill: #d8dee9; white-space: pre; }
.command { fill: #ffffff; font-weight: bold; }
.prompt { fill: #8fbf7f; }
.time { fill: #7b8496; text-anchor: end; }
@media (prefers-reduced-motion: reduce) { g { animation: none !important; } }
"""


class Line(NamedTuple):
    """A line of the picture; `after` is what its command took until then, in seconds."""

    at: float
    text: str
    after: float | None = None
    """None where it is part of a command."""


def record(commands: Sequence[str], environment: dict[str, str]) -> Iterator[Line]:
    """Runs the commands one after the other."""
    clock = 0.0
    for command in commands:
        clock += _PAUSE
        yield from (Line(clock, text) for text in command.split("\n"))
        last = 0.0
        for last, text in _run(command, environment):
            yield Line(clock + last, text, last)
        clock += last


def _run(command: str, environment: dict[str, str]) -> Iterator[tuple[float, str]]:
    """What a command prints on its terminal, line by line, with the seconds until then."""
    ours, theirs = pty.openpty()
    began = time.monotonic()
    with subprocess.Popen(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as process:
        os.close(theirs)
        left = b""
        while data := _read(ours):
            now = time.monotonic() - began
            *lines, left = (left + data).split(b"\n")
            for line in lines:
                # An empty place in the queue is written over.
                yield now, line.rstrip(b"\r").rpartition(b"\x1b[K")[2].decode()
        os.close(ours)
    if process.returncode != 0:
        raise SystemExit(f"{command}: exit code {process.returncode}")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how a terminal ends whose other side has gone
        return b""


def draw(lines: Sequence[Line]) -> str:
    """An SVG that shows each line from its time on, over and over."""
    length = max(line.at for line in lines) + _HOLD
    width = _LEFT * 2 + _COLUMNS * _CHAR
    height = _TOP + len(lines) * _LINE
    style, body = _STYLE, ""
    before: Line | None = None
    for number, line in enumerate(lines):
        share = 100 * line.at / length
        style += f"@keyframes l{number} {{ 0%, {share:.2f}% {{ opacity: 0 }} "
        style += f"{share + 0.01:.2f}%, 100% {{ opacity: 1 }} }}\n"
        style += f".l{number} {{ animation: l{number} {length:.2f}s step-end infinite }}\n"
        body += f'<g class="l{number}">{_words(line, before, _TOP + number * _LINE, width)}</g>\n'
        before = line
    dots = "".join(
        f'<circle cx="{_LEFT + 6 + 20 * n}" cy="22" r="6" fill="{colour}"/>'
        for n, colour in enumerate(("#e0645c", "#e3b34c", "#6fb35a"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" role="img">\n'
        f"<title>Programs run by sandbox run, their output as it came</title>\n"
        f"<style>{style}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="#1d2129"/>\n{dots}\n{body}</svg>\n'
    )


def _words(line: Line, before: Line | None, y: float, width: float) -> str:
    if line.after is not None:
        return (
            f'<text x="{_LEFT}" y="{y}">{escape(line.text)}</text>'
            f'<text class="time" x="{width - _LEFT:.0f}" y="{y}">{line.after:.2f} s</text>'
        )
    goes_on = before is not None and before.after is None
    prompt = f'<tspan class="prompt">{"&gt;" if goes_on else "$"}</tspan>'
    return f'<text class="command" x="{_LEFT}" y="{y}">{prompt} {escape(line.text)}</text>'


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="sandboxd-picture-") as folder,
        RunningDaemon(Path(folder)) as daemon,
        daemon.client() as client,
    ):
        eventually(lambda: pools_are_full(client), "the pools are full")
        environment = {
            **os.environ,
            "SANDBOXD_SOCKET": str(daemon.socket),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        list(_run("sandbox run python -c 1", environment))  # its files are read once before
        FILE.write_text(draw(list(record(COMMANDS, environment))))


if __name__ == "__main__":
    main()
