"""Programs that take all of something. What they take is their own share; a run beside them
has all of its own, and when they have ended it is all there again."""

from __future__ import annotations

from sandboxd_client import Limits
from tests.attack.probe import C, Control, Expect, Probe, Where

_ENDED = ("timeout", "error", "oom")


def _bomb(name: str, what: str, expect: Expect, fits: int) -> Probe:
    return Probe(
        name=name,
        language=C,
        program="bombs",
        args=(what,),
        timeout=15.0,
        expect=expect,
        control=Control(Where.MILDER, "fits\n", args=(what, str(fits))),
    )


OOM = Expect(status=("oom",), exit_code=137, signal=9)

_BOMBS = [
    Probe(
        name="a fork bomb in C",
        language=C,
        program="bombs",
        args=("splitting",),
        timeout=1.0,
        heavy=True,
        expect=Expect(status=("timeout",), exit_code=124),
        control=Control(Where.SHOWN, why="it does not end by itself"),
    ),
    _bomb("processes without end", "processes", Expect(says="EAGAIN\n", status=("error",)), 50),
    _bomb("threads without end", "threads", Expect(says="EAGAIN\n", status=("error",)), 50),
    _bomb("memory without end", "heap", OOM, 100),
    _bomb("shared memory without end", "shared", OOM, 100),
    _bomb("files in memory without end", "memfd", OOM, 100),
    _bomb("SysV segments without end", "segments", OOM, 100),
]

_SHELLS = [
    Probe(
        name="a fork bomb in sh",
        language="sh",
        program="bomb() { bomb | bomb & }; bomb; while :; do :; done",
        timeout=1.0,
        expect=Expect(status=_ENDED),
        control=Control(Where.SHOWN, why="it does not end by itself"),
    ),
    Probe(
        name="a fork bomb in JavaScript",
        language="javascript",
        program="""
const { spawn } = require('child_process');
let failed = 0;
const more = () => { for (let i = 0; i < 10; i++) {
  const child = spawn('sleep', ['100'], { stdio: 'ignore' });
  child.on('error', () => { if (!failed++) console.log('refused'); });
} setTimeout(more); };
more();
""",
        timeout=2.0,
        heavy=True,
        expect=Expect(status=_ENDED, says="(refused\n)?"),
        control=Control(Where.SHOWN, why="it does not end by itself"),
    ),
    Probe(
        name="a bomb of workers",
        language="javascript",
        program="""
const { Worker } = require('worker_threads');
for (;;) new Worker('for (;;);', { eval: true });
""",
        timeout=5.0,
        expect=Expect(status=("error", "oom", "timeout")),
        control=Control(Where.SHOWN, why="it does not end by itself"),
        heavy=True,
    ),
    Probe(
        name="an exec bomb",
        language="bash",
        program='exec bash "$0"',
        timeout=0.5,
        expect=Expect(status=("timeout",), exit_code=124),
        control=Control(Where.SHOWN, why="it does not end by itself"),
    ),
    Probe(
        name="a full tmpfs in a shell",
        language="bash",
        program="""
for folder in /tmp /dev/shm /sandbox; do head -c 1G /dev/zero > "$folder/big"; done
echo "$(stat -f -c '%a' /tmp) left"
""",
        expect=Expect(says="0 left\n", check=lambda got: _says(got.stderr, b"No space left", 3)),
        control=Control(Where.SHOWN, why="the kernel says that there is no room"),
    ),
    Probe(
        name="files without end",
        language="python",
        program="""
import os, sys
most = int(sys.argv[1])
for n in range(most):
    try:
        os.close(os.open(f"/tmp/{n}", os.O_CREAT))
    except OSError as error:
        print(error.strerror)
        break
else:
    print("fits")
""",
        args=("1000000",),
        expect=Expect(says="No space left on device\n"),
        control=Control(Where.MILDER, "fits\n", args=("1000",)),
    ),
    Probe(
        name="a tree that is all depth",
        language="python",
        program="""
import os
depth = 0
try:
    while True:
        os.mkdir("d"); os.chdir("d"); depth += 1
except OSError as error:
    print(depth > 50_000, error.strerror)
""",
        expect=Expect(says="True No space left on device\n"),
        control=Control(Where.SHOWN, why="it counts how deep it got"),
    ),
    Probe(
        name="descriptors without end",
        language="python",
        program="""
import os
kept = []
try:
    while True:
        kept.append(os.dup(0))
except OSError as error:
    print(len(kept) > 1000, error.strerror)
""",
        expect=Expect(says="True Too many open files\n"),
        control=Control(Where.SHOWN, why="it counts how many it got"),
    ),
]

_MEMORY_LIMIT = [
    Probe(
        name="memory past a smaller limit",
        language=C,
        program="bombs",
        args=("heap", "200"),
        options={"limits": Limits(memory="64MiB", timeout=15.0)},
        heavy=True,
        expect=OOM,
        control=Control(Where.MILDER, "fits\n", args=("heap", "20")),
    )
]


def _says(text: bytes, words: bytes, times: int) -> None:
    assert text.count(words) == times, text


PROBES = (*_BOMBS, *_SHELLS, *_MEMORY_LIMIT)
