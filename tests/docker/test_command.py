"""`sandbox run` with real programs: as if they ran here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxd_client.protocol import MAX_LINE
from tests.support.daemon import RunningDaemon
from tests.support.terminal import terminal

SANDBOX = Path(sys.executable).with_name("sandbox")


def command(daemon: RunningDaemon, *arguments: str) -> list[str]:
    return [str(SANDBOX), "run", "--socket", str(daemon.socket), *arguments]


def test_a_pipe_gets_all_that_is_printed(daemon: RunningDaemon) -> None:
    code = "head -c 3000000 /dev/zero | tr '\\0' a; echo end >&2"
    ran = subprocess.run(command(daemon, "bash", "-c", code), capture_output=True, check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"a" * 3_000_000, b"end\n", 0)


# As each would be without the sandbox: its bytes are its own.
LATIN = {
    "python": ("# -*- coding: latin-1 -*-\nprint(ascii('é'))", b"'\\xe9'\n"),
    "ruby": ("# encoding: iso-8859-1\nputs 'é'.encode('utf-8').inspect", '"é"\n'.encode()),
    "bash": ("printf é | od -An -tx1", b" e9\n"),
    "sh": ("printf é | od -An -tx1", b" e9\n"),
    "javascript": ("console.log('é'.codePointAt(0).toString(16))", b"fffd\n"),
}


@pytest.mark.parametrize("language", LATIN)
def test_a_program_need_not_be_utf_8(daemon: RunningDaemon, tmp_path: Path, language: str) -> None:
    code, printed = LATIN[language]
    (tmp_path / "program").write_bytes(code.encode("latin-1"))
    for way in ([str(tmp_path / "program")], ["-c", os.fsdecode(code.encode("latin-1"))]):
        ran = subprocess.run(
            command(daemon, "-n", language, *way), capture_output=True, check=False
        )
        assert (ran.stdout, ran.stderr, ran.returncode) == (printed, b"", 0)


@pytest.mark.parametrize("code", ["print('é')", "print(1)\n# é", "(\nx y\n'é", "def f(:\né"])
def test_in_pythons_own_words_a_program_that_is_not_utf_8_is_none(
    daemon: RunningDaemon, code: str
) -> None:
    ran = subprocess.run(
        command(daemon, "python", "-"),
        input=code.encode("latin-1"),
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.decode() == (
        "SyntaxError: Non-UTF-8 code starting with '\\xe9' in file /sandbox/main.py on line "
        f"{len(code.splitlines())}, but no encoding declared; "
        "see https://peps.python.org/pep-0263/ for details\n"
    )


def test_in_gos_own_words_a_program_that_is_not_utf_8_is_none(daemon: RunningDaemon) -> None:
    code = b'package main\nfunc main() { println("\xe9") }'
    ran = subprocess.run(command(daemon, "go", "-"), input=code, capture_output=True, check=False)
    assert ran.returncode == 1
    assert b"main.go:2" in ran.stderr
    assert b"invalid UTF-8" in ran.stderr


def test_in_a_session_with_state_a_program_is_utf_8(daemon: RunningDaemon) -> None:
    with daemon.client() as client, client.session("python") as session:
        ran = subprocess.run(
            command(daemon, "--session", session.id, "python", "-"),
            input=b"print('\xe9')",
            capture_output=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (125, b"")
        assert b"it is not UTF-8" in ran.stderr
        assert session.run("print(1)").stdout == "1\n"


@pytest.mark.parametrize("language", ["python", "bash"])
def test_a_program_may_be_longer_than_a_line(daemon: RunningDaemon, language: str) -> None:
    code = (b"#" * 79 + b"\n") * 250_000
    code += {"python": b"print('end')", "bash": b"echo end"}[language]
    assert len(code) > MAX_LINE
    ran = subprocess.run(
        command(daemon, language, "-"), input=code, capture_output=True, check=False
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"end\n", b"", 0)


def test_a_program_that_has_no_room_is_told_so(daemon: RunningDaemon) -> None:
    ran = subprocess.run(
        command(daemon, "--tmp", "1MiB", "bash", "-"),
        input=b"#" * 2_000_000,
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (125, b"")
    assert b"main.sh: No space left on device; limits.tmp, which is 1048576" in ran.stderr


def test_what_nobody_asked_for_is_told_in_a_session_and_no_failure(daemon: RunningDaemon) -> None:
    """Where a session has no state, all of its files are taken back after each run."""
    with daemon.client() as client, client.session("sh") as session:
        options = ["-n", "--session", session.id, "sh", "-c", "ln -s /etc/passwd link"]
        for asked, exit_code in (([], 0), (["-o", "*"], 0), (["-o", "link"], 123)):
            ran = subprocess.run(
                command(daemon, *asked, *options), capture_output=True, check=False
            )
            assert b"link did not come back: a symbolic link" in ran.stderr
            assert ran.returncode == exit_code


def test_what_a_pattern_meets_and_cannot_bring_is_told_and_no_failure(
    daemon: RunningDaemon, tmp_path: Path
) -> None:
    code = (
        "import os, socket; os.mkdir('d'); open('d/x.txt', 'w').write('x')\n"
        "os.symlink('x.txt', 'd/link'); os.mkfifo('d/pipe')\n"
        "socket.socket(socket.AF_UNIX).bind('d/socket')"
    )
    for asked, exit_code in {
        "**": 0,
        "d/*": 0,
        "d/x.txt": 0,
        "d/x.txt/": 0,
        "/sandbox/d/x.txt": 0,
        "/sandbox/d/*": 0,
        "d/pipe": 123,
        "/sandbox/d/socket": 123,
        "d": 123,  # all of it
        "d/none": 123,
    }.items():
        into = tmp_path / asked.replace("/", "-")
        options = ["-n", "-o", asked, "--into", str(into), "python", "-c", code]
        ran = subprocess.run(command(daemon, *options), capture_output=True, check=False)
        assert ran.returncode == exit_code, (asked, ran.stderr)
        assert (b"did not come back" in ran.stderr) == ("x.txt" not in asked)
        if exit_code == 0 or asked == "d":
            assert [path.name for path in into.rglob("*.txt")] == ["x.txt"]


def test_many_files_that_do_not_come_back_are_told_in_a_line(
    daemon: RunningDaemon, tmp_path: Path
) -> None:
    options = ["-n", "-o", "**", "--into", str(tmp_path), "bash", "-c", "touch {1000..2499}"]
    ran = subprocess.run(command(daemon, *options), capture_output=True, check=False)
    assert ran.stderr == (
        b"sandbox: 500 files, such as 2000, 2001, 2002, did not come back: "
        b"too many files: [limits] files is 1000\n"
    )
    assert (ran.returncode, len([*tmp_path.iterdir()])) == (0, 1000)


def test_a_reader_that_leaves_ends_a_program_that_never_would(daemon: RunningDaemon) -> None:
    line = '"$@" | head -1; echo "${PIPESTATUS[@]}"'
    ran = subprocess.run(
        ["bash", "-c", line, "bash", *command(daemon, "bash", "-c", "yes")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("y\n141 0\n", "")


INTERRUPTED = {
    "python": "import time\ntry:\n    print('up')\n    time.sleep(60)\n"
    "except KeyboardInterrupt:\n    print('cleaned')\n    raise SystemExit(7)",
    "bash": "trap 'echo cleaned; exit 7' INT; echo up; sleep 60 & wait",
    "javascript": "process.on('SIGINT', () => { console.log('cleaned'); process.exit(7) });"
    "console.log('up'); setTimeout(() => {}, 60000)",
    "ruby": "trap('INT') { puts 'cleaned'; exit 7 }; puts 'up'; sleep",
}


@pytest.mark.parametrize("language", INTERRUPTED)
def test_ctrl_c_is_the_programs_to_handle(daemon: RunningDaemon, language: str) -> None:
    process = subprocess.Popen(
        command(daemon, language, "-c", INTERRUPTED[language]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b"cleaned\n"
        assert process.wait() == 7


WAITING = {
    "bash": "echo up; sleep 60",
    "go": 'package main\nimport ("fmt"; "time")\nfunc main() { fmt.Println("up"); '
    "time.Sleep(time.Minute) }",
    "javascript": "console.log('up'); setTimeout(() => {}, 6e4)",
    "python": "import time; print('up'); time.sleep(60)",
    "ruby": "puts 'up'; sleep",
    "sh": "echo up; sleep 60",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("language", WAITING)
def test_a_signal_ends_a_program_that_does_not_handle_it(
    daemon: RunningDaemon, language: str, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        command(daemon, language, "-c", WAITING[language]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        assert process.wait() == 128 + number


@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_a_signal_is_the_programs_to_handle(daemon: RunningDaemon, name: str) -> None:
    code = f"trap 'echo cleaned; exit 7' {name}; echo up; sleep 60 & wait"
    process = subprocess.Popen(
        command(daemon, "bash", "-c", code), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.stdout.read() == b"cleaned\n"
        assert process.wait() == 7


ASK_IN_JAVASCRIPT = (
    "process.stdout.write('na' + 'me? ');"
    " const name = await new Promise((told) => process.stdin.once('data', told))"
)
ASKING = {
    "python": ("name = input('na' + 'me? ')", "print('hel' + 'lo', name)"),
    "ruby": ("print 'na' + 'me? '; name = gets.chomp", "puts 'hel' + 'lo ' + name"),
    "bash": ("printf 'na''me? '; read name", "echo 'hel''lo' $name"),
    "javascript": (ASK_IN_JAVASCRIPT, "console.log('hel' + 'lo', String(name))"),
}


@pytest.mark.parametrize("language", ASKING)
def test_a_session_at_a_terminal_asks_there(
    daemon: RunningDaemon, tmp_path: Path, language: str
) -> None:
    ask, answer = (f"{line}\n".encode() for line in ASKING[language])
    repl = [str(SANDBOX), "repl", "--socket", str(daemon.socket), language]
    with terminal(repl, environment={"XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"}) as shown:
        shown.wait_for(b"> ")
        shown.type(ask)
        shown.wait_for(b"name? ")
        shown.type(b"bob\n")
        shown.wait_for(b"> ")
        shown.type(answer)
        shown.wait_for(b"hello bob")
        shown.wait_for(b"> ")
        shown.type(b"exit\n")
        assert shown.end() == 0


# Each stops reading after a line, by another way that Node has.
STOPPING = {
    "question": """
        const rl = require('readline').createInterface({ input: process.stdin });
        rl.question('', (line) => { console.log(`hello ${line}`); rl.close(); });
    """,
    "line": """
        const rl = require('readline').createInterface({ input: process.stdin });
        rl.on('line', (line) => { console.log(`hello ${line}`); rl.close(); });
    """,
    "data": """
        process.stdin.once('data', (data) => {
            console.log(`hello ${data}`);
            process.stdin.pause();
        });
    """,
}


@pytest.mark.parametrize("way", STOPPING)
@pytest.mark.parametrize("language", ["javascript", "typescript"])
def test_a_program_that_stops_reading_ends_though_somebody_might_type(
    daemon: RunningDaemon, language: str, way: str
) -> None:
    with terminal(command(daemon, language, "-c", STOPPING[way])) as shown:
        shown.type(b"bob\n")
        shown.wait_for(b"hello bob")
        assert shown.end() == 0


READING_ON = """
const readline = require('readline');
const ask = (text) => new Promise((resolve) => {
    const rl = readline.createInterface({ input: process.stdin, output: process.stdout });
    rl.question(text, (line) => { rl.close(); resolve(line); });
});
(async () => {
    console.log(`hello ${await ask('name? ')}`);
    console.log(`you are ${await ask('age? ')}`);
    process.stdout.write('and? ');
    for await (const data of process.stdin) {
        console.log(`also ${data}`);
        break;
    }
})();
"""


@pytest.mark.parametrize("language", ["javascript", "typescript"])
def test_a_program_that_reads_on_after_a_pause_is_waited_for(
    daemon: RunningDaemon, language: str
) -> None:
    with terminal(command(daemon, language, "-c", READING_ON)) as shown:
        for asked, typed, told in (
            (b"name? ", b"bob\n", b"hello bob"),
            (b"age? ", b"36\n", b"you are 36"),
            (b"and? ", b"this\n", b"also this"),
        ):
            shown.wait_for(asked)
            shown.type(typed)
            shown.wait_for(told)
        assert shown.end() == 0


def test_a_prompt_is_seen_before_it_is_answered(daemon: RunningDaemon) -> None:
    """Over a pipe, where nothing but what the program printed comes back."""
    code = "name = input('name? ')\nprint('hello', name)"
    process = subprocess.Popen(
        command(daemon, "python", "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(6) == b"name? "
        process.stdin.write(b"bob\n")
        process.stdin.flush()
        assert process.stdout.read() == b"hello bob\n"
        assert process.wait() == 0
