"""Sessions on the real engine: what lives on, what an interrupt leaves, and when they end."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd.run.plan import RunRequest
from sandboxd.run.session import SessionRequest
from sandboxd.run.sessions import Sessions
from sandboxd_client import (
    AsyncClient,
    CancelledError,
    Client,
    InvalidParamsError,
    Limits,
    Output,
    RunResult,
    RunStream,
    Session,
    SessionBusyError,
    SessionNotFoundError,
    State,
)
from tests.docker.test_no_namespaces import refuse_namespaces
from tests.support.changed import Nobody, changed_runner
from tests.support.daemon import RunningDaemon, eventually

DRIVEN = ["python", "javascript", "ruby", "bash"]
SHORT = Limits(timeout=0.5)
KEPT, LOST = State.KEPT, State.LOST


@pytest.fixture
def python(client: Client) -> Iterator[Session]:
    with client.session("python") as session:
        yield session


def stdout(result: RunResult) -> str:
    assert isinstance(result.stdout, str)
    return result.stdout


def data(result: RunResult) -> dict[str, bytes]:
    return {file.path: file.content for file in result.files}


# --- what lives on ---

STATE = {
    "python": (
        "import json\nx = 5\ndef f(n): return json.dumps(n + x)\nopen('a', 'w').write('1')",
        "print(f(1), open('a').read())",
    ),
    "javascript": (
        "const fs = require('fs'); const x = 5; const f = (n) => n + x; fs.writeFileSync('a', '1')",
        "console.log(f(1), fs.readFileSync('a', 'utf8'))",
    ),
    "ruby": (
        "require 'json'\nX = 5; y = 1\ndef f(n) = (n + X).to_json\nFile.write('a', '1')",
        "puts f(y) + ' ' + File.read('a')",
    ),
    "bash": ("x=5; f() { echo -n $(($1 + x)); }; echo -n 1 > a", "echo $(f 1) $(cat a)"),
}


@pytest.mark.parametrize("language", DRIVEN)
def test_variables_imports_functions_and_files_live_on(client: Client, language: str) -> None:
    first, second = STATE[language]
    with client.session(language) as session:
        began = session.run(first)
        assert (began.status, began.stderr, began.state) == ("ok", "", KEPT)
        assert session.run(second).stdout == "6 1\n"


def test_elsewhere_files_live_on(client: Client) -> None:
    write = 'package main\nimport "os"\nfunc main() { os.WriteFile("d", []byte("1"), 0644) }'
    show = """
package main
import ("fmt"; "os")
func main() {
    for _, name := range os.Args[1:] { b, _ := os.ReadFile(name); fmt.Print(string(b)) }
}"""
    with client.session("go", files={"a/b": "0"}) as session:
        assert session.run(write).state is KEPT
        session.write_files({"e": "2"})
        result = session.run(show, args=["a/b", "d", "e"], outputs=["*"])
        assert (result.stdout, result.state) == ("012", KEPT)
        assert data(result) == {"d": b"1", "e": b"2"}
        assert [each.path for each in session.list_files()] == ["a/b", "d", "e"]


VALUES = [
    ("python", "x = 3\nx * 2", "6"),
    ("python", "'a' + 'é'", "'aé'"),
    ("python", "x = 1", None),
    ("python", "None", None),
    ("python", "5;", None),
    ("python", "import asyncio\nawait asyncio.sleep(0, 'late')", "'late'"),
    ("python", "_", "'late'"),
    ("javascript", "const a = 1; a", "1"),
    ("javascript", "const a = [2, {b: null}]; a", "[ 2, { b: null } ]"),
    ("javascript", "let b", None),
    ("javascript", "await new Promise((done) => setTimeout(() => done('late'), 1))", "'late'"),
    ("javascript", "10n ** 20n", "100000000000000000000n"),
    ("ruby", "x = 3\nx * 2", "6"),
    ("ruby", "nil", None),
    ("ruby", "[1, 'é']", '[1, "é"]'),
]


@pytest.mark.parametrize("language", ["python", "javascript", "ruby"])
def test_the_value_of_a_last_expression_is_in_the_result(client: Client, language: str) -> None:
    with client.session(language) as session:
        for code, value in [(code, value) for name, code, value in VALUES if name == language]:
            result = session.run(code)
            assert (result.value, result.stderr) == (value, ""), code


def test_a_long_value_is_cut(python: Session) -> None:
    value = python.run("'a' * 200_000").value
    assert value is not None
    assert (len(value), value[-1]) == (100_000, "…")


def test_rich_forms_of_a_value_come_as_files(python: Session) -> None:
    code = """
