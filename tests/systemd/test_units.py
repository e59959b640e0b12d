"""`sandboxd install-units` lays what systemd needs, and nothing over what is the operator's."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import fields as fields_of

from sandboxd import config, units
from sandboxd.config import Config
from sandboxd.errors import SetupError
from sandboxd.units import config_example, install_units, next_steps, unit_folder
from sandboxd_client import protocol
from tests.systemd.conftest import EXECUTABLE

SYSTEM = {
    "etc/systemd/system/sandboxd.service",
    "etc/systemd/system/sandboxd.socket",
    "etc/sysusers.d/sandboxd.conf",
    "etc/tmpfiles.d/sandboxd.conf",
    "etc/sandboxd/sandboxd.toml",
}


def install(root: Path, *, dry_run: bool = False, say: Callable[[str], None] = print) -> list[Path]:
    return install_units(user=False, root=root, executable=EXECUTABLE, dry_run=dry_run, say=say)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def read_unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Sections of a unit, each with its keys' values in order."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return sections


# --- where things go ---


def test_the_system_gets_units_user_folders_and_a_configuration(tmp_path: Path) -> None:
    written = install(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in written} == SYSTEM
    assert files(tmp_path) == SYSTEM
    for path in written:
        assert path.stat().st_mode & 0o777 == 0o644, path
        assert "@sandboxd@" not in path.read_text(), path


def test_a_host_with_apparmor_gets_the_profile_too(tmp_path: Path) -> None:
    (tmp_path / "etc/apparmor.d").mkdir(parents=True)
    install(tmp_path)
    assert files(tmp_path) == SYSTEM | {"etc/apparmor.d/sandboxd-guest"}


def test_a_daemon_that_fetches_packages_gets_a_drop_in(tmp_path: Path) -> None:
    install_units(user=False, root=tmp_path, executable=EXECUTABLE, network=True)
    assert files(tmp_path) == SYSTEM | {"etc/systemd/system/sandboxd.service.d/network.conf"}


def test_a_user_gets_units_and_a_configuration_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somebody/.config")
    install_units(user=True, root=tmp_path, executable=EXECUTABLE)
    home = "somebody/.config"
    assert files(tmp_path) == {
        f"{home}/systemd/user/sandboxd.service",
        f"{home}/systemd/user/sandboxd.socket",
        f"{home}/sandboxd/sandboxd.toml",
    }
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/else")
    install_units(user=True, root=tmp_path, executable=EXECUTABLE)
    assert f"{'else'}/.config/systemd/user/sandboxd.service" in files(tmp_path)


@pytest.mark.parametrize("user", [False, True])
def test_the_service_starts_the_command_that_installed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, user: bool
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home")
    install_units(user=user, root=tmp_path, executable=Path("/opt/sandbox-d/bin/sandboxd"))
    (service,) = tmp_path.rglob("sandboxd.service")
    assert read_unit(service)["Service"]["ExecStart"] == ["/opt/sandbox-d/bin/sandboxd serve"]


# --- and what is already there ---


def test_a_second_time_nothing_is_written(tmp_path: Path) -> None:
    written = install(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in written}
    said: list[str] = []
    assert install(tmp_path, say=said.append) == []
    assert {path: path.stat().st_mtime_ns for path in written} == before
    assert said == [f"unchanged: {path}" for path in written]


def test_an_older_unit_is_replaced(tmp_path: Path) -> None:
    install(tmp_path)
    service = tmp_path / "etc/systemd/system/sandboxd.service"
    text = service.read_text()
    service.write_text("[Service]\nExecStart=/old/sandboxd serve\n")
    said: list[str] = []
    assert install(tmp_path, say=said.append) == [service]
    assert f"written: {service}" in said
    assert service.read_text() == text


def test_the_operators_configuration_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "etc/sandboxd/sandboxd.toml"
    path.parent.mkdir(parents=True)
    path.write_text("drain_timeout = 5.0\n")
    said: list[str] = []
    assert path not in install(tmp_path, say=said.append)
    assert path.read_text() == "drain_timeout = 5.0\n"
    assert f"kept as it is: {path}" in said


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    would = install(tmp_path, dry_run=True, say=said.append)
    assert said == [f"would write: {path}" for path in would]
    assert files(tmp_path) == set()
    assert install(tmp_path) == would


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "etc").touch()
    with pytest.raises(SetupError, match=r"etc/systemd/system/sandboxd\.service"):
        install(tmp_path)


@pytest.mark.parametrize("path", ["sandboxd", "/opt/50%/sandboxd", "/opt/my programs/sandboxd"])
def test_a_path_that_a_unit_would_read_otherwise_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(SetupError, match="a unit cannot start"):
        install_units(user=False, root=tmp_path, executable=Path(path))
    assert files(tmp_path) == set()


# --- what is started, and from where ---


def test_units_are_found_in_a_checkout_and_in_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout/sandboxd"
    wheel = tmp_path / "site-packages/sandboxd"
    for package, folder in ((checkout, checkout.parent / "systemd"), (wheel, wheel / "_systemd")):
        package.mkdir(parents=True)
        shutil.copytree(Path(units.__file__).parent.parent / "systemd", folder)
        monkeypatch.setattr(units, "__file__", str(package / "units.py"))
        assert unit_folder() == folder
    monkeypatch.setattr(units, "__file__", str(tmp_path / "nowhere/sandboxd/units.py"))
    with pytest.raises(SetupError, match="lacks the units"):
        unit_folder()


def test_the_command_is_the_one_that_was_started_or_the_one_beside_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sandboxd").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "three"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "one/sandboxd")])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "two/python3"))
    assert units.installed_command() == tmp_path / "one/sandboxd"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "one/pytest")])
    assert units.installed_command() == tmp_path / "two/sandboxd"
    (tmp_path / "two/sandboxd").unlink()
    assert units.installed_command() == tmp_path / "three/sandboxd"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="pip install sandboxd"):
        units.installed_command()


@pytest.mark.parametrize("place", ["/root/venv", "/home/somebody/venv", "/tmp/venv"])
def test_an_installation_that_the_service_could_not_see_is_refused(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for name, where in (("prefix", "/opt/venv"), ("base_prefix", "/usr")):
        monkeypatch.setattr(sys, name, where)
    monkeypatch.setattr(units, "__file__", "/opt/venv/lib/sandboxd/units.py")
    monkeypatch.setattr(protocol, "__file__", "/opt/venv/lib/sandboxd_client/protocol.py")
    units.check_visible(Path("/opt/venv/bin/sandboxd"))
    with pytest.raises(SetupError, match=f"does not see {place}/bin/sandboxd"):
        units.check_visible(Path(place) / "bin/sandboxd")
    monkeypatch.setattr(sys, "base_prefix", f"{place}/python3.13")
    with pytest.raises(SetupError, match=r"python3\.13"):
        units.check_visible(Path("/opt/venv/bin/sandboxd"))


def test_the_next_steps_are_the_users_own_or_the_systems() -> None:
    assert all("--user" in step for step in next_steps(user=True))
    assert any(step.startswith("systemd-sysusers") for step in next_steps(user=False))


# --- the service and the daemon's own values ---


@pytest.fixture(params=["", "user/"])
def service(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    return read_unit(unit_folder() / f"{request.param}sandboxd.service")["Service"]


def test_systemd_waits_longer_than_the_daemon_drains(service: dict[str, list[str]]) -> None:
    """The rest is for taking the containers down, a call to the engine each."""
    loaded = Config()
    (seconds,) = service["TimeoutStopSec"]
    assert float(seconds) > loaded.drain_timeout + loaded.engine.timeout


def test_a_hung_daemon_is_restarted_and_a_stopped_one_is_not(
    service: dict[str, list[str]],
) -> None:
    assert service["Type"] == ["notify"]
    assert service["Restart"] == ["on-failure"]
    assert float(service["WatchdogSec"][0]) > 0
    assert "PYTHONFAULTHANDLER=1" in service["Environment"]


def test_the_socket_is_where_clients_look_and_for_its_group_alone() -> None:
    socket = read_unit(unit_folder() / "sandboxd.socket")["Socket"]
    assert socket["ListenStream"] == ["%t/sandboxd/sandboxd.sock"]
    assert (socket["SocketMode"], socket["SocketGroup"]) == (["0660"], ["sandboxd"])


def test_the_daemon_finds_its_places_as_the_services_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the unit puts into the environment, and no key in any file."""
    environment = read_unit(unit_folder() / "sandboxd.service")["Service"]["Environment"]
    for pair in " ".join(environment).split():
        name, _, value = pair.partition("=")
        monkeypatch.setenv(name, {"%E": "/etc", "%S": "/var/lib", "%t": "/run"}.get(value, value))
    monkeypatch.delenv("SANDBOXD_SOCKET", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 999)
    loaded = Config()
    assert loaded.socket == "/run/sandboxd/sandboxd.sock"
    assert config.default_path() == Path("/etc/sandboxd/sandboxd.toml")
    assert config.state_path(loaded) == Path("/var/lib/sandboxd/history.db")


