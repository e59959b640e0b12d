"""What it means that a signal ended a program."""

from __future__ import annotations

import signal

from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meaning import Meaning
from sandboxd.diagnose.words import size

_BASE = 128  # shells add a signal's number to it
_NEARLY = 0.9

_MEANINGS = {
    "SIGSEGV": Meaning(
        "It used memory that is not its own: a fault in native code, or a stack that ran over.",
        (
            "Look for native code: ctypes, a native extension, an unsafe pointer.",
            "Look for recursion that does not end.",
        ),
    ),
    "SIGABRT": Meaning(
        "It aborted itself, as native code and runtimes do when they find something broken.",
        ("Read stderr: what aborts usually says why.",),
    ),
    "SIGBUS": Meaning(
        "It used mapped memory that has nothing behind it, such as a file that was cut "
        "or that found no space.",
        ("Map no more of a file than it has, and leave space in the work folder and /tmp.",),
    ),
    "SIGFPE": Meaning(
        "It divided an integer by zero, or its result did not fit.",
        ("Check the divisor before the division.",),
    ),
    "SIGILL": Meaning(
        "It came upon an instruction that this processor does not have, or that is there "
        "to stop it.",
        ("Look for native code built for another processor, or for a compiler's trap.",),
    ),
    "SIGTRAP": Meaning(
        "It ran into a trap: a failed check of a runtime, or a breakpoint.",
        ("Read stderr: what traps usually says why.",),
    ),
    "SIGSYS": Meaning(
        "It made a system call that is forbidden to it.",
        ("Do without that system call: the sandbox denies those that manage the machine.",),
    ),
    "SIGKILL": Meaning(
        "Something in the run sent it: the sandbox's own kills are reported as timeout, "
        "out of memory or output limit.",
        ("Look for kill, os.kill or a process group that the program itself belongs to.",),
    ),
    "SIGTERM": Meaning(
        "Something in the run asked it to end.",
        ("Look for kill or os.kill with the program's own number or group.",),
    ),
    "SIGINT": Meaning(
        "It was interrupted, as Ctrl-C does: by its client, or by something in the run.",
        ("Look for code that sends SIGINT to its own group, where its client did not.",),
    ),
    "SIGPIPE": Meaning(
        "It wrote to a pipe whose reader had gone.",
        (
            "Let the reader read to the end: `head` and its like leave early.",
            "Handle the broken pipe, or ignore SIGPIPE.",
        ),
    ),
    "SIGXFSZ": Meaning(
        "It made a file larger than the most that any run may write, holes in it counted.",
        ("Make it no larger than what is to be in it: limits.tmp bounds all that is written.",),
    ),
    "SIGXCPU": Meaning(
        "It used up the processor time that it had set itself.",
        ("Look for setrlimit or ulimit -t.",),
    ),
    "SIGALRM": Meaning(
        "A timer that it had set itself ran out.",
        ("Look for alarm or setitimer without a handler for SIGALRM.",),
    ),
    "SIGHUP": Meaning("Something in the run sent it, as if its terminal had gone."),
    "SIGQUIT": Meaning("Something in the run sent it, as Ctrl-\\ does."),
}
_OTHER = Meaning(
    "Something in the run sent it, and the program has no handler for it.",
    ("Look for what sends this signal, or handle it.",),
)


def name(number: int) -> str:
    """`SIGSEGV` for 11; `signal 40` for those without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def of_exit_code(code: int) -> int | None:
    """The signal that a shell's exit code tells of."""
    number = code - _BASE
    return number if number in {each.value for each in signal.Signals} else None


def meaning(which: str, facts: Facts) -> Meaning:
    """Of a signal by its name."""
    explanation, suggestions = _MEANINGS.get(which, _OTHER)
    of_a_child = facts.signal is None and of_exit_code(facts.exit_code) is not None
    victim = "The last command that the program ran" if of_a_child else "The program"
    told = f"{victim} was ended by {which}. {explanation}"
    limit, peak = facts.memory_limit, facts.memory_peak
    if which == "SIGKILL" and limit and peak and peak >= _NEARLY * limit:
        told += f" It had {size(peak)} of the {size(limit)} that it may use: memory was short too."
    return Meaning(told, suggestions)
