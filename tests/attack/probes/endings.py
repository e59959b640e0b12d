"""Ways to end that are hard to see, and ways not to end."""

from __future__ import annotations

from tests.attack.probe import C, Control, Expect, Probe, Where

_TIMEOUT = ("timeout",)
_OWN_STATUS = 5
"""With which those in c/endings.c end that do."""


def _ends(
    name: str,
    how: str,
    expect: Expect,
    why: str,
    *args: str,
    timeout: float = 10.0,
    heavy: bool = False,
) -> Probe:
    return Probe(
        name=name,
        language=C,
        program="endings",
        args=(how, *args),
        timeout=timeout,
        heavy=heavy,
        expect=expect,
        control=Control(Where.SHOWN, why=why),
    )


_error = Expect(status=("error",), exit_code=_OWN_STATUS)

_C = [
    _ends(
        "every signal ignored in C",
        "ignore",
        Expect(says="ignored\n", status=_TIMEOUT, exit_code=124),
        "it has sent itself all of them before",
        timeout=0.3,
    ),
    _ends(
        "stopped in C",
        "stop",
        Expect(says="before\n", status=_TIMEOUT, exit_code=124),
        "it says nothing after",
        timeout=0.3,
    ),
    _ends(
        "a parent that waits in the kernel",
        "vfork",
        Expect(says="before\n", status=_TIMEOUT, exit_code=124),
        "it says nothing after",
        "10",
        timeout=0.3,
    ),
    _ends(
        "killing all that it can see in C",
        "kill-all",
        Expect(says="alone\n", status=("error",), exit_code=_OWN_STATUS),
        "its own child is gone",
        "9",
    ),
    _ends(
        "stopping all that it can see in C",
        "kill-all",
        Expect(status=_TIMEOUT, exit_code=124),
        "it waits for its stopped child",
        "19",
        timeout=0.3,
    ),
    _ends(
        "signals to the init",
        "kill-init",
        Expect(says="sent\n", status=("error",), exit_code=_OWN_STATUS),
        "it says that it has sent them all",
    ),
    _ends(
        "descriptors closed in C",
        "close",
        Expect(says="", status=("error",), exit_code=_OWN_STATUS),
        "it counts on for a while, and ends with its own status",
        "50000000",
    ),
    _ends(
        "a daemonised child that holds the pipes, in C",
        "daemonise",
        Expect(says="parent\n", status=("error",), exit_code=_OWN_STATUS),
        "without an end to it, stdout would not end",
        "100",
    ),
    _ends(
        "late output after exit",
        "late",
        Expect(says="early\n(late\n)*(l|la|lat|late)?", status=("error",), exit_code=_OWN_STATUS),
        "its child writes without end once it is gone",
    ),
    _ends("gone with its children busy", "burn", _error, "its children never end"),
    _ends("a thousand orphans", "orphans", _error, "it has waited for a thousand", heavy=True),
]

