"""What a session has after its interpreter has died: all its files, and another one."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator

import pytest

from sandboxd.run.plan import RunRequest
from sandboxd.run.session import SessionRequest
from sandboxd.run.sessions import Sessions
from sandboxd_client import (
    Client,
    Limits,
    RunResult,
    SandboxError,
    Session,
    SessionNotFoundError,
    State,
)
from tests.docker.test_no_namespaces import refuse_mounts, refuse_namespaces
from tests.support.changed import Change, Nobody, changed_runner
from tests.support.daemon import eventually

DRIVEN = ["python", "javascript", "ruby", "bash"]
SHORT = Limits(timeout=0.5)
SMALL = Limits(memory="128MiB")

SHELL = {
    "python": "import subprocess; subprocess.run(['sh', '-c', {}], check=True)",
    "javascript": "require('child_process').spawnSync('sh', ['-c', {}], {{stdio: 'inherit'}}), 0",
    "ruby": "system('sh', '-c', {}); nil",
}


def in_shell(language: str, command: str) -> str:
    """Code of the language that runs a command of the shell."""
    return SHELL[language].format(json.dumps(command)) if language in SHELL else command


def shell(session: Session, command: str) -> str:
    """What such a command prints."""
    result = session.run(in_shell(session.language, command))
    assert (result.stderr, result.state) == ("", State.KEPT)
    assert isinstance(result.stdout, str)
    return result.stdout


SET = {"python": "x = 5", "javascript": "var x = 5", "ruby": "x = 5", "bash": "x=5"}
SHOW = {
    "python": "print(globals().get('x'))",
    "javascript": "console.log(globalThis.x ?? 'None')",
    "ruby": "puts binding.local_variable_defined?(:x) ? x : 'None'",
    "bash": "echo ${x-None}",
}

MAKE = """
mkdir -p sub/empty; echo kept > sub/file; ln sub/file hard; ln -s sub/file link; mkfifo pipe
chmod 751 sub/file; chmod 700 sub/empty; touch -d @1000000000 sub/file; echo also > /tmp/also
"""
LOOK = """
cat hard /tmp/also; readlink link
stat -c '%n %F %a %h' hard pipe sub sub/empty sub/file; stat -c %Y sub/file
"""
SEEN = """kept
also
sub/file
hard regular file 751 2
pipe fifo 644 1
sub directory 755 3
sub/empty directory 700 2
sub/file regular file 751 2
1000000000
"""

ENDS = {
    "python": ["import os; os._exit({})", "import os; os.kill(os.getpid(), {})"],
    "javascript": ["", "process.kill(process.pid, {}); for (;;);"],
    "ruby": ["exit!({})", "Process.kill({}, $$); sleep"],
    "bash": ["exec sh -c 'exit {}'", "kill -{} $$"],
}
WAYS = [(0, 7, 7, "its process ended (exit 7)"), (1, 9, 137, "its process was ended by signal 9")]
"""Node has no exit that is not the run's alone."""
FULL = {
    "python": "x = bytearray(1 << 30)",
    "javascript": "var x = []; for (;;) x.push(Buffer.alloc(1 << 20, 1))",
    "ruby": "x = 'x' * (1 << 30)",
    "bash": "x=$(head -c 1G /dev/zero | tr '\\0' x)",
}
DEAF = {
    "python": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
    "javascript": "require('child_process').execSync(\"trap '' INT; while :; do sleep 1; done\")",
    "ruby": "trap('INT', 'IGNORE'); loop {}",
    "bash": "trap '' INT; while :; do :; done",
}
HANGS = {
    "python": "while True: pass",
    "javascript": "while (true) {}",
    "ruby": "loop {}",
    "bash": "while :; do sleep 1; done",
}


def die(session: Session) -> RunResult:
    return session.run(ENDS[session.language][1].format(9))


def check_lost(result: RunResult, why: str) -> None:
    assert result.state is State.LOST
    assert result.lost == f"the session lost its variables, and kept its files: {why}"


