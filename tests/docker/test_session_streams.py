"""Each run of a session has standard streams of its own: its stdin, and its output alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd_client import (
    AsyncClient,
    Client,
    Limits,
    Output,
    RunResult,
    Session,
    State,
)
from tests.docker.test_sessions import DRIVEN
from tests.support.daemon import RunningDaemon

SANDBOX = Path(sys.executable).with_name("sandbox")


@pytest.fixture
def python(client: Client) -> Iterator[Session]:
    with client.session("python") as session:
        yield session


# --- output after a run's end ---

# It speaks when the later run says so, which waits for its end.
LATE = "echo own; mkfifo go; { read x <go; echo late; echo late >&2; } & wait"
LEAVES = {
    "python": "import subprocess; p = subprocess.Popen({late!r}, shell=True)",
    "javascript": "const p = require('child_process').spawn('sh', ['-c', {late!r}], "
    "{{stdio: 'inherit'}})",
    "ruby": "$p = spawn({late!r})",
    "bash": "{{ eval {late!r}; }} &",
}
UNTIL = {
    "python": "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)",
    "javascript": "while (!require('fs').existsSync('go')) await new Promise(setTimeout)",
    "ruby": "sleep 0.01 until File.exist?('go')",
    "bash": "until [ -p go ]; do :; done",
}
WAKES = {
    "python": "open('go', 'w').write('x\\n'); print(p.wait())",
    "javascript": (
        "require('fs').writeFileSync('go', 'x\\n');"
        "await new Promise((done) => p.on('exit', done)); console.log(0)"
    ),
    "ruby": "File.write('go', \"x\\n\"); Process.wait($p); puts 0",
    "bash": "echo x >go; wait; echo 0",
}


@pytest.mark.parametrize("language", DRIVEN)
def test_what_a_process_prints_after_its_run_is_in_no_later_output(
    client: Client, language: str
) -> None:
    with client.session(language) as session:
        begun = session.run(LEAVES[language].format(late=LATE) + "\n" + UNTIL[language])
        assert (begun.stdout, begun.stderr) == ("own\n", "")
        later = session.run(WAKES[language])
        assert (later.stdout, later.stderr) == ("0\n", "")


def test_what_goes_on_printing_shows_in_no_later_output_and_is_not_held_up(
    client: Client,
) -> None:
    with client.session("bash") as session:
        result = session.run("while :; do echo noise; done & echo $! > pid; echo mine")
        assert result.state is State.KEPT
        assert "mine\n" in str(result.stdout)
        assert session.run("kill -0 $(cat pid) && echo quiet").stdout == "quiet\n"
        session.run("kill $(cat pid); wait")


def test_a_thread_prints_into_its_own_run_and_into_no_later_one(python: Session) -> None:
    code = """
import sys, threading
go, said = threading.Event(), threading.Event()
def speak():
    print("own", flush=True)
    begun.set(); go.wait()
    print("late", end=""); print("late", file=sys.stderr); sys.stdout.buffer.write(b"late")
    sys.stdout.flush(); open("said", "w").write("late"); said.set()
begun = threading.Event()
threading.Thread(target=speak).start(); begun.wait()
"""
    assert python.run(code).stdout == "own\n"
    later = python.run("print('mine', end=''); go.set(); said.wait(); open('said').read()")
    assert (later.stdout, later.stderr, later.value) == ("mine", "", "'late'")


def test_a_timer_and_a_task_print_into_no_later_run(python: Session) -> None:
    code = """
import asyncio, threading
timed = threading.Event()
threading.Timer(0.01, lambda: (print("late"), timed.set())).start()
async def speak():
    await asyncio.sleep(0)
    print("late")
    return 7