def test_no_client_becomes_nobody() -> None:
    """In a user namespace of its own the daemon would see all uids but its own as one."""
    assert "PrivateUsers" not in read_unit(unit_folder() / "sandboxd.service")["Service"]


# --- the annotated configuration ---


def test_the_shipped_example_is_in_step_with_the_configuration() -> None:
    """`sandboxd config example > systemd/sandboxd.toml` makes it so again."""
    assert (unit_folder() / "sandboxd.toml").read_text() == config_example()


def load(folder: Path, text: str) -> Config:
    path = folder / "sandboxd.toml"
    path.write_text(text)
    return config.load(path, environ={})


def test_the_example_as_it_is_changes_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, config_example()) == Config()


def test_each_setting_in_the_example_has_its_shipped_value(tmp_path: Path) -> None:
    uncommented = re.sub(r"^#(?=[a-z\[])", "", config_example(), flags=re.MULTILINE)
    loaded, shipped = load(tmp_path, uncommented), Config()
    for field in fields_of(Config):
        value = getattr(loaded, field.name)
        if isinstance(value, dict):  # any number of tables; one is shown, with the least in it
            ((_, table),) = value.items()
            least = {each.name: "python" for each in fields_of(type(table)) if each.required}
            assert table == type(table)(**least), field.name
        else:
            assert value == getattr(shipped, field.name), field.name
    assert len(tomllib.loads(uncommented)) > len(tomllib.loads(config_example()))


