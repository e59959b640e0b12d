"""What `sandboxd doctor` prints and exits with, and what it reads of the host."""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from sandboxd.config import Config, EngineConfig
from sandboxd.doctor import Findings, Report, Row, State, exit_code, report
from sandboxd.doctor.command import run, show
from sandboxd.doctor.gather import gather
from sandboxd.doctor.host import lock_holder, read_host, read_process, read_socket
from tests.unit.test_doctor_container import REFUSED, V1, probe, whole
from tests.unit.test_doctor_engines import DOCKER_20, found

OK, MISSING, BROKEN = (Row("a", state, "", "") for state in State)


# --- exit codes ---


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([OK, OK], 0),
        ([OK, MISSING], 1),
        ([MISSING, BROKEN, OK], 2),
        ([BROKEN], 2),
    ],
)
def test_the_worst_row_is_the_exit_code(rows: list[Row], code: int) -> None:
    assert exit_code(rows) == code


def test_the_verdict_names_what_keeps_programs_from_being_run() -> None:
    engine = msgspec.structs.replace(found(DOCKER_20), host=None).engine
    assert engine is not None
    bad = msgspec.structs.replace(engine, limits={**engine.limits, "PidsLimit": False})
    told = report(Findings(address="unix:///x", engine=bad))
    assert (told.exit_code, told.verdict) == (2, "No program would be run here: process limit.")


def test_the_verdict_of_a_host_that_has_everything_is_short() -> None:
    told = report(whole())
    assert (told.exit_code, told.verdict) == (0, "All is in force.")


def test_the_verdict_names_what_is_missing() -> None:
    told = report(whole(probe=None))
    assert told.exit_code == 1
    assert "The daemon serves, and safely; missing: no privileges, own namespaces" in told.verdict


# --- what is printed ---


def printed(told: Report, **options: Any) -> str:
    out = io.StringIO()
    show(told, Console(file=out, **options))
    return out.getvalue()


def poor() -> Report:
    """A host with much to tell."""
    refused = probe({**V1, **REFUSED})
    return report(msgspec.structs.replace(found(DOCKER_20), probe=refused))


def test_the_table_fits_into_a_hundred_columns() -> None:
    for text in (
        printed(poor()),
        printed(poor(), force_terminal=True, width=300, color_system=None),
    ):
        assert max(map(len, text.splitlines())) <= 100


def test_the_table_fits_into_a_narrow_terminal() -> None:
    text = printed(poor(), force_terminal=True, width=80, color_system=None)
    assert max(map(len, text.splitlines())) <= 80


def test_every_row_and_every_remedy_is_in_it() -> None:
    told = poor()
    words = "".join(printed(told).split())
    for row in told.rows:
        assert row.name.replace(" ", "") in words
        if row.state is not State.OK:
            assert row.remedy
    assert "HOWTOGETIT" in words
    assert told.verdict.replace(" ", "") in words


def test_a_host_that_lacks_nothing_is_told_no_remedies() -> None:
    assert "HOW TO GET IT" not in printed(report(whole()))


def test_colours_are_for_terminals_alone() -> None:
    assert "\x1b[" not in printed(poor())
    assert "\x1b[" in printed(poor(), force_terminal=True, color_system="standard")


def test_markup_in_what_was_found_is_printed_as_it_is() -> None:
    row = Row("real container", State.BROKEN, "it said [red]no[/red]", "surprises", "none")
    text = printed(Report(2, "[b]no[/b]", [row], None))
    assert "[red]no[/red]" in text
    assert "[b]no[/b]" in text


# --- without an engine ---


@pytest.fixture
def no_engine(tmp_path: Path) -> Config:
    address = f"unix://{tmp_path}/engine.sock"
    return Config(socket=str(tmp_path / "sandboxd.sock"), engine=EngineConfig(host=address))


async def test_an_absent_engine_is_found_out_and_named(no_engine: Config) -> None:
    findings = await gather(no_engine)
    assert findings.engine is None
    assert "No such file" in findings.engine_problem
    told = report(findings)
    assert told.exit_code == 2
    assert told.rows[0].name == "engine"
    assert "engine.sock" in told.rows[0].detail


