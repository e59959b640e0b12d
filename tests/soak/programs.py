"""The programs, in all standard languages: what each is given, and how it must end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from sandboxd_client import Limits, RunResult
from sandboxd_client._wire import RunOptions
from sandboxd_client.protocol import from_blob

LANGUAGES = ("bash", "go", "javascript", "python", "ruby", "sh")
_LINE = "x" * 63 + "\n"
_LINES = 65536
_CHUNK = 64 * 1024
_PATIENT = 30.0
"""Seconds for what ends by itself: a compiler on a busy machine is slow."""


class Program(NamedTuple):
    language: str
    kind: str
    code: str
    options: RunOptions
    statuses: tuple[str, ...] = ("ok",)
    stdout: str | None = None
    """None where it may be anything."""
    files: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    """What comes back."""

    def fault(self, result: RunResult) -> str | None:
        """What is wrong with the result, if anything is."""
        if result.status not in self.statuses:
            said = "" if result.stderr is None else from_blob(result.stderr)[-300:].decode()
            return f"{result.status} (exit {result.exit_code}), not {self.statuses}: {said}"
        if self.stdout is not None and result.stdout != self.stdout:
            return f"stdout is {str(result.stdout)[:80]!r}, not {self.stdout[:80]!r}"
        if self.files != {file.path: file.data for file in result.files}:
            return f"its files are {[file.path for file in result.files]}"
        return None


def choose(random: Random, languages: Sequence[str]) -> Program:
    """Hello half of the time: it is what latency is measured by."""
    language = random.choice(languages)
    return hello(language) if random.random() < 0.5 else random.choice(MAKERS)(language, random)


def every(random: Random, languages: Sequence[str]) -> Iterator[Program]:
    for language in languages:
        yield hello(language)
        for make in MAKERS:
            yield make(language, random)


def hello(language: str) -> Program:
    return Program(language, "hello", _HELLO[language], _limits(), stdout="hello\n")


def _cpu(language: str, random: Random) -> Program:
    most = random.randrange(10_000, 20_000)
    stdout = f"{sum(n % 7 for n in range(most))}\n"
    return Program(language, "cpu", _CPU[language] % most, _limits(), stdout=stdout)


def _output(language: str, random: Random) -> Program:
    count = random.randrange(_LINES // 4, _LINES)
    return Program(
        language,
        "output",
        _OUTPUT[language] % count,
        _limits(output="8MiB"),
        stdout=_LINE * count,
    )


def _files(language: str, random: Random) -> Program:
    text = "".join(random.choices("abcdefgh\n", k=random.randrange(1, 200_000)))
    options: RunOptions = {**_limits(), "files": {"in.txt": text}, "outputs": ["*.out"]}
    files = {"a.out": text.upper()}
    return Program(language, "files", _FILES[language], options, stdout="", files=files)


def _stdin(language: str, random: Random) -> Program:
    count = random.randrange(1, 40)
    stdin = tuple(b"s" * _CHUNK for _ in range(count))
    options: RunOptions = {**_limits(), "stdin": stdin}
    return Program(language, "stdin", _STDIN[language], options, stdout=f"{count * _CHUNK}\n")


def _timeout(language: str, random: Random) -> Program:
    options: RunOptions = {"limits": Limits(timeout=random.uniform(0.1, 1.0))}
    return Program(language, "timeout", _LOOP[language], options, ("timeout",))


def _memory(language: str, _: Random) -> Program:
    """Close to its limit the kernel may look for pages to drop until the time is up."""
    options: RunOptions = {"limits": Limits(memory="256MiB", tmp="64MiB", timeout=_PATIENT)}
    return Program(language, "memory", _MEMORY[language], options, ("oom", "timeout"))


def _bomb(language: str, random: Random) -> Program:
    """At the process limit it may fail, or be killed by what it started."""
    options: RunOptions = {"limits": Limits(timeout=random.uniform(0.5, 1.5), pids=50)}
    return Program(language, "bomb", _BOMB[language], options, ("timeout", "error"))


def _failure(language: str, _: Random) -> Program:
    return Program(language, "failure", _FAILURE[language], _limits(), ("error",), "")


def _broken(language: str, _: Random) -> Program:
    return Program(language, "syntax", _BROKEN[language], _limits(), ("error",), "")


def _limits(output: str = "1MiB") -> RunOptions:
    return {"limits": Limits(timeout=_PATIENT, output=output)}


def _go(body: str, *imports: str) -> str:
    head = "".join(f'import "{name}"\n' for name in imports)
    return f"package main\n{head}func main() {{\n{body}\n}}\n"


_HELLO = {
    "bash": "echo hello",
    "go": _go('fmt.Println("hello")', "fmt"),
    "javascript": "console.log('hello')",
    "python": "print('hello')",
    "ruby": "puts 'hello'",
    "sh": "echo hello",
}
_CPU = {
    "bash": "for ((n = 0; n < %d; n++)); do ((s += n %% 7)); done; echo $s",
    "go": _go("s := 0\nfor n := 0; n < %d; n++ { s += n %% 7 }\nfmt.Println(s)", "fmt"),
    "javascript": "let s = 0; for (let n = 0; n < %d; n++) s += n %% 7; console.log(s)",
    "python": "print(sum(n %% 7 for n in range(%d)))",
    "ruby": "puts (0...%d).sum { |n| n %% 7 }",
    "sh": "n=0 s=0; while [ $n -lt %d ]; do s=$((s + n %% 7)) n=$((n + 1)); done; echo $s",
}
_OUTPUT = {
    "bash": f"yes {_LINE.strip()} | head -n %d",
    "go": _go(
        f'for n := 0; n < %d; n++ {{ fmt.Println("{_LINE.strip()}") }}',
        "fmt",
    ),
    "javascript": f"process.stdout.write('{_LINE.strip()}\\n'.repeat(%d))",
    "python": f"for _ in range(%d): print('{_LINE.strip()}')",
    "ruby": f"%d.times {{ puts '{_LINE.strip()}' }}",
    "sh": f"yes {_LINE.strip()} | head -n %d",
}
_FILES = {
    "bash": "tr a-z A-Z < in.txt > a.out",
    "go": _go(
        'data, _ := os.ReadFile("in.txt")\nos.WriteFile("a.out", bytes.ToUpper(data), 0o600)',
        "os",
        "bytes",
    ),
    "javascript": """
