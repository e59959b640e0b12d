"""No run ends a session by itself: it has its exit code, and what it knew lives on."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sandboxd_client import Client, Limits, RunResult, Session, Started, State
from tests.docker.test_sessions import DRIVEN
from tests.support.daemon import eventually

SHORT = Limits(timeout=0.5)


class End(NamedTuple):
    language: str
    code: str
    """Sets x to 6 before it ends."""
    exit_code: int
    stdout: str = ""


ENDS = [
    End("python", "x = 6; import sys; sys.exit(3)", 3),
    End("python", "x = 6; exit()", 0),
    End("python", "x = 6; raise SystemExit('why')", 1),
    End("python", "x = 6; raise SystemExit(2**70)", 255),
    End("python", "x = 6; 1 / 0", 1),
    End("javascript", "x = 6; process.exit(3); console.log('never')", 3),
    End("javascript", "x = 6; process.exit()", 0),
    End("javascript", "x = 6; process.exit(258)", 2),
    End("javascript", "x = 6; try { process.exit(4) } finally { console.log('never') }", 4),
    End("javascript", "x = 6; await null; process.exit(5); console.log('never')", 5),
    End("javascript", "x = 6; setTimeout(() => process.exit(5)); await new Promise(() => {})", 5),
    End("javascript", "x = 6; process.exitCode = 7; 'on'", 7),
    End("javascript", "x = 6; process.on('exit', console.log); process.exit(8)", 8, "8\n"),
    End("javascript", "x = 6; throw new Error('why')", 1),
    End("javascript", "x = 6; Promise.reject(new Error('why')); 'on'", 1),
    End("javascript", "x = 6; await Promise.reject(new Error('why'))", 1),
    End("ruby", "x = 6; exit 3", 3),
    End("ruby", "x = 6; Kernel.exit; puts 'never'", 0),
    End("ruby", "x = 6; abort 'why'", 1),
    End("ruby", "x = 6; begin; exit 2; ensure; puts 'ensured'; end", 2, "ensured\n"),
    End("ruby", "x = 6; throw :nobody", 1),
    End("ruby", "x = 6; exec 'nosuch'", 1),
    End("bash", "x=6; set -e; false; echo never", 1),
    End("bash", "x=6; set -e; f() { local x=7; false; }; for i in 1 2; do f; done", 1),
    End("bash", "x=6; set -eu; echo $nosuch; echo never", 1),
    End("bash", "x=6; set -eo pipefail; false | true; echo never", 1),
    End("bash", "x=6; exit 3; echo never", 3),
    End("bash", "x=6; false; exit", 1),
    End("bash", "x=6; f() { eval 'while :; do exit 4; done'; }; f; echo never", 4),
    End("bash", "x=6; source /dev/stdin <<< 'exit 5'; echo never", 5),
    End("bash", "x=6; exec nosuch; echo never", 127),
    End("bash", "x=6; exec /etc/passwd; echo never", 126),
    End("bash", "x=6; trap 'echo bye $?' EXIT; exit 3", 3, "bye 3\n"),
    End("bash", "x=6; trap 'echo bye; exit 9' EXIT; set -e; false", 9, "bye\n"),
    End("bash", "x=6; ${nosuch?why}; echo never", 1),
    End("bash", "x=6; readonly y=1; y=2; echo never", 1),
    End("bash", "x=6; nosuch", 127),
    End("bash", "x=6; if [", 2),
    End("bash", "x=6; set -n; echo never", 0),
    End("bash", "x=6; kill -INT $$; echo never", 130),
]
SHOWS = dict.fromkeys(DRIVEN, "x") | {"bash": "echo $x"}


def shown(session: Session) -> str:
    result = session.run(SHOWS[session.language])
    return (result.value or str(result.stdout)).strip()


@pytest.mark.parametrize("language", DRIVEN)
def test_a_run_that_ends_by_itself_leaves_the_session_and_what_it_knew(
    client: Client, language: str
) -> None:
    begins = {"python": "x = 5", "javascript": "var x = 5", "ruby": "x = 5", "bash": "x=5"}
    with client.session(language) as session:
        for end in (each for each in ENDS if each.language == language):
            session.run(begins[language])
            session.write_files({"kept": "file"})
            result = session.run(end.code, outputs=["kept"])
            assert (result.exit_code, result.state) == (end.exit_code, State.KEPT), end.code
            assert result.stdout == end.stdout, end.code
            assert [file.content for file in result.files] == [b"file"]
            if language == "bash":
                session.run("set +eu +o pipefail")
            # Bash reads no line of which it does not know the end.
            assert shown(session) == ("5" if "if [" in end.code else "6"), end.code


def test_options_traps_jobs_and_functions_of_a_shell_live_on(client: Client) -> None:
    with client.session("bash") as session:
        session.run("set -u; f() { echo f $1; }; trap 'echo usr' USR1; sleep 100 & cd /tmp; exit 1")
        result = session.run('f 1; echo "$-"; pwd; kill -USR1 $$; jobs | grep -c sleep; kill %1')
        assert str(result.stdout).splitlines() == ["f 1", "huB", "/tmp", "usr", "1"]
        unset = session.run("echo $nosuch; echo never")
        assert (unset.exit_code, unset.state) == (1, State.KEPT)
        assert unset.stderr == "/sandbox/main.sh: line 1: nosuch: unbound variable\n"


def test_what_a_process_of_the_program_ends_is_that_process(client: Client) -> None:
    codes = {
        "python": "import os\nif os.fork() == 0: raise SystemExit(4)\nos.wait()[1] >> 8",
        "ruby": "fork { exit 4 }; Process.wait; $?.exitstatus",
        "bash": "(exit 4); echo $?",
    }
    for language, code in codes.items():
        with client.session(language) as session:
            result = session.run(code)
            assert (result.value or str(result.stdout).strip()) == "4", language
            assert session.run("").state is State.KEPT


SIGNALS = """
trap 'echo usr' USR1
{ until [ -e on ]; do sleep 0.01; done; kill -USR1 $$; : >said; } &
"""


def test_a_signal_between_two_runs_is_minded_in_the_next(client: Client) -> None:
    with client.session("bash") as session:
        session.run(SIGNALS)
        session.write_files({"on": ""})
        eventually(lambda: "said" in {each.path for each in session.list_files()}, "it is sent")
        assert sorted(str(session.run("echo on").stdout).split()) == ["on", "usr"]


INTERRUPTED = [
    "while :; do sleep 10; done",
    "sleep 100 | cat",
    "y=$(sleep 100)",
    "read -t 100 < <(sleep 100)",
    "sleep 100 & wait",
    "f() { while :; do :; done; }; f",
    "(sleep 100); bash -c 'sleep 100'",
]


def test_an_interrupt_ends_whatever_a_shell_waits_for(client: Client) -> None:
    with client.session("bash") as session:
        for code in INTERRUPTED:
            late = session.run(f"x=1; {code}; echo never", limits=SHORT)
            assert (late.status, late.state, late.stdout) == ("timeout", State.KEPT, ""), code
        assert session.run("echo $x").stdout == "1\n"


FOREVER = {
    "python": "while True: pass",
    "javascript": "for (;;);",
    "ruby": "loop {}",
    "bash": "while :; do :; done",
}


@pytest.mark.parametrize("language", DRIVEN)
def test_an_interrupt_is_not_lost_in_the_moment_in_which_a_run_begins(
    client: Client, language: str
) -> None:
    with client.session(language) as session:
        for _ in range(20):
            with session.stream(FOREVER[language]) as stream:
                for event in stream:
                    if isinstance(event, Started):
                        stream.interrupt()
            result = stream.result
            assert (result.exit_code, result.state) == (130, State.KEPT)


# --- main guards ---

GUARDS = {
    "python": "if __name__ == '__main__': print('main')",
    "javascript": "if (require.main === module) console.log('main')",
    "ruby": "puts 'main' if __FILE__ == $0 && __FILE__ == $PROGRAM_NAME",
    "bash": '[[ "${BASH_SOURCE[0]}" == "${0}" ]] && echo main',
}


@pytest.mark.parametrize("language", DRIVEN)
def test_main_guards_are_true_as_in_a_program(client: Client, language: str) -> None:
    with client.session(language) as session:
        for _ in range(2):
            result: RunResult = session.run(GUARDS[language])
            assert (result.stdout, result.stderr) == ("main\n", "")
    assert client.run(language, GUARDS[language]).stdout == "main\n"