class Rich:
    def _repr_html_(self): return "<b>é</b>"
    def _repr_png_(self): return b"\\x89PNG"
    def __repr__(self): return "rich"
Rich()"""
    result = python.run(code)
    assert result.value == "rich"
    assert data(result) == {"value.html": "<b>é</b>".encode(), "value.png": b"\x89PNG"}
    assert [each.path for each in python.list_files()] == []
    small = python.run("Rich()", limits=Limits(files_total=8))
    assert data(small) == {"value.png": b"\x89PNG"}
    assert [each.path for each in small.files_skipped] == ["value.html"]


# --- errors ---

PYTHONS = """Traceback (most recent call last):
  File "<cell 2>", line 1, in <module>
    f()
  File "<cell 1>", line 2, in f
    return 1 / 0
           ~~^~~
ZeroDivisionError: division by zero
"""
NODES = """TypeError: Cannot read properties of null (reading 'x')
    at f (<cell 1>:2:8)
    at <cell 2>:1:1
"""
RUBYS = """<cell 1>:2:in `f': oops (RuntimeError)
\tfrom <cell 2>:1:in `<main>'
"""
ERRORS = {
    "python": ("def f():\n    return 1 / 0\n", "f()", PYTHONS),
    "javascript": ("function f() {\n  null.x;\n}", "f()", NODES),
    "ruby": ("def f\n  raise 'oops'\nend", "f", RUBYS),
    "bash": ("f() {\n  nosuch\n}", "f", "/sandbox/main.sh: line 2: nosuch: command not found\n"),
}


@pytest.mark.parametrize("language", DRIVEN)
def test_an_error_tells_its_place_and_nothing_of_the_driver(client: Client, language: str) -> None:
    define, call, told = ERRORS[language]
    with client.session(language) as session:
        session.run(define)
        result = session.run(call)
        assert (result.stderr, result.status, result.state) == (told, "error", KEPT)


SYNTAX = {
    "python": (
        "1 +",
        '  File "<cell 1>", line 1\n    1 +\n       ^\nSyntaxError: invalid syntax\n',
    ),
    "javascript": (
        "1;\nlet = ;",
        "<cell 1>:2\nlet = ;\n      ^\n\nSyntaxError: Unexpected token ';'\n",
    ),
    "ruby": ("1 +", "<cell 1>:1: syntax error, unexpected end-of-input (SyntaxError)\n"),
    "bash": ("\nif [", "/sandbox/main.sh: line 3: syntax error: unexpected end of file\n"),
}


@pytest.mark.parametrize("language", DRIVEN)
def test_code_that_is_none_is_told_and_nothing_is_lost(client: Client, language: str) -> None:
    code, told = SYNTAX[language]
    with client.session(language) as session:
        result = session.run(code)
        assert (result.stderr, result.state) == (told, KEPT)
        assert result.exit_code == (2 if language == "bash" else 1)


# --- time ---

HANGS = {
    "python": "x = 1\nimport time\nwhile True: time.sleep(10)",
    "javascript": "var x = 1; while (true) {}",
    "ruby": "x = 1; loop {}",
    "bash": "x=1; f() { while :; do sleep 10; done; }; f; echo never",
}


@pytest.mark.parametrize("language", DRIVEN)
def test_what_takes_too_long_is_interrupted_and_the_state_stays(
    client: Client, language: str
) -> None:
    with client.session(language) as session:
        late = session.run(HANGS[language], limits=SHORT)
        assert (late.status, late.exit_code, late.state) == ("timeout", 124, KEPT)
        shown = session.run("echo $x" if language == "bash" else "x")
        assert (shown.value or stdout(shown).strip()) == "1"


def test_an_await_is_interrupted_too(client: Client) -> None:
    for language, code in (
        ("python", "import asyncio; await asyncio.sleep(100)"),
        ("javascript", "await new Promise(() => {})"),
    ):
        with client.session(language) as session:
            assert session.run(code, limits=SHORT).state is KEPT
            assert session.run("1").value == "1"


def test_a_process_that_the_program_waits_for_is_interrupted_with_it(python: Session) -> None:
    late = python.run("import subprocess; subprocess.run(['sleep', '100'])", limits=SHORT)
    assert (late.status, late.state) == ("timeout", KEPT)
    assert python.run("subprocess.run(['pidof', 'sleep']).returncode").value == "1"


@pytest.mark.parametrize("language", ["python", "ruby", "bash"])
def test_an_interrupt_never_hits_the_run_after(client: Client, language: str) -> None:
    """Each is over at about the moment of its interrupt. (Node itself has moments in
    which that ends it: then its variables are lost, and told to be.)"""
    nap = {
        "python": "__import__('time').sleep(0.01)",
        "ruby": "sleep 0.01",
        "bash": "read -t 0.01 <> <(:)",
    }[language]
    with client.session(language) as session:
        for number in range(30):
            session.run(nap, limits=Limits(timeout=0.0095 + number / 15000))
            result = session.run(
                f"{nap}\necho {number}" if language == "bash" else f"{nap}\n{number}"
            )
            assert (result.value or result.stdout) in (str(number), f"{number}\n")
            assert result.stderr in ("", "\n")  # that of an interrupted shell may come late


def listen_and_cancel(run: RunStream, words: list[bytes]) -> None:
    for event in run:
        if isinstance(event, Output):
            words.append(event.data)
            if event.data == b"begun\n":
                run.cancel()


def test_a_cancelled_run_is_interrupted_and_its_last_words_come(python: Session) -> None:
    words: list[bytes] = []
    code = "x = 1\nprint('begun')\nwhile True: pass"
    with python.stream(code) as run, pytest.raises(CancelledError):
        listen_and_cancel(run, words)
    assert b"".join(words).endswith(b"KeyboardInterrupt\n")
    assert python.run("x").value == "1"


async def test_one_run_at_a_time(aclient: AsyncClient) -> None:
    async with aclient.session("python") as session:
        await session.run("order = []")
        runs = [
            session.run(f"import time; order.append({n}); time.sleep(0.01); order.append({n})")
            for n in range(5)
        ]
        await asyncio.gather(*runs)
        assert (await session.run("order[::2] == order[1::2]")).value == "True"
        async with session.stream("import time; print(1); time.sleep(0.5)") as under_way:
            while not isinstance(await anext(under_way), Output):
                pass
            with pytest.raises(SessionBusyError, match="under way"):
                await session.run("1", if_busy="refuse")
            async for _ in under_way:
                pass
        assert (await session.run("1", if_busy="refuse")).value == "1"


# --- output ---


def test_all_output_of_a_run_precedes_its_end(python: Session) -> None:
    for size in (1, 1000, 100_000, 700_000) * 10:
        result = python.run(f"import os; os.write(2, b'e' * 999); print('x' * {size}, end='')")
        assert (len(stdout(result)), result.stderr) == (size, "e" * 999)


def test_what_is_printed_between_runs_is_thrown_away(python: Session) -> None:
    python.run("import threading; t = threading.Timer(0.01, print, ['between']); t.start()")
    eventually(lambda: python.run("t.is_alive()").value == "False", "it has spoken")
    assert python.run("1").stdout == ""


def test_limits_of_output_are_each_runs(python: Session) -> None:
    for _ in range(3):
        cut = python.run("print('x' * 100)", limits=Limits(output=10))
        assert (cut.stdout, cut.truncated.stdout, cut.state) == ("x" * 10, True, KEPT)
    flood = python.run("while True: print('x' * 1000)", limits=Limits(output=1000))
    assert (flood.status, flood.state) == ("output_limit", KEPT)
    assert python.run("1").value == "1"


# --- stdin, arguments, environment ---

ECHO = {
    "python": "import os, sys; print(sys.stdin.read(), sys.argv[1:], os.environ['V'])",
    "javascript": "console.log(fs.readFileSync(0, 'utf8'), process.argv.slice(2), process.env.V)",
    "ruby": "puts $stdin.read + ' ' + ARGV.inspect + ' ' + ENV['V']",
    "bash": 'echo "$(cat)" "[$*]" "$V"',
}


@pytest.mark.parametrize("language", DRIVEN)
def test_each_run_has_a_stdin_and_arguments_of_its_own(client: Client, language: str) -> None:
    with client.session(language, env={"V": "given"}) as session:
        session.run("const fs = require('fs')" if language == "javascript" else "")
        result = session.run(ECHO[language], stdin="one 'é'", args=["a b"])
        assert stdout(result).startswith("one 'é' [")
        assert "a b" in stdout(result)
        assert stdout(result).endswith("] given\n")
        assert stdout(session.run(ECHO[language])).lstrip(" ").startswith("[")


def test_stdin_may_be_large_and_of_any_bytes(client: Client) -> None:
    given = bytes(range(256)) * 2000
    codes = {
        "python": "import hashlib, sys; print(hashlib.md5(sys.stdin.buffer.read()).hexdigest())",
        "bash": "md5sum | cut -d ' ' -f 1",
        "ruby": "require 'digest'; puts Digest::MD5.hexdigest($stdin.binmode.read)",
    }
    for language, code in codes.items():
        with client.session(language) as session:
            result = session.run(code, stdin=given)
            assert result.stdout == hashlib.md5(given).hexdigest() + "\n", language
            assert session.run("").state is KEPT


INHERITED = {
    "python": "import subprocess; subprocess.run(['ls', '/proc/self/fd'])",
    "javascript": "require('child_process').spawnSync('ls', ['/proc/self/fd'], {stdio: 'inherit'})",
    "ruby": "system('ls', '/proc/self/fd')",
    "bash": "ls /proc/self/fd",
}


@pytest.mark.parametrize("language", DRIVEN)
def test_nothing_of_the_driver_is_passed_on_to_children(client: Client, language: str) -> None:
    with client.session(language) as session:
        assert session.run(INHERITED[language]).stdout == "0\n1\n2\n3\n"  # 3: the folder itself
        assert session.run("import sys; 1" if language == "python" else "").state is KEPT


def test_a_fork_of_the_program_ends_with_its_own_code(python: Session) -> None:
    code = """
