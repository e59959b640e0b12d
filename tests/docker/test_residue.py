"""Nothing of a run is left for the next one in the same container.

Each kind of state is planted under a random name, found by the same program that
planted it (so the search works), and must not be found by the next. That a guest
without a teardown is caught by each of these is shown in tests/attack/test_mutation.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from sandboxd.languages import BUILTIN, load
from sandboxd_client import Client, Limits, Output
from tests.attack.residue import (
    DIALECTS,
    PAIRS,
    PYTHON,
    Dialect,
    lines,
    look_after,
    request,
    same_container,
    search,
)
from tests.support.daemon import RunningDaemon

STARTED = [dialect for dialect in DIALECTS if dialect is not PYTHON]
"""Languages whose interpreter is started anew for each run; Python's is forked."""


def named(dialect: Dialect) -> str:
    return dialect.language


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon with one container a language, so that the next run has the same one."""
    daemon = RunningDaemon(tmp_path_factory.mktemp("narrow"))
    used = {dialect.language for dialect in DIALECTS}
    unused = [f"[languages.{name}]\nenabled = false\n" for name in {*load(BUILTIN).by_name} - used]
    daemon.config.write_text(f"[pool]\nmin = 0\nmax = 1\nmax_uses = 1000000\n{''.join(unused)}")
    with daemon, daemon.client() as client:
        yield client


@pytest.mark.parametrize("kind", [*PYTHON.kinds, *PYTHON.own])
def test_nothing_is_left_of(narrow: Client, kind: str) -> None:
    for _ in range(PAIRS):
        assert look_after(narrow, PYTHON, [kind]) == []


@pytest.mark.parametrize("dialect", STARTED, ids=named)
def test_nothing_is_left_of_all_kinds_at_once(narrow: Client, dialect: Dialect) -> None:
    for _ in range(PAIRS):
        assert look_after(narrow, dialect, list(dialect.kinds)) == []


@pytest.mark.parametrize("dialect", STARTED, ids=named)
def test_nothing_is_left_in_an_interpreter(narrow: Client, dialect: Dialect) -> None:
    for kind in dialect.own:
        assert look_after(narrow, dialect, [kind]) == []


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("\nraise SystemExit(3)", "error"),
        ("\nos.kill(os.getpid(), signal.SIGKILL)", "error"),
        ("\nos.abort()", "error"),
        ("\nwhile True: os.write(2, bytes(1 << 20))", "output_limit"),
        ("\nos.kill(-1, signal.SIGSTOP); os._exit(4)", "error"),
    ],
)
def test_nothing_is_left_however_the_run_ended(narrow: Client, end: str, status: str) -> None:
    end = f"\nsys.stdout.flush(){end}"
    assert look_after(narrow, PYTHON, list(PYTHON.kinds), end, status) == []


def test_nothing_is_left_of_a_run_that_was_cancelled_or_timed_out(narrow: Client) -> None:
    names, marker = list(PYTHON.kinds), "5eed5eed5eed5eed"
    source = PYTHON.source(names)
    endless = source + "\nprint('planted')\nwhile True: pass"
    with narrow.stream("python", endless, args=["plant", marker]) as run:
        printed = ""
        for event in run:
            printed += event.text if isinstance(event, Output) else ""
            if "planted" in printed:
                break
    assert printed.splitlines() == [*names, "planted"]
    after_cancel = narrow.run("python", source, args=["look", marker])
    # However little of it was planted by then.
    timeout = narrow.run("python", endless, args=["plant", marker], limits=Limits(timeout=1.0))
    after_timeout = narrow.run("python", source, args=["look", marker])
    assert timeout.status == "timeout"
    assert lines(after_cancel) == lines(after_timeout) == []
    same_container(after_cancel, timeout, after_timeout)


@pytest.mark.parametrize("dialect", DIALECTS, ids=named)
def test_nothing_of_a_session_is_left_for_anyone_else(narrow: Client, dialect: Dialect) -> None:
    names, marker = list(dialect.kinds), secrets.token_hex(8)
    source = dialect.source(names)
    with narrow.session(dialect.language) as session:
        planted = session.run(source, args=["plant", marker])
    with narrow.session(dialect.language) as another:
        looked_there = another.run(source, args=["look", marker])
    looked = narrow.run(dialect.language, source, args=["look", marker])
    assert lines(planted) == names, planted.stderr
    assert lines(looked_there) == lines(looked) == []
    assert len({run.container.id for run in (planted, looked_there, looked)}) == 3


@pytest.mark.parametrize("language", request.PROGRAMS)
def test_nothing_that_a_request_gave_is_left(narrow: Client, language: str) -> None:
    for _ in range(PAIRS):
        assert request.seen_after(narrow, language) == []


def test_a_search_of_everything_that_can_be_read_finds_nothing(narrow: Client) -> None:
    for _ in range(PAIRS):
        planted = narrow.run("python", search.PROGRAM, args=[search.new_marker()])
        looked = narrow.run("python", search.PROGRAM)
        assert planted.stdout == " ".join(search.PLACES) + "\n", planted.stderr
        assert (looked.stdout, looked.stderr) == ("\n", "")
        same_container(planted, looked)


RANDOM = {
    "python": "import os, random, secrets, tempfile, uuid\n"
    "print(os.urandom(8).hex(), random.random(), random.SystemRandom().random(),"
    " secrets.token_hex(), uuid.uuid4(), tempfile.mktemp())",
    "javascript": "console.log(Math.random(), require('crypto').randomUUID())",
    "ruby": "require 'securerandom'; puts [rand, Random.new.rand, SecureRandom.hex].join(' ')",
    "bash": "echo $RANDOM-$RANDOM-$RANDOM-$RANDOM $SRANDOM-$SRANDOM $(mktemp)",
}


@pytest.mark.parametrize("language", RANDOM)
def test_no_two_runs_draw_the_same_random_numbers(narrow: Client, language: str) -> None:
    runs = [narrow.run(language, RANDOM[language]) for _ in range(2 * PAIRS)]
    same_container(*runs)
    drawn = [line.split() for run in runs for line in lines(run)]
    for column in zip(*drawn, strict=True):
        assert len(set(column)) == len(runs)


def test_what_the_kernel_would_keep_for_the_user_or_the_machine_is_refused(narrow: Client) -> None:
    """Keys go by the host's uid and outlive processes: there are none to be had."""
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
calls = {
    "add_key": (248, b"user", b"left", b"x", 1, -4),
    "request_key": (249, b"user", b"left", None, -4),
    "join a session keyring": (250, 1, b"left"),
    "the user's keyring": (250, 0, -4, 1),
    "host name": (170, b"left", 4),
    "domain name": (171, b"left", 4),
}
for name, (number, *arguments) in calls.items():
    result = libc.syscall(number, *arguments)
    print(name, result, ctypes.get_errno())
"""
    for _ in range(2):
        told = lines(narrow.run("python", code))
        assert all(line.endswith(" -1 1") for line in told), told
        assert len(told) == 6