def check_goes_on(session: Session) -> None:
    """Without its variables, with its files; and as it should from there."""
    fresh = session.run(SHOW[session.language])
    assert (fresh.stdout, fresh.state, fresh.lost) == ("None\n", State.KEPT, None)
    assert shell(session, LOOK) == SEEN
    session.run(SET[session.language])
    assert session.run(SHOW[session.language]).stdout == "5\n"


@pytest.fixture(params=DRIVEN)
def session(request: pytest.FixtureRequest, client: Client) -> Iterator[Session]:
    with client.session(request.param, limits=SMALL) as opened:
        shell(opened, MAKE)
        assert shell(opened, LOOK) == SEEN
        opened.run(SET[request.param])
        assert opened.run(SHOW[request.param]).stdout == "5\n"
        yield opened


@pytest.fixture
def python(client: Client) -> Iterator[Session]:
    with client.session("python", limits=SMALL) as opened:
        yield opened


# --- the ways to die ---


def test_the_end_of_the_process_leaves_all_files_and_the_next_run_has_another(
    session: Session,
) -> None:
    for way, number, exit_code, why in (WAYS[1:] if session.language == "javascript" else WAYS) * 2:
        ended = session.run(ENDS[session.language][way].format(number), outputs=["hard"])
        assert (ended.status, ended.exit_code) == ("error", exit_code)
        assert [file.content for file in ended.files] == [b"kept\n"]
        check_lost(ended, why)
    check_goes_on(session)


@pytest.mark.parametrize("language", ["python", "javascript", "bash"])
def test_so_does_a_crash(client: Client, language: str) -> None:
    """(Ruby has an answer of its own to a signal like this.)"""
    with client.session(language) as session:
        shell(session, MAKE)
        crash = session.run(ENDS[language][1].format(11))
        assert (crash.status, crash.exit_code, crash.signal) == ("error", 139, 11)
        check_lost(crash, "its process was ended by signal 11")
        check_goes_on(session)


def test_so_does_an_empty_memory_also_twice(session: Session) -> None:
    for _ in range(2):
        full = session.run(FULL[session.language])
        assert (full.status, full.exit_code) == ("oom", 137)
        check_lost(full, "its memory ran out")
    check_goes_on(session)


def test_memory_that_an_earlier_runs_child_ran_out_of_is_not_told_of_a_later_end(
    python: Session,
) -> None:
    child = python.run(
        "import os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'b\"x\" * (700 << 20)']).returncode"
    )
    assert (child.status, child.value) == ("ok", "-9")
    killed = python.run("os.kill(os.getpid(), 9)")
    assert (killed.status, killed.exit_code) == ("error", 137)
    check_lost(killed, "its process was ended by signal 9")


def test_so_does_a_timeout_that_minds_no_interrupt(session: Session) -> None:
    late = session.run(DEAF[session.language], limits=SHORT)
    assert (late.status, late.exit_code) == ("timeout", 124)
    check_lost(late, "its program did not end when it was interrupted")
    check_goes_on(session)


def test_so_does_a_flood_that_minds_no_interrupt(python: Session) -> None:
    shell(python, MAKE)
    code = (
        "import os, signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: os.write(1, bytes(65536))"
    )
    flood = python.run(code, limits=Limits(output=1000))
    assert (flood.status, flood.stdout) == ("output_limit", "\0" * 1000)
    check_lost(flood, "a run went on printing after it had printed far too much")
    check_goes_on(python)


def test_an_end_between_two_runs_is_told_with_the_next(python: Session) -> None:
    shell(python, MAKE)
    python.run("import os, threading; threading.Timer(0.05, os._exit, [3]).start()")
    lost = []

    def told() -> bool:
        lost.append(python.run("import os").lost)
        return lost[-1] is not None

    eventually(told, "the next run tells it")
    kept = "the session lost its variables, and kept its files"
    assert lost[-1] == f"{kept}: its process ended (exit 3)"
    check_goes_on(python)


# --- what the next one has ---


