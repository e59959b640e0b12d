"""Programs in sessions, which share a process with the driver that speaks for them.

Such a program can say what the driver would say: of its own run, as it can of its own exit
status. What goes beyond that ends its interpreter, and nobody else's: the session's next
run has a new one.
"""

from __future__ import annotations

from tests.attack.probe import Control, Expect, Probe, Where

_FIND = """
import fcntl, os, time
def pipes(mode):
    "Those that no program was given: the driver's own."
    for name in os.listdir("/proc/self/fd"):
        try:
            own = int(name) > 2 and os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
            if own and fcntl.fcntl(int(name), fcntl.F_GETFL) & 3 == mode: yield int(name)
        except OSError:
            pass
[commands], [notes] = pipes(os.O_RDONLY), pipes(os.O_WRONLY)
def say(line): os.write(notes, line + b"\\n")
"""
_BESIDES = "print('still here')"
_ANEW = "print('still here', 'pipes' in globals())"
_ENDED = Control(Where.SHOWN, why="a new interpreter runs the next, and knows nothing of it")


def _last(name: str, program: str, *, heavy: bool = False, lasting: bool = False) -> Probe:
    """Ends its interpreter: what comes next in the session finds a new one. What is
    `lasting` may end the next run too, before it is ended with it."""
    return Probe(
        name=f"a session in which {name}",
        language="python",
        session=(_FIND + program,),
        program=_ANEW,
        timeout=2.0,
        heavy=heavy,
        expect=Expect(says="(still here False\n)?", status=("ok", "killed", "timeout"))
        if lasting
        else Expect(says="still here False\n"),
        control=_ENDED,
    )


_FORGED = [
    Probe(
        name="a session in which a program tells its own end",
        language="python",
        session=(
            _FIND + """say(b'{"run": 1, "exit_code": 0}'); print(end="", flush=True)""",
            "print('second')",
        ),
        program=_BESIDES,
        expect=Expect(says="still here\n"),
        control=Control(Where.SHOWN, why="the next one has its own output, and end"),
    ),
    _last("a program speaks of another run", """say(b'{"run": 99, "exit_code": 0}')"""),
    _last("a program speaks of the next run", """say(b'{"run": 2, "exit_code": 0}')"""),
    _last("a program says what cannot be", """say(b'{"run": 1, "exit_code": 5e9}')"""),
    _last("a program says what is no JSON", """say(b"no JSON")"""),
    _last("a program nests without end", """say(b"[" * 1_000_000)"""),
    _last("a program begins without end", """while True: say(b'{"run": 1}')"""),
    _last("a line has no end", "while True: os.write(notes, bytes(65536))"),
    _last(
        "a value is past all bounds",
        """say(b'{"run": 1, "exit_code": 0, "value": "' + b"x" * 10_000_000 + b'"}')""",
    ),
    _last(
        "the driver is closed",
        "os.close(commands); os.close(notes); time.sleep(100)",
        heavy=True,
    ),
    _last(
        "commands are stolen",
        """
import threading
def steal():
    while True: os.read(commands, 1 << 20)
threading.Thread(target=steal, daemon=True).start(); time.sleep(100)""",
        heavy=True,
        lasting=True,
    ),
    _last(
        "a fork stays, to speak for the driver",
        """
if os.fork() == 0:
    os.setsid()
    while True: say(b'{"run": 1, "exit_code": 0}')""",
        lasting=True,
    ),
]

_LISTS = {
    "python": """
import os, subprocess, sys
if sys.argv[1:]: os.set_inheritable(os.dup2(0, 77), True)
subprocess.run(["ls", "/proc/self/fd"], close_fds=False)
""",
    "javascript": """
const more = process.argv[2] ? [...Array(74).fill('ignore'), 0] : [];
require('child_process').spawnSync('ls', ['/proc/self/fd'],
  { stdio: ['inherit', 'inherit', 'inherit', ...more] });
""",
    "ruby": """
system("ls", "/proc/self/fd", **(ARGV[0] ? { 77 => 0 } : {}), close_others: false)
""",
    "bash": """
[ -z "$1" ] || exec 77<&0
ls /proc/self/fd
""",
}

_CHILDREN = [
    Probe(
        name=f"what children have of the driver, in {language}",
        language=language,
        session=(":" if language == "bash" else "1",),
        program=program,
        expect=Expect(says="0\n1\n2\n3\n"),
        control=Control(Where.MILDER, "0\n1\n2\n3\n(.*\n)?77\n", args=("more",)),
    )
    for language, program in _LISTS.items()
]

_ENDLESS = {
    "python": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
    "javascript": "for (;;) try { for (;;); } catch {}",
    "ruby": "trap('INT', 'IGNORE'); loop {}",
    "bash": "trap '' INT; while :; do :; done",
}

_INTERRUPTED = [
    Probe(
        name=f"no interrupt minded in a session, in {language}",
        language=language,
        session=(":" if language == "bash" else "1",),
        program=program,
        timeout=0.3,
        expect=Expect(status=("timeout",), exit_code=124),
        control=Control(Where.SHOWN, why="it does not end by itself"),
        heavy=True,
    )
    for language, program in _ENDLESS.items()
]

PROBES = (*_FORGED, *_CHILDREN, *_INTERRUPTED)