task = asyncio.create_task(speak())
print("own")"""
    assert python.run(code).stdout == "own\n"
    later = python.run("timed.wait()\nawait task")
    assert (later.stdout, later.value) == ("", "7")


def test_a_pool_prints_for_the_run_that_gives_it_work(python: Session) -> None:
    pool = "from concurrent.futures import ThreadPoolExecutor as Pool; pool = Pool(1)"
    assert python.run(f"{pool}\nlist(pool.map(print, 'a'));").stdout == "a\n"
    assert python.run("list(pool.map(print, 'b'));").stdout == "b\n"
    for said in ("c", "d"):
        result = python.run(f"import asyncio; await asyncio.to_thread(print, {said!r})")
        assert result.stdout == f"{said}\n"


@pytest.mark.parametrize("code", ["exec echo whole", "echo whole; kill -9 $$"])
def test_what_is_printed_as_its_interpreter_ends_is_in_the_result(
    client: Client, code: str
) -> None:
    with client.session("bash") as session:
        assert {session.run(code).stdout for _ in range(40)} == {"whole\n"}


CLOSES = {
    "python": "import os; os.close(1); os.close(2)",
    "javascript": "fs = require('fs'); fs.closeSync(1); fs.closeSync(2)",
    "ruby": "$stdout.close; $stderr.close",
    "bash": "exec 1>&- 2>&-",
}
PRINTS = {
    "python": "import os; print('one'); os.system('echo two >&2')",
    "javascript": "console.log('one'); console.error('two')",
    "ruby": "puts 'one'; warn 'two'",
    "bash": "echo one; echo two >&2",
}


@pytest.mark.parametrize("language", DRIVEN)
def test_a_run_that_closes_its_streams_leaves_the_next_one_its_own(
    client: Client, language: str
) -> None:
    with client.session(language) as session:
        session.run(CLOSES[language])
        for _ in range(2):
            then = session.run(PRINTS[language])
            assert (then.stdout, then.stderr, then.status) == ("one\n", "two\n", "ok")


def test_text_without_a_newline_comes_at_the_end_and_before_stdin_is_read(
    python: Session,
) -> None:
    assert python.run("print('whole', end='')").stdout == "whole"
    code = "import sys; print('word? ', end=''); print(sys.stdin.readline(), end='')"
    with python.stream(code, stdin=()) as run:
        for event in run:
            if isinstance(event, Output) and event.data == b"word? ":
                run.send_stdin(b"answer\n")
                run.end_stdin()
    assert run.result.stdout == "word? answer\n"


BLIND = {
    "python": "import os; os.chmod('.', 0)",
    "javascript": "require('fs').chmodSync('.', 0)",
    "ruby": "File.chmod(0, '.')",
}
SAYS = {"javascript": "console.log(1)", "python": "print(1)", "ruby": "puts 1"}


@pytest.mark.parametrize("language", BLIND)
def test_where_a_run_can_have_none_of_its_own_it_has_the_last(
    client: Client, language: str
) -> None:
    with client.session(language) as session:
        assert session.run(BLIND[language]).state is State.KEPT
        for _ in range(2):
            result = session.run(SAYS[language])
            assert (result.stdout, result.state) == ("1\n", State.KEPT)


def test_a_program_that_has_used_up_its_descriptors_prints(python: Session) -> None:
    full = python.run("import os\nwhile True: os.open('/dev/null', 0)")
    assert "Too many open files" in str(full.stderr)
    assert python.run("print(1)").stdout == "1\n"


# --- stdin as it comes ---

ASKS = {
    "python": "n = input('n? ')\nprint(n * 2)",
    "javascript": (
        "process.stdout.write('n? ');"
        "for await (const line of require('readline').createInterface({input: process.stdin}))"
        " { console.log(line + line); break }"
    ),
    "ruby": "print 'n? '; n = STDIN.gets.chomp; puts n * 2",
    "bash": "printf 'n? '; read n; echo $n$n",
}


def answer(session: Session, code: str) -> RunResult:
    with session.stream(code, stdin=()) as run:
        for event in run:
            if isinstance(event, Output) and event.data == b"n? ":
                run.send_stdin(b"21\nmore that nobody reads\n")
    return run.result


@pytest.mark.parametrize("language", DRIVEN)
def test_a_program_asks_and_the_client_answers(client: Client, language: str) -> None:
    with client.session(language) as session:
        for _ in range(3):
            result = answer(session, ASKS[language])
            assert (result.stdout, result.stderr, result.state) == ("n? 2121\n", "", State.KEPT)


async def test_it_goes_in_as_the_program_takes_it_and_ends(aclient: AsyncClient) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(30)]
    code = "import sys, time; print(len(sys.stdin.buffer.read()))"
    async with aclient.session("python") as session:
        for _ in range(2):
            assert (await session.run(code, stdin=pieces)).stdout == "3000000\n"
        async with session.stream(code, stdin=()) as run:
            await run.send_stdin(b"12345")
            await run.end_stdin()
            async for _ in run:
                pass
        assert run.result.stdout == "5\n"


def test_a_run_that_does_not_read_it_ends_all_the_same(python: Session) -> None:
    assert python.run("1", stdin=[b"x" * 65536] * 40).value == "1"
    assert python.run("input()", stdin="new").value == "'new'"
    assert "EOFError" in str(python.run("input()").stderr)


def test_waiting_for_stdin_is_interrupted_like_anything_else(python: Session) -> None:
    with python.stream("x = 1; input('? ')", stdin=(), limits=Limits(timeout=0.5)) as run:
        for _ in run:
            pass
    assert (run.result.status, run.result.state) == ("timeout", State.KEPT)
    assert python.run("x").value == "1"


def test_a_session_that_keeps_files_alone_asks_too(client: Client) -> None:
    code = "local n = io.read('l'); print(n .. n)"
    with client.session("lua") as session:
        assert session.run(code, stdin=[b"ab\n"]).stdout == "abab\n"


def test_the_command_line_passes_it_on_as_it_comes(daemon: RunningDaemon) -> None:
    with daemon.client() as client, client.session("python") as session:
        within = (SANDBOX, "run", "--socket", daemon.socket, "--session", session.id)
        process = subprocess.Popen(
            [*within, "python", "-c", "print(input('n? ') * 2)"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            assert process.stdout.read(3) == b"n? "
            process.stdin.write(b"ab\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"abab\n"
            assert process.wait(60) == 0