def test_the_command_exits_with_the_reports_code(
    no_engine: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sandboxd.toml"
    path.write_text(f'socket = "{no_engine.socket}"\n[engine]\nhost = "{no_engine.engine.host}"\n')
    out, err = Console(file=io.StringIO()), Console(file=io.StringIO())
    assert run(path, as_json=True, out=out, err=err) == 2
    told = msgspec.json.decode(capsys.readouterr().out, type=Report)
    assert told.exit_code == 2
    assert told.probe is None


def test_a_configuration_that_no_daemon_would_take_is_as_bad(tmp_path: Path) -> None:
    path = tmp_path / "sandboxd.toml"
    path.write_text("[pool]\nmaximum = 4\n")
    out, err = Console(file=io.StringIO()), Console(file=io.StringIO(), width=200)
    assert run(path, as_json=False, out=out, err=err) == 2
    assert "maximum" in err.file.getvalue()  # type: ignore[attr-defined] # it is a StringIO


# --- the host's files ---


def lay(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_settings_and_security_modules_are_read(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "proc/sys/kernel/osrelease": "6.8.0-51-generic\n",
            "proc/sys/kernel/unprivileged_userns_clone": "1\n",
            "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
            "proc/sys/user/max_user_namespaces": "127341\n",
            "proc/self/status": "Name:\tpython3\nSeccomp:\t0\n",
            "sys/module/apparmor/parameters/enabled": "Y\n",
            "sys/kernel/security/apparmor/profiles": "docker-default (enforce)\n",
        },
    )
    host = read_host(tmp_path)
    assert host.kernel == "6.8.0-51-generic"
    assert host.sysctls == {
        "kernel.unprivileged_userns_clone": "1",
        "user.max_user_namespaces": "127341",
        "kernel.apparmor_restrict_unprivileged_userns": "1",
    }
    assert (host.seccomp, host.apparmor, host.selinux) == (True, True, False)
    assert host.profile_loaded is False


def test_a_loaded_profile_and_selinux_are_seen(tmp_path: Path) -> None:
    profiles = "docker-default (enforce)\nsandboxd-guest (enforce)\n"
    lay(
        tmp_path, {"sys/kernel/security/apparmor/profiles": profiles, "sys/fs/selinux/enforce": "1"}
    )
    host = read_host(tmp_path)
    assert (host.profile_loaded, host.selinux) == (True, True)


def test_a_host_with_none_of_these_files_is_read_too(tmp_path: Path) -> None:
    host = read_host(tmp_path)
    assert (host.kernel, host.sysctls, host.profile_loaded) == ("", {}, None)
    assert (host.seccomp, host.apparmor, host.changelogs) == (False, False, {})


def test_changelogs_are_read_by_what_engines_call_their_parts(tmp_path: Path) -> None:
    lay(tmp_path, {"usr/share/doc/docker.io/x": "", "usr/share/doc/runc/changelog.Debian.gz": "x"})
    text = "docker.io (20.10.24+dfsg1-1+deb12u1) bookworm; urgency=high\n\n  * CVE-2024-41110\n"
    packed = tmp_path / "usr/share/doc/docker.io/changelog.Debian.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    logs = read_host(tmp_path).changelogs
    assert list(logs) == ["docker"]
    assert logs["docker"][0].cves == ["CVE-2024-41110"]


def test_the_host_that_this_is_on_is_read() -> None:
    host = read_host()
    assert host.kernel == os.uname().release
    assert host.seccomp


def test_a_sockets_mode_and_owner_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o640)
        found = read_socket(path)
    assert found is not None
    assert found.mode == 0o640


def test_what_is_no_socket_is_not_taken_for_one(tmp_path: Path) -> None:
    assert read_socket(tmp_path) is None
    assert read_socket(tmp_path / "nothing") is None


def test_who_holds_a_lock_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.sock.lock"
    with path.open("w") as file:
        assert lock_holder(path) is None
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lock_holder(path) == os.getpid()
    assert lock_holder(path) is None
    assert lock_holder(tmp_path / "nothing") is None


def test_a_process_is_known_by_its_user_and_capabilities() -> None:
    found = read_process(os.getpid())
    assert found is not None
    assert found[0] == os.geteuid()
    assert read_process(2**22 + 1) is None