const fs = require('fs'); fs.writeFileSync('a.out', fs.readFileSync('in.txt', 'utf8').toUpperCase())
""",
    "python": "open('a.out', 'w').write(open('in.txt').read().upper())",
    "ruby": "File.write('a.out', File.read('in.txt').upcase)",
    "sh": "tr a-z A-Z < in.txt > a.out",
}
_STDIN = {
    "bash": "wc -c",
    "go": _go(
        "count, _ := io.Copy(io.Discard, os.Stdin)\nfmt.Println(count)",
        "fmt",
        "io",
        "os",
    ),
    "javascript": """
let count = 0
process.stdin.on('data', data => count += data.length).on('end', () => console.log(count))
""",
    "python": "import sys; print(len(sys.stdin.buffer.read()))",
    "ruby": "puts STDIN.read.bytesize",
    "sh": "wc -c",
}
_LOOP = {
    "bash": "while :; do :; done",
    "go": _go("for {}"),
    "javascript": "for (;;);",
    "python": "while True: pass",
    "ruby": "loop {}",
    "sh": "while :; do :; done",
}
_MEMORY = {
    "bash": "x=x; while :; do x=$x$x; done",
    "go": _go(
        "var all [][]byte\nfor {\nx := make([]byte, 1<<24)\n"
        "for i := 0; i < len(x); i += 4096 { x[i] = 1 }\nall = append(all, x)\n}\n"
    ),
    "javascript": "const all = []; for (;;) all.push(Buffer.alloc(1 << 24, 1))",
    "python": "all = []\nwhile True: all.append(b'x' * (1 << 24))",
    "ruby": "all = []; loop { all << 'x' * (1 << 24) }",
    "sh": "x=x; while :; do x=$x$x; done",
}
_BOMB = {
    "bash": "bomb() { bomb | bomb & }; bomb; wait; while :; do :; done",
    "go": _go(
        "for { exec.Command(os.Args[0]).Start() }",
        "os",
        "os/exec",
    ),
    "javascript": """
const { spawn } = require('child_process')
for (;;) spawn('sleep', ['100']).on('error', () => {})
""",
    "python": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "ruby": "loop { begin; fork; rescue SystemCallError; end }",
    "sh": "bomb() { bomb | bomb & }; bomb; wait; while :; do :; done",
}
_FAILURE = {
    "bash": "echo no >&2; exit 3",
    "go": _go('panic("no")'),
    "javascript": "throw new Error('no')",
    "python": "raise ValueError('no')",
    "ruby": "raise 'no'",
    "sh": "echo no >&2; exit 3",
}
_BROKEN = {
    "bash": "if",
    "go": _go("x := "),
    "javascript": "let = = 1",
    "python": "def :",
    "ruby": "def",
    "sh": "if",
}

MAKERS: tuple[Callable[[str, Random], Program], ...] = (
    _cpu,
    _output,
    _files,
    _stdin,
    _timeout,
    _memory,
    _bomb,
    _failure,
    _broken,
)