def test_the_example_has_every_key_of_every_table() -> None:
    """Also those that have no value unless they are set, or one that hangs on the machine."""
    tables = re.split(r"^#?\[([a-z_.]+)\]$", config_example(), flags=re.MULTILINE)[1:]
    texts = dict(zip(tables[::2], tables[1::2], strict=True))
    for path, text in texts.items():
        kind = type_of(path)
        for field in fields_of(kind):
            shown = re.search(rf"^#( {field.name} = \(|{field.name} = )", text, re.MULTILINE)
            deeper = any(f"{path}.{field.name}" == other for other in texts)
            assert shown or deeper, f"[{path}] {field.name}"
    assert {path.split(".")[0] for path in texts} == {
        field.name
        for field in fields_of(Config)
        if typing.get_origin(field.type) is dict
        or isinstance(getattr(Config(), field.name), Struct)
    }


def type_of(path: str) -> type[Struct]:
    """The struct of a table, as config.py declares it."""
    kind: Any = Config
    for name in path.split("."):
        if typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        else:
            kind = next(field.type for field in fields_of(kind) if field.name == name)
    found: type[Struct] = kind
    return found


def test_the_example_explains_what_the_configuration_explains() -> None:
    example = " ".join(config_example().replace("\n# ", " ").split())
    assert "How long runs under way may take to end" in example
    assert 'One of "owner", "any", "never".' in example
    assert "max = (two per core)" in example
