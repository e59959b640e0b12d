"""`sandbox completion` and `sandboxd completion`, as bash understands them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxd import cli as daemon_cli
from sandboxd.config import HistoryConfig
from sandboxd_client import Client
from sandboxd_client.cli import main as client_main
from sandboxd_client.cli._main import SUMMARIES
from sandboxd_client.cli.completion import SHELLS
from tests.client.test_cli import PROGRAM
from tests.support.service import SMALL, ServiceThread, replace
from tests.support.shell import completions

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def script(tmp_path: Path, capsys: Capture) -> Path:
    assert client_main(["completion", "bash"]) == 0
    path = tmp_path / "sandbox.bash"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.fixture
def daemon_script(tmp_path: Path, capsys: Capture) -> Path:
    assert daemon_cli.main(["completion", "bash"]) == 0
    path = tmp_path / "sandboxd.bash"
    path.write_text(capsys.readouterr().out)
    return path


def test_commands_are_completed(script: Path) -> None:
    assert completions(script, "sandbox", "") == list(SUMMARIES)
    assert completions(script, "sandbox", "he") == ["health"]


def test_options_and_their_choices_are_completed(script: Path) -> None:
    assert completions(script, "sandbox", "run", "--de") == ["--detach"]
    assert completions(script, "sandbox", "history", "--status", "o") == [
        "ok",
        "oom",
        "output_limit",
    ]
    assert completions(script, "sandbox", "completion", "f") == ["fish"]


def test_files_are_completed_where_files_are_meant(script: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").touch()
    (tmp_path / "folder").mkdir()
    start = f"{tmp_path}/"
    for words in (("run", "python"), ("run", "-f"), ("batch",), ("status", "--socket")):
        assert f"{start}program.py" in completions(script, "sandbox", *words, f"{start}pro")
    assert completions(script, "sandbox", "attach", "--into", f"{start}f") == [f"{start}folder"]


def test_languages_runs_and_sessions_are_asked_of_the_daemon(tmp_path: Path, script: Path) -> None:
    config = replace(SMALL, history=HistoryConfig())
    with ServiceThread(tmp_path, config) as served, Client(served.socket) as client:
        run = client.run("python", "").run
        socket = str(served.socket)
        assert completions(script, "sandbox", "run", "py", SANDBOXD_SOCKET=socket) == ["python"]
        for command in ("attach", "show", "debug"):
            words = "sandbox", command, run[:4]
            assert completions(script, *words, SANDBOXD_SOCKET=socket) == [run]
        with client.session("python") as session:
            for start in (("session", "close"), ("run", "--session")):
                found = completions(
                    script, "sandbox", *start, session.id[:4], SANDBOXD_SOCKET=socket
                )
                assert found == [session.id]
            found = completions(script, "sandbox", "session", "open", "py", SANDBOXD_SOCKET=socket)
            assert found == ["python"]


def test_without_a_daemon_nothing_is_completed_and_nothing_is_said(
    script: Path, tmp_path: Path
) -> None:
    socket = str(tmp_path / "none")
    assert completions(script, "sandbox", "run", "p", SANDBOXD_SOCKET=socket) == []


def test_the_daemons_command_is_completed_to_its_last_level(daemon_script: Path) -> None:
    assert completions(daemon_script, "sandboxd", "ser") == ["serve"]
    assert completions(daemon_script, "sandboxd", "images", "p") == ["pull", "prune"]
    assert "--json" in completions(daemon_script, "sandboxd", "images", "list", "--")


def test_a_tab_in_a_bash_at_a_terminal_completes(script: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "PS1": "ready> ", "TERM": "dumb", "HISTFILE": ""},
    ) as process:
        text = b""
        os.write(ours, f"source {script}; echo so''urced\n".encode())
        while b"sourced" not in text:
            text += os.read(ours, 4096)
        os.write(ours, b"echo done; : sandbox\x15sandbox langua\t")
        while b"sandbox languages " not in text:
            text += os.read(ours, 4096)
        os.write(ours, b"\x15exit\n")
        assert process.wait(10) == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("shell", SHELLS)
def test_there_is_a_script_for_each_shell(shell: str, capsys: Capture) -> None:
    for main, name in ((client_main, "sandbox"), (daemon_cli.main, "sandboxd")):
        assert main(["completion", shell]) == 0
        assert name in capsys.readouterr().out


def test_without_its_library_it_says_how_to_get_it() -> None:
    program = f"import sys; sys.modules['shtab'] = None; {PROGRAM}"
    ran = subprocess.run(
        [sys.executable, "-c", program, "completion", "bash"], capture_output=True, check=False
    )
    assert ran.returncode == 125
    assert b"pip install" in ran.stderr