import os
if (child := os.fork()) == 0:
    raise SystemExit(5)
os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])"""
    assert python.run(code).value == "5"
    assert python.run("1").value == "1"


@pytest.mark.parametrize("said", [b"x" * 65536, b'{"run": 1}\n' * 1000])
def test_a_flood_where_the_driver_speaks_ends_the_interpreter(client: Client, said: bytes) -> None:
    code = f"""
import os
note = max(int(fd) for fd in os.listdir("/proc/self/fd") if fd != "3")
while True: os.write(note, {said[:11]!r} * {len(said) // 11})"""
    with client.session("python") as session:
        result = session.run(code)
        assert (result.status, result.state) == ("killed", LOST)


def test_what_pretends_to_be_the_driver_harms_itself_alone(client: Client) -> None:
    code = r"""
import json, os
for fd in range(3, 64):
    try: os.write(fd, b'{"run": 99, "exit_code": 0, "cpu": 0, "memory": 0}\n')
    except OSError: pass"""
    with client.session("python") as session:
        result = session.run(code)
        assert (result.status, result.state) == ("killed", LOST)
    assert client.run("python", "print(1)").stdout == "1\n"


# --- files ---


def test_files_go_in_and_out_also_while_a_run_is_under_way(python: Session) -> None:
    code = """
import os, time
print("begun")
while not os.path.exists("sub/given"): time.sleep(0.01)
print(open("sub/given", "rb").read())"""
    with python.stream(code) as run:
        for event in run:
            if isinstance(event, Output) and event.data == b"begun\n":
                python.write_files({"sub/given": b"\xff" * 3})
    assert run.result.stdout == "begun\nb'\\xff\\xff\\xff'\n"
    large = b"\0\1" * 500_000
    python.write_files({"large": large})
    read = python.read_files(["large", "none", "sub"])
    assert [each.content for each in read.files] == [large]
    assert {each.path for each in read.files_skipped} == {"none", "sub"}
    assert [(each.path, each.kind) for each in python.list_files()] == [
        ("large", "file"),
        ("sub", "folder"),
        ("sub/given", "file"),
    ]


def test_a_hostile_work_folder_leads_nowhere(python: Session) -> None:
    python.run("""
import os
os.symlink("/tmp", "link"); os.symlink("/tmp/x", "dangling"); os.mkfifo("fifo"); os.mkdir("dir")
open("/tmp/x", "w").write("outside")""")
    for path in ("link/x", "dangling", "fifo", "dir"):
        with pytest.raises(InvalidParamsError, match="files"):
            python.write_files({path: "written"})
    assert python.run("open('/tmp/x').read()").value == "'outside'"
    assert python.read_files(["dangling", "link/x", "fifo"]).files == []


# --- whose it is, and its end ---


def test_its_container_is_never_used_again(client: Client) -> None:
    with client.session("python") as session:
        used = session.run("1").container.id
        assert session.run("1").container.id == used
    later = {client.run("python", "1").container.id for _ in range(6)}
    assert used not in later


LEAVE = """
import sys
from sandboxd_client import Client
client = Client(sys.argv[1])
left = client.session("python").__enter__()
with client.session("python", keep=True) as kept:
    kept.run("x = 1")
    print(kept.id)
"""


def test_it_closes_with_its_connection_unless_it_is_kept(
    daemon: RunningDaemon, client: Client
) -> None:
    """The client is a process that ends without a word."""
    command = [sys.executable, "-c", LEAVE, str(daemon.socket)]
    kept = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    eventually(
        lambda: [each.session for each in client.sessions()] == [kept], "the other one is closed"
    )
    assert client.run("python", "x", session=kept).value == "1"
    client.close_session(kept)
    assert client.sessions() == []


@pytest.mark.parametrize("language", DRIVEN)
def test_leaving_a_run_at_its_very_start_does_not_close_it(client: Client, language: str) -> None:
    """Whatever the driver is at, the interrupt is neither lost nor too much."""
    with client.session(language) as session:
        session.run("x=1")
        for _ in range(20):
            with session.stream(HANGS[language]) as run:
                next(iter(run))
        shown = session.run("echo $x; echo $x >&2" if language == "bash" else "x")
        assert shown.value or (shown.stdout, shown.stderr) == ("1\n", "1\n")


def test_one_that_lies_unused_expires(client: Client) -> None:
    with client.session("python", ttl=0.2) as session:
        eventually(lambda: client.sessions() == [], "it has expired")
        with pytest.raises(SessionNotFoundError):
            session.run("1")


def test_a_reload_keeps_them_and_a_stop_ends_them(own_daemon: RunningDaemon) -> None:
    with own_daemon.client() as client, client.session("python") as session:
        session.run("x = 1")
        own_daemon.config.write_text("[pool]\nmax = 3\n[languages.ruby]\nenabled = false\n")
        own_daemon.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: all(each.name != "ruby" for each in client.languages()), "it was reloaded"
        )
        assert session.run("x").value == "1"
        assert own_daemon.stop() == 0
        assert own_daemon.containers() == []


def test_languages_tell_which_of_them_have_more_than_files(client: Client) -> None:
    stateful = {each.name for each in client.languages() if each.stateful}
    assert stateful == set(DRIVEN)


async def test_sessions_work_where_there_are_no_namespaces() -> None:
    async with changed_runner(refuse_namespaces) as runner:

        async def here(_: object) -> None: ...

        sessions = Sessions(runner, runner._fleet, here, runner._quotas)
        asked = RunRequest(owner=0, language="python", code="", profile="python", capture=False)
        session = await sessions.open(SessionRequest(run=asked, ttl=60))
        code = "x = 1\nimport time; time.sleep(100)"
        results = [
            await session.run(
                RunRequest(owner=0, language="python", code=each, limits=SHORT),
                Nobody(),
                lambda _: None,
                refuse=False,
            )
            for each in (code, "x")
        ]
        assert [each.status for each in results] == ["timeout", "ok"]
        assert results[1].value == "1"
        await sessions.close()


# --- at the terminal ---

SANDBOX = Path(sys.executable).with_name("sandbox")


def repl(daemon: RunningDaemon, language: str, typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SANDBOX, "repl", "--socket", str(daemon.socket), language],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_repl_shows_values_and_output_and_passes_the_exit_code_on(daemon: RunningDaemon) -> None:
    typed = "x = 1\ndef f():\n    return x + 41\n\nf()\nprint('said')\nraise SystemExit(3)\n"
    shown = repl(daemon, "py", typed)
    assert (shown.stdout, shown.stderr, shown.returncode) == ("42\nsaid\n", "", 3)
    left = repl(daemon, "ruby", "exit(4)\nputs 'never'\n")
    assert (left.stdout, left.returncode) == ("", 4)
    ended = repl(
        daemon, "bash", "for i in 1 2; do\necho $i\ndone\nexec sh -c 'exit 9'\necho never\n"
    )
    assert (ended.stdout, ended.returncode) == ("1\n2\n", 9)


def test_ctrl_c_interrupts_the_program_and_not_the_repl(daemon: RunningDaemon) -> None:
    with subprocess.Popen(
        [SANDBOX, "repl", "--socket", str(daemon.socket), "python"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("x = 5; import time; print('begun'); time.sleep(100)\nx\n")
        process.stdin.flush()
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "5\n"
        process.stdin.close()
        assert process.stderr.read().endswith("KeyboardInterrupt\n")
        assert process.wait(60) == 0


def command(daemon: RunningDaemon, *arguments: str, stdin: str = "") -> str:
    name, *rest = arguments
    ran = subprocess.run(
        [SANDBOX, name, "--socket", str(daemon.socket), *rest],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_a_session_of_the_terminal_takes_one_command_after_another(
    daemon: RunningDaemon, tmp_path: Path
) -> None:
    session = command(daemon, "session", "open", "python").strip()
    within = ("run", "python", "--session", session)
    data = tmp_path / "data.txt"
    data.write_text("6")
    assert command(daemon, *within, "-f", str(data), "-c", "n = int(open('data.txt').read())") == ""
    assert command(daemon, *within, "-c", "n * int(input())", stdin="7\n") == "42\n"
    detached = command(daemon, *within, "--detach", "-c", "print(n)").strip()
    assert command(daemon, "attach", detached) == "6\n"
    assert session in command(daemon, "session", "list")
    command(daemon, "session", "close", session)
    assert session not in command(daemon, "session", "list")