def test_the_next_one_is_interrupted_as_the_first_was(session: Session) -> None:
    for _ in range(2):
        die(session)
        session.run(SET[session.language])
        late = session.run(HANGS[session.language], limits=SHORT)
        assert (late.status, late.state) == ("timeout", State.KEPT)
        assert session.run(SHOW[session.language]).stdout == "5\n"


PROCESSES = "cat /proc/[0-9]*/comm"


def test_no_process_of_the_last_one_is_left(session: Session) -> None:
    shell(session, "setsid sleep 1000 > /dev/null 2>&1 & (sleep 1000 &) > /dev/null 2>&1")
    eventually(lambda: shell(session, PROCESSES).count("sleep\n") == 2, "both run")
    die(session)
    assert "sleep" not in shell(session, PROCESSES)


PRIVILEGES = "grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status; cat /proc/self/oom_score_adj"


def test_the_next_one_has_no_more_privileges_than_the_first(session: Session) -> None:
    first = shell(session, PRIVILEGES)
    assert first.count("0000000000000000") == 5
    assert first.endswith("\n1000\n")
    die(session)
    assert shell(session, PRIVILEGES) == first
    assert "Read-only" in shell(session, "echo 0 2>&1 > /proc/self/oom_score_adj || :")


SHARED = """
import ctypes
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
found = libc.shmget(7, {size}, {flags})
"""
FILL = "ctypes.memset(libc.shmat(found, None, 0), 1, {size})"


def test_shared_memory_that_has_no_name_is_given_back(python: Session) -> None:
    """It would outlive its processes, and nobody could free it."""
    size = 100 << 20
    python.run(SHARED.format(size=size, flags=0o1600) + FILL.format(size=size))
    assert python.run(SHARED.format(size=0, flags=0) + "found >= 0").value == "True"
    die(python)
    assert python.run(SHARED.format(size=0, flags=0) + "found >= 0").value == "False"
    for _ in range(2):
        full = python.run(SHARED.format(size=4 * size, flags=0o1600) + FILL.format(size=4 * size))
        assert (full.status, full.state) == ("oom", State.LOST)
    assert python.run(f"len(bytearray({size}))").value == str(size)


def test_message_queues_are_new_and_can_be_used(python: Session) -> None:
    queue = """
import ctypes, os
libc = ctypes.CDLL(None)
libc.mq_open(b"/queue", 0o102, 0o600, None), os.listdir("/dev/mqueue")"""
    assert "'queue'" in str(python.run(queue).value)
    die(python)
    assert python.run("import os; os.listdir('/dev/mqueue')").value == "[]"
    assert "'queue'" in str(python.run(queue).value)


HINDRANCES = {
    "json.py": b"raise SystemExit('shadowed')",
    "ast.py": b"raise SystemExit('shadowed')",
    "package.json": b'{"type": "module"}',
    "json.rb": b"abort 'shadowed'",
    ".bashrc": b"exit 1",
}


def test_files_of_the_program_do_not_hinder_the_next_one(session: Session) -> None:
    session.write_files(HINDRANCES)
    locked = in_shell(session.language, "chmod 000 .")
    ended = session.run(f"{locked}\n{ENDS[session.language][1].format(9)}")
    check_lost(ended, "its process was ended by signal 9")
    check_goes_on(session)


def test_a_root_that_can_be_written_to_stays_as_it_was(client: Client) -> None:
    with client.session("python", read_only=False) as session:
        session.run("import os; os.mkdir('/opt/mine'); open('/etc/mine', 'w').write('mine')")
        die(session)
        assert session.run("import os; os.path.isdir('/opt/mine')").value == "True"
        assert session.run("open('/etc/mine').read()").value == "'mine'"


IN_ITS_PLACE = r"""
cp /bin/bash /bin/real; rm -f /bin/bash
printf '#!/bin/sh\ntouch /tmp/ran; echo 500 > /proc/self/oom_score_adj; exec /bin/real "$@"' \
    > /bin/bash
chmod +x /bin/bash; kill -9 $$"""


