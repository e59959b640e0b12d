"""What a program has printed is there, however it goes on: nobody has to flush."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from sandboxd_client import Client, Limits, Output, RunStream
from sandboxd_client.protocol import Status
from tests.support.daemon import RunningDaemon
from tests.support.programs import MORE

pytestmark = pytest.mark.timeout(900)  # images that are missing are made first


class Ends(NamedTuple):
    """Programs that print a line and then come to an end that is not their own."""

    endless: str
    crash: str
    """Ends by SIGKILL."""
    prompts: str
    """Prints a text without a newline, reads a line, prints what it read."""
    timeout: float = 1.0
    """Longer where it is to be compiled before."""


ENDS = {
    "python": Ends(
        'print("before")\nwhile True: pass',
        'import os; print("before"); os.kill(os.getpid(), 9)',
        'import sys\nprint("name? ", end=""); print(sys.stdin.readline())',
    ),
    "javascript": Ends(
        'console.log("before"); for (;;);',
        'console.log("before"); process.kill(process.pid, "SIGKILL")',
        'process.stdout.write("name? "); process.stdin.once("data", (d) => { console.log(`${d}`);'
        " process.exit() })",
    ),
    "bash": Ends(
        "echo before; while :; do :; done",
        "echo before; kill -9 $$",
        'printf "name? "; read -r x; echo "$x"; echo',
    ),
    "sh": Ends(
        "echo before; while :; do :; done",
        "echo before; kill -9 $$",
        'printf "name? "; read -r x; echo "$x"; echo',
    ),
    "ruby": Ends(
        'puts "before"; loop {}',
        'puts "before"; Process.kill(9, $$)',
        'print "name? "; puts $stdin.gets, ""',
    ),
    "perl": Ends(
        'print "before\\n"; 1 while 1',
        'print "before\\n"; kill 9, $$',
        'print "name? "; print scalar <STDIN>; print "\\n"',
    ),
    "lua": Ends(
        'print("before") while true do end',
        'print("before") os.execute("kill -9 $PPID")',
        'io.write("name? ") print(io.read()) print()',
    ),
    "c": Ends(
        '#include <stdio.h>\nint main(void) { puts("before"); for (;;); }',
        '#include <signal.h>\n#include <stdio.h>\nint main(void) { puts("before"); raise(9); }',
        '#include <stdio.h>\nint main(void) { char line[9]; printf("name? ");'
        " puts(fgets(line, 9, stdin)); }",
        timeout=5.0,
    ),
    "cpp": Ends(
        '#include <iostream>\nint main() { std::cout << "before\\n"; for (;;) std::cin.good(); }',
        "#include <csignal>\n#include <iostream>\n"
        'int main() { std::cout << "before\\n"; raise(9); }',
        "#include <cstdio>\n#include <iostream>\nint main() { std::string line;"
        ' printf("name? "); std::getline(std::cin, line); std::cout << line << "\\n\\n"; }',
        timeout=5.0,
    ),
}
"""Those whose runtime, told nothing, would keep what it prints to itself."""


each_language = pytest.mark.parametrize("language", ENDS)


@pytest.fixture
def client(
    language: str, daemon: RunningDaemon, request: pytest.FixtureRequest
) -> Iterator[Client]:
    running = request.getfixturevalue("more_languages") if language in MORE else daemon
    with running.client() as connected:
        yield connected


@each_language
def test_what_was_printed_survives_a_timeout(client: Client, language: str) -> None:
    program = ENDS[language]
    result = client.run(language, program.endless, limits=Limits(timeout=program.timeout))
    assert (result.status, result.exit_code) == (Status.TIMEOUT, 124)
    assert result.stdout == "before\n"


@each_language
def test_what_was_printed_survives_a_kill(client: Client, language: str) -> None:
    result = client.run(language, ENDS[language].crash)
    assert (result.status, result.signal, result.stdout) == (Status.ERROR, 9, "before\n")


@each_language
def test_a_prompt_is_seen_before_the_program_waits(client: Client, language: str) -> None:
    with client.stream(language, ENDS[language].prompts, stdin=()) as run:
        assert "".join(_until(run, "name? ")) == "name? "
        run.send_stdin(b"me\n")
        run.end_stdin()
        assert "".join(_until(run, "\n\n")) == "me\n\n"
        assert [event for event in run if isinstance(event, Output)] == []


def test_a_childs_output_keeps_its_place(daemon: RunningDaemon) -> None:
    code = 'import subprocess; print("first"); subprocess.run(["echo", "second"]); print("third")'
    with daemon.client() as client:
        assert client.run("python", code).stdout == "first\nsecond\nthird\n"


def test_a_traceback_comes_after_what_was_printed(daemon: RunningDaemon) -> None:
    with daemon.client() as client:
        for _ in range(20):
            with client.stream("python", 'print("printed"); 1 / 0') as run:
                streams = [event.stream for event in run if isinstance(event, Output)]
            assert streams[0] == "stdout"
            assert set(streams[1:]) == {"stderr"}


def test_both_streams_are_told_in_the_order_of_writing(daemon: RunningDaemon) -> None:
    code = "for i in 1 2 3 4 5; do echo o$i; sleep 0.002; echo e$i >&2; sleep 0.002; done"
    with daemon.client() as client, client.stream("bash", code) as run:
        told = "".join(event.text for event in run if isinstance(event, Output))
    assert told.split() == [f"{kind}{i}" for i in range(1, 6) for kind in "oe"]


def _until(run: RunStream, text: str) -> Iterator[str]:
    """What is printed up to `text`."""
    seen = ""
    for event in run:
        if isinstance(event, Output):
            yield event.text
            seen += event.text
        if seen.endswith(text):
            return
