"""Between owners: each is known by the kernel's word, and sees only its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import RunningDaemon

ALICE, BOB = 54321, 54322
# The interpreter may be where only root can read: all is imported before root is given up.
PRELUDE = """
import json, os, queue, sys, threading
from sandboxd_client import Client, Output, SandboxError, sync
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
client = Client(sys.argv[1])
def tell(value): print(json.dumps(value))
"""

As = Callable[..., Any]


@pytest.fixture
def open_daemon() -> Iterator[RunningDaemon]:
    """A daemon whose socket everybody can open."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        daemon = RunningDaemon(folder)
        daemon.config.write_text("[pool]\nmin = 0\n[languages.python]\nmax = 2\n")
        with daemon:
            daemon.socket.chmod(0o666)
            yield daemon
    finally:
        shutil.rmtree(folder)


def as_user(daemon: RunningDaemon, uid: int, code: str, *arguments: str) -> Any:
    """What a client program of another user prints, as JSON."""
    (line,) = lines_as_user(daemon, uid, code, *arguments)
    return line


def lines_as_user(daemon: RunningDaemon, uid: int, code: str, *arguments: str) -> list[Any]:
    command = [sys.executable, "-c", PRELUDE + code, str(daemon.socket), str(uid), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(map(json.loads, done.stdout.splitlines()))


RUN = "r = client.run('python', 'print(1)'); tell([r.run, r.container.id, r.container.uses])"


def test_a_container_never_goes_to_another_owner(open_daemon: RunningDaemon) -> None:
    """Each of the two keeps its own, although there are only two places."""
    seen: dict[str, int] = {}
    for uid in (ALICE, BOB) * 3:
        _, container, uses = as_user(open_daemon, uid, RUN)
        assert seen.setdefault(container, uid) == uid
        assert uses <= 3


def test_a_third_owner_gets_a_fresh_one_where_all_places_are_taken(
    open_daemon: RunningDaemon,
) -> None:
    containers = {as_user(open_daemon, uid, RUN)[1] for uid in (ALICE, BOB, 54323, ALICE)}
    assert len(containers) >= 3


def test_the_operator_may_allow_reuse_between_owners(open_daemon: RunningDaemon) -> None:
    open_daemon.stop()
    open_daemon.config.write_text(
        '[pool]\nmin = 0\nreuse = "any"\n[languages.python]\nmin = 1\nmax = 1\n'
    )
    open_daemon.start()
    open_daemon.socket.chmod(0o666)
    assert as_user(open_daemon, ALICE, RUN)[1] == as_user(open_daemon, BOB, RUN)[1]


def test_an_owner_sees_its_own_history_and_root_sees_all(open_daemon: RunningDaemon) -> None:
    own = as_user(open_daemon, ALICE, RUN)[0]
    other = as_user(open_daemon, BOB, RUN)[0]
    listing = "tell([each.run for each in client.history()])"
    assert as_user(open_daemon, ALICE, listing) == [own]
    get = """
try: tell(client.history_get(sys.argv[3]).code)
except SandboxError as e: tell(e.kind)
"""
    assert as_user(open_daemon, ALICE, get, other) == "run_not_found"
    assert as_user(open_daemon, ALICE, get, own) == "print(1)"
    debug = get.replace("history_get(sys.argv[3]).code", "debug_report(sys.argv[3]).category")
    assert as_user(open_daemon, ALICE, debug, other) == "run_not_found"
    with open_daemon.client() as root:
        assert [each.run for each in root.history()] == [other, own]
        assert root.history_get(own).summary.owner == ALICE


REFUSED = """
try: tell(client.run('python', 'pass').status)
except SandboxError as e: tell([e.kind, str(e), e.data.get("retry_after", 0) > 0])
"""


def test_who_is_not_let_in_is_told_so(open_daemon: RunningDaemon) -> None:
    open_daemon.stop()
    open_daemon.config.write_text(f"[access]\nallow = [{ALICE}]\n[pool]\nmin = 0\n")
    open_daemon.start()
    open_daemon.socket.chmod(0o666)
    assert as_user(open_daemon, ALICE, REFUSED) == "ok"
    assert as_user(open_daemon, BOB, REFUSED)[0] == "not_permitted"
    with open_daemon.client() as root:
        assert root.run("python", "print(1)").stdout == "1\n"


def test_a_session_is_its_owners_alone(open_daemon: RunningDaemon) -> None:
    opening = """
with client.session("python", keep=True) as session:
    tell(session.id)
"""
    session = as_user(open_daemon, ALICE, opening)
    attempts = """
kinds = []
for attempt in (
    lambda: client.run("python", "1", session=sys.argv[3]),
    lambda: client.close_session(sys.argv[3]),
):
    try: attempt()
    except SandboxError as e: kinds.append(e.kind)
tell([kinds, [each.session for each in client.sessions()]])
"""
    assert as_user(open_daemon, BOB, attempts, session) == [["session_not_found"] * 2, []]
    with open_daemon.client() as root:
        assert [each.session for each in root.sessions()] == [session]
    assert as_user(open_daemon, ALICE, attempts, session) == [[], []]


def test_a_quota_bounds_the_sessions_of_each_owner(open_daemon: RunningDaemon) -> None:
    open_daemon.stop()
    open_daemon.config.write_text("[pool]\nmin = 0\n[quotas.default]\nsessions = 1\n")
    open_daemon.start()
    open_daemon.socket.chmod(0o666)
    code = """
kept = []
def open():
    try: kept.append(client.session("python").__enter__())
    except SandboxError as e: return e.kind
tell([open(), open()])
"""
    for uid in (ALICE, BOB):
        assert as_user(open_daemon, uid, code) == [None, "quota_exceeded"]


def test_quotas_bound_each_owner_and_nobody_else(open_daemon: RunningDaemon) -> None:
    open_daemon.stop()
    open_daemon.config.write_text(
        f"""
[pool]
min = 0
[quotas.{ALICE}]
per_minute = 2
[quotas.default]
cpu_per_hour = 0.001
"""
    )
    open_daemon.start()
    open_daemon.socket.chmod(0o666)
    first, second, third = lines_as_user(open_daemon, ALICE, REFUSED * 3)
    assert (first, second) == ("ok", "ok")
    assert third == ["quota_exceeded", "you may start 2 runs a minute", True]
    assert as_user(open_daemon, BOB, REFUSED) == "ok"
    assert as_user(open_daemon, BOB, REFUSED)[0] == "quota_exceeded"


def test_runs_at_once_are_bounded_and_the_others_wait(open_daemon: RunningDaemon) -> None:
    open_daemon.stop()
    open_daemon.config.write_text(
        "[pool]\nmin = 0\n[quotas.default]\nruns = 1\nqueued = 1\n[languages.python]\nmax = 3\n"
    )
    open_daemon.start()
    open_daemon.socket.chmod(0o666)
    code = """
ended = queue.Queue()
def another():
    try: ended.put(Client(sys.argv[1]).run('python', 'pass').status)
    except SandboxError as e: ended.put(e.kind)
with client.stream('python', 'print(1); input()', stdin=()) as run:
    events = iter(run)
    while not isinstance(next(events), Output): pass
    for _ in range(2): threading.Thread(target=another).start()
    first = ended.get()  # of the two one waits; it cannot have ended
    run.end_stdin()
    for _ in events: pass
tell([first, ended.get()])
"""
    assert as_user(open_daemon, ALICE, code) == ["quota_exceeded", "ok"]