def test_what_was_put_in_the_place_of_an_interpreter_has_no_more_privileges(
    client: Client,
) -> None:
    with client.session("bash", read_only=False) as session:
        assert session.run(IN_ITS_PLACE).state is State.LOST
        result = session.run("ls /tmp; cat /proc/self/oom_score_adj")
        assert result.stdout == "ran\n1000\n"


# --- files meanwhile ---


def test_no_file_that_is_written_as_it_dies_is_lost(python: Session) -> None:
    content = {f"many/{number}": bytes([number]) * 100_000 for number in range(100)}
    begun, done = threading.Event(), threading.Event()

    def write() -> None:
        for path, data in content.items():
            python.write_files({path: data})
            begun.set()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    deaths = 0
    while not done.is_set():
        assert die(python).state is State.LOST
        deaths += 1
    writer.join()
    assert deaths > 1
    read = python.read_files([*content]).files
    assert {file.path: file.content for file in read} == content


def test_files_go_in_and_out_while_there_is_none(python: Session) -> None:
    die(python)
    python.write_files({"given": b"1"})
    assert [each.path for each in python.list_files()] == ["given"]
    assert [each.content for each in python.read_files(["given"]).files] == [b"1"]
    assert python.run("open('given').read()").value == "'1'"


# --- its end ---


def is_there(container: str) -> bool:
    command = ["docker", "container", "inspect", container]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_one_without_an_interpreter_is_closed_with_its_container(client: Client) -> None:
    with client.session("python") as session:
        container = die(session).container.id
        assert is_there(container)
    assert client.sessions() == []
    eventually(lambda: not is_there(container), "it is removed")


def test_a_lost_container_closes_it_and_that_is_told(client: Client) -> None:
    with client.session("python") as session:
        container = session.run("1").container.id
        subprocess.run(["docker", "kill", container], check=True, capture_output=True)
        with contextlib.suppress(SandboxError):  # it may notice during the run
            session.run("1")
        with pytest.raises(SessionNotFoundError):
            session.run("1")


# --- elsewhere ---


def test_in_languages_that_keep_files_alone_these_outlive_any_end(client: Client) -> None:
    die = """
package main
import ("os"; "syscall")
func main() {
    os.WriteFile("kept", []byte("kept"), 0644)
    syscall.Kill(os.Getpid(), syscall.SIGKILL)
}"""
    with client.session("go", files={"given": "1"}) as session:
        ended = session.run(die)
        assert (ended.status, ended.signal, ended.state) == ("error", 9, State.KEPT)
        assert [each.path for each in session.list_files()] == ["given", "kept"]


@pytest.mark.parametrize("refuse", [refuse_namespaces, refuse_mounts])
async def test_it_is_the_same_where_there_are_no_namespaces(refuse: Change) -> None:
    async with changed_runner(refuse) as runner:

        async def here(_: object) -> None: ...

        sessions = Sessions(runner, runner._fleet, here, runner._quotas)
        asked = RunRequest(owner=0, language="python", code="", profile="python", capture=False)
        session = await sessions.open(SessionRequest(run=asked, ttl=60))

        async def run(code: str) -> RunResult:
            request = RunRequest(owner=0, language="python", code=code, limits=SHORT)
            return await session.run(request, Nobody(), lambda _: None, refuse=False)

        left = "import os\nopen('kept', 'w').write('kept')\nif os.fork() == 0:\n  os.setsid()\n"
        left += "  while True: pass\n"
        for code, why in (
            (f"{left}os._exit(7)", "its process ended (exit 7)"),
            (f"{left}os.kill(os.getpid(), 9)", "its process was ended by signal 9"),
            (left + DEAF["python"], "its program did not end when it was interrupted"),
        ):
            check_lost(await run(code), why)
            processes = await run("import os\nsum(each.isdigit() for each in os.listdir('/proc'))")
            assert (processes.value, processes.status) == ("4", "ok")  # guest, template, init
            assert (await run("open('kept').read()")).value == "'kept'"
            late = await run(HANGS["python"])
            assert (late.status, late.state) == ("timeout", State.KEPT)
        await sessions.close()