_SCRIPTS = [
    Probe(
        name="killing its parent in Bash",
        language="bash",
        program="kill -9 $PPID; kill -9 1; kill -9 0; echo not reached",
        expect=Expect(says="", status=("error",), exit_code=137, signal=9),
        control=Control(Where.SHOWN, why="the last of these ended itself"),
    ),
    Probe(
        name="killing its group and session in JavaScript",
        language="javascript",
        program="""
for (const pid of [-1, 1]) try { process.kill(pid, 'SIGKILL'); } catch {}
console.log('alone');
process.kill(0, 'SIGKILL');
""",
        expect=Expect(says="alone\n", status=("error",), exit_code=137, signal=9),
        control=Control(Where.SHOWN, why="the last of these ended itself"),
    ),
    Probe(
        name="termination ignored in Bash",
        language="bash",
        program="trap '' TERM INT HUP QUIT; kill $$; echo ignored; while :; do :; done",
        timeout=0.3,
        expect=Expect(says="ignored\n", status=_TIMEOUT, exit_code=124),
        control=Control(Where.SHOWN, why="it has sent it to itself before"),
    ),
    Probe(
        name="termination ignored in JavaScript",
        language="javascript",
        program="""
process.on('SIGTERM', () => console.log('ignored'));
process.kill(process.pid, 'SIGTERM');
setInterval(() => {}, 1000);
""",
        timeout=0.5,
        expect=Expect(says="ignored\n", status=_TIMEOUT, exit_code=124),
        control=Control(Where.SHOWN, why="it has sent it to itself before"),
    ),
    Probe(
        name="termination ignored in Ruby",
        language="ruby",
        program="""
trap("TERM", "IGNORE")
Process.kill("TERM", $$)
$stdout.syswrite("ignored\\n")
loop {}
""",
        timeout=0.3,
        expect=Expect(says="ignored\n", status=_TIMEOUT, exit_code=124),
        control=Control(Where.SHOWN, why="it has sent it to itself before"),
    ),
    Probe(
        name="stopped in Bash",
        language="bash",
        program="echo before; kill -STOP $$; echo after",
        timeout=0.3,
        expect=Expect(says="before\n", status=_TIMEOUT, exit_code=124),
        control=Control(Where.SHOWN, why="it says nothing after"),
    ),
    Probe(
        name="a daemonised child that holds the pipes, in Bash",
        language="bash",
        program="echo parent; setsid sleep 1000 & disown -a; exit 4",
        expect=Expect(says="parent\n", status=("error",), exit_code=4),
        control=Control(Where.SHOWN, why="without an end to it, stdout would not end"),
    ),
    Probe(
        name="a daemonised child that holds the pipes, in JavaScript",
        language="javascript",
        program="""
console.log('parent');
require('child_process').spawn('sleep', ['1000'], { detached: true, stdio: 'inherit' }).unref();
process.exitCode = 4;
""",
        expect=Expect(says="parent\n", status=("error",), exit_code=4),
        control=Control(Where.SHOWN, why="without an end to it, stdout would not end"),
    ),
    Probe(
        name="descriptors closed in JavaScript",
        language="javascript",
        program="""
const fs = require('fs');
for (const fd of [0, 1, 2]) fs.closeSync(fd);
let sum = 0;
for (let i = 0; i < 1e6; i++) sum += i;
process.exit(9);
""",
        expect=Expect(says="", status=("error",), exit_code=9),
        control=Control(Where.SHOWN, why="it counts on, and ends with its own status"),
    ),
    Probe(
        name="signals to the init without end",
        language="bash",
        program="""
for _ in {1..30}; do (while :; do kill -CHLD 1; done) & done
for _ in {1..2000}; do :; done
exit 7
""",
        expect=Expect(says="", status=("error",), exit_code=7),
        control=Control(Where.SHOWN, why="its children never end"),
    ),
    Probe(
        name="crashes without end",
        language="python",
        program="""
import os
for _ in range(100):
    if (child := os.fork()) == 0: os.abort()
    assert os.waitpid(child, 0)[1] & 0x7F == 6
print("end", os.path.exists("core"))
""",
        expect=Expect(says="end False\n"),
        control=Control(Where.SHOWN, why="it has seen each of them"),
    ),
    Probe(
        name="a guest within",
        language="bash",
        program="""
sleep 0.1 | /sandboxd/guest --code-name x --tmp-bytes 4096 --tmp-inodes 9 -- true 2>&1 |
    tr -c '[:print:]' '\\n' | grep '^namespaces='
echo end
""",
        # Without namespaces to end it ends all that it can see, which is this program.
        expect=Expect(says="(namespaces=0\n)?(end\n)?", status=("ok", "error")),
        control=Control(Where.SHOWN, why="it is the guest, and comes to no namespace"),
    ),
]

# What it does, and what must be told of that.
_STATUSES = {
    "exit 0": (("exit", "0"), Expect(status=("ok",), exit_code=0)),
    "exit 124, as after a timeout": (("exit", "124"), Expect(status=("error",), exit_code=124)),
    "exit 137, as after a kill": (("exit", "137"), Expect(status=("error",), exit_code=137)),
    "exit 256": (("exit", "256"), Expect(status=("ok",), exit_code=0)),
    "exit 259": (("exit", "259"), Expect(status=("error",), exit_code=3)),
    "exit -1": (("exit", "-1"), Expect(status=("error",), exit_code=255)),
    "SIGKILL": (("raise", "9"), Expect(status=("error",), exit_code=137, signal=9)),
    "SIGTERM": (("raise", "15"), Expect(status=("error",), exit_code=143, signal=15)),
    "SIGABRT": (("raise", "6"), Expect(status=("error",), exit_code=134, signal=6)),
    "SIGSEGV": (("raise", "11"), Expect(status=("error",), exit_code=139, signal=11)),
    "SIGXCPU": (("raise", "24"), Expect(status=("error",), exit_code=152, signal=24)),
    "SIGSYS": (("raise", "31"), Expect(status=("error",), exit_code=159, signal=31)),
    "a real-time signal": (("raise", "64"), Expect(status=("error",), exit_code=192, signal=64)),
}

_LIES = [
    Probe(
        name=f"an exit status that lies: {name}",
        language=C,
        program="endings",
        args=args,
        heavy=name not in ("exit 124, as after a timeout", "exit 259", "SIGKILL", "SIGSYS"),
        expect=expect,
        control=Control(Where.SHOWN, why="the status is the program's own, and no more"),
    )
    for name, (args, expect) in _STATUSES.items()
]

_LIES_IN = {
    "javascript": "process.exit(124)",
    "ruby": "exit!(124)",
    "sh": "exit 124",
    "python": "import os; os._exit(124)",
}

_MORE_LIES = [
    Probe(
        name=f"an exit status that lies, in {language}",
        language=language,
        program=program,
        expect=Expect(status=("error",), exit_code=124),
        control=Control(Where.SHOWN, why="the status is the program's own, and no more"),
    )
    for language, program in _LIES_IN.items()
]

PROBES = (*_C, *_SCRIPTS, *_LIES, *_MORE_LIES)
