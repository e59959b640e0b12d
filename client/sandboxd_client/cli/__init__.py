"""The command `sandbox`: run code, and look at the daemon that runs it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line, this process's own unless given; returns the exit code."""
    # Only what is in this `try` answers Ctrl-C quietly, so that all loading is done in it.
    try:
        return _load(argv)()
    except KeyboardInterrupt:
        return _INTERRUPTED


def _load(argv: Sequence[str] | None) -> Callable[[], int]:
    """Loads what a command line needs. Ctrl-C meanwhile ends the process at once, where it
    is the process's to say: an exception in the midst of an import may be lost, or become
    another."""
    import signal  # noqa: PLC0415 - see main

    before = signal.getsignal(signal.SIGINT)
    ends = before is signal.default_int_handler
    if ends:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from sandboxd_client.cli._main import prepare  # noqa: PLC0415 - the same

        return prepare(argv)
    finally:
        if ends:
            signal.signal(signal.SIGINT, before)
