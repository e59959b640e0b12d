"""A probe: a program that attacks, what must become of it, and what shows that it attacks.

Probes are data (see probes/). One that fails inside must do something else where there is
no sandbox, or it would prove nothing: that is its control.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from sandboxd_client import RunResult
from sandboxd_client._wire import RunOptions

C = "c"
"""The language of probes that are compiled here, and started by Bash inside."""


class Where(enum.StrEnum):
    """Where the control is run."""

    USER = "host user"
    """The same, by an ordinary process of the host that may do nothing there."""
    OWN = "own namespaces"
    """The same, by such a process as the root of user, mount, pid, net and uts namespaces
    of its own: for what takes privileges, and changes nothing outside of these."""
    ROOT = "host root"
    """The same, by the host's root: only where the arguments are such that no kernel
    takes them, or where nothing but the process itself is concerned. It fails, but
    otherwise than inside."""
    CONTAINER = "plain container"
    """The same, as uid 1000 in a container of the same image, with Docker's own profile
    and without the guest."""
    CONTAINER_ROOT = "plain container's root"
    CONTAINER_HOST = "plain container, host's network"
    """The same, in one that shares the host's network."""
    MILDER = "milder"
    """The same in the sandbox, but within its limits: that works."""
    SHOWN = "shown"
    """None: what comes out of the run itself shows that the attack took place."""


@dataclass(frozen=True)
class Control:
    where: Where
    says: str = ""
    """A pattern for what it prints there; empty for anything but what it prints inside."""
    args: tuple[str, ...] = ()
    """Of one that is milder, in place of the probe's."""
    why: str = ""
    """How it is shown, where that is all."""


class Outcome(NamedTuple):
    """What became of a run, seen from the client."""

    status: str
    """Of the result, or the kind of the daemon's error."""
    exit_code: int | None = None
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    """Both as they were streamed."""
    result: RunResult | None = None
    detail: str = ""

    def __str__(self) -> str:
        how = f"{self.status} {self.exit_code}" if self.result else f"{self.status}: {self.detail}"
        return f"{how}, {shorten(self.stdout)}" + (
            f", stderr {shorten(self.stderr[-200:])}" if self.stderr else ""
        )


@dataclass(frozen=True, kw_only=True)
class Expect:
    """What must become of the run."""

    says: str | None = None
    """A pattern for the whole of stdout; None where that does not matter."""
    status: tuple[str, ...] = ("ok",)
    exit_code: int | None = None
    signal: int | None = None
    check: Callable[[Outcome], object] | None = None
    """Raises AssertionError where something else is wrong."""

    def faults(self, got: Outcome) -> list[str]:
        faults = []
        if got.status not in self.status:
            faults.append(f"status {got.status}, not {' or '.join(self.status)}")
        if self.exit_code is not None and got.exit_code != self.exit_code:
            faults.append(f"exit code {got.exit_code}, not {self.exit_code}")
        if self.signal is not None and got.signal != self.signal:
            faults.append(f"signal {got.signal}, not {self.signal}")
        if self.says is not None and not matches(self.says, got.stdout):
            faults.append(f"stdout {shorten(got.stdout)}, not {self.says[:80]!r}")
        if not faults and self.check is not None:
            try:
                self.check(got)
            except AssertionError as error:
                faults.append(f"{error}".partition("\n")[0] or "the check failed")
        return faults

    def __str__(self) -> str:
        parts = ["/".join(self.status)]
        parts += [str(self.exit_code)] if self.exit_code is not None else []
        parts += [shorten(self.says.replace("\n", "\\n").encode())] if self.says is not None else []
        return " ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Probe:
    name: str
    language: str
    program: str
    """Its source; of one in C the name of that in c/."""
    expect: Expect
    control: Control
    args: tuple[str, ...] = ()
    """{port}, {udp} and {abstract} stand for sockets of the host that listen."""
    options: RunOptions = field(default_factory=RunOptions)
    session: tuple[str, ...] = ()
    """Programs before it in a session, in which it is then the last one."""
    timeout: float = 10.0
    waits: bool = False
    """It says "ready" and waits for a line: meanwhile a run beside it is asked something."""
    feeds: int = 0
    """Bytes of stdin that are streamed to it, as far as it takes them."""
    memory: int = 96 << 20
    """Bytes that the daemon may need for it at any time, beyond what it needs at rest."""
    heavy: bool = False
    """Takes so long that only `make attack` has it."""
    gap: str = ""
    """What does not hold, so that the probe is known to fail; empty for nearly all."""


def matches(pattern: str, text: bytes) -> bool:
    return re.fullmatch(pattern.encode(), text, re.DOTALL) is not None


def shorten(text: bytes, most: int = 60) -> str:
    """Bytes for a person and a terminal: what repeats is told once, the middle is left out."""
    shown = text.decode(errors="replace")
    lines = "".join(c if c.isprintable() or c == "\n" else "?" for c in shown).split("\n")
    lines = [line for line in lines if line]
    told = [f"{line} x{lines.count(line)}" if lines.count(line) > 1 else line for line in lines]
    shown = " | ".join(dict.fromkeys(told))
    return shown if len(shown) <= most else f"{shown[: most // 2]}…{shown[-most // 2 :]}"
