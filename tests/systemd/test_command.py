"""`sandboxd install-units` and `sandboxd config example`, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandboxd import units
from sandboxd.cli import main
from sandboxd.units import config_example


@pytest.fixture(autouse=True)
def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """This very installation may be where the service would not see it."""
    monkeypatch.setattr(units, "check_visible", lambda _: None)


def test_units_go_below_the_prefix_and_the_next_steps_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install-units", "--prefix", str(tmp_path)]) == 0
    service = tmp_path / "etc/systemd/system/sandboxd.service"
    said = capsys.readouterr().err
    assert f"ExecStart={units.installed_command()} serve\n" in service.read_text()
    assert f"written: {service}" in said
    assert "systemctl enable --now sandboxd.socket sandboxd.service" in said


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-units", "--dry-run", "--network", "--prefix", str(tmp_path)]) == 0
    assert "sandboxd.service.d/network.conf" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_users_units_are_not_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/config")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["install-units", "--user", "--prefix", str(tmp_path)]) == 0
    assert (tmp_path / "config/systemd/user/sandboxd.service").is_file()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert main(["install-units", "--user", "--prefix", str(tmp_path)]) == 1
    assert "leave out --user" in capsys.readouterr().err


def test_an_installation_in_a_home_is_refused_for_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("sys.prefix", "/home/somebody/venv")
    assert main(["install-units", "--prefix", str(tmp_path)]) == 1
    assert "the service does not see" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_example_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "example"]) == 0
    assert capsys.readouterr().out == config_example()
