"""What systemd's and AppArmor's own tools say of what is installed."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from sandboxd.units import install_units
from tests.systemd.conftest import EXECUTABLE, needs, output

MOST_EXPOSED = 1.5


def exposure(root: Path) -> float:
    """The overall exposure of the installed service, from 0 (none) to 10."""
    unit = root / "etc/systemd/system/sandboxd.service"
    code, text = output(["systemd-analyze", "security", "--offline=true", "--no-pager", unit])
    assert code == 0, text
    found = re.search(r"Overall exposure level for sandboxd\.service: ([0-9.]+)", text)
    assert found, text
    return float(found[1])


@needs("systemd-analyze")
def test_systemd_finds_no_fault_with_the_systems_units(root: Path) -> None:
    units = root / "etc/systemd/system"
    names = ["sandboxd.service", "sandboxd.socket"]
    assert output(["systemd-analyze", "verify", *(units / name for name in names)]) == (0, "")


@needs("systemd-analyze")
def test_systemd_finds_no_fault_with_a_users_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/config")
    install_units(user=True, root=tmp_path, executable=EXECUTABLE)
    units = tmp_path / "config/systemd/user"
    runtime = tmp_path / "run"
    runtime.mkdir()
    command = ["systemd-analyze", "--user", "verify"]
    names = ["sandboxd.service", "sandboxd.socket"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "XDG_CONFIG_HOME": str(tmp_path)}
    assert output([*command, *(units / name for name in names)], environment) == (0, "")


@needs("systemd-analyze")
def test_a_wrong_unit_would_be_found(root: Path) -> None:
    """Or the tests above would prove nothing."""
    unit = root / "etc/systemd/system/sandboxd.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchDogSec="))
    assert "WatchDogSec" in output(["systemd-analyze", "verify", unit])[1]


@needs("systemd-analyze")
def test_the_service_is_hardly_exposed_even_where_it_fetches_packages(root: Path) -> None:
    with_network = exposure(root)
    shutil.rmtree(root / "etc/systemd/system/sandboxd.service.d")
    without = exposure(root)
    print(f"systemd-analyze security: {without}, with network.conf {with_network}")
    assert without < with_network <= MOST_EXPOSED


@needs("systemd-sysusers")
@needs("systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_user_and_the_folders_are_made(root: Path) -> None:
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    code, text = output(["systemd-sysusers", f"--root={root}", "sandboxd.conf"])
    assert code == 0, text
    users = [line.split(":") for line in (root / "etc/passwd").read_text().splitlines()]
    groups = [line.split(":")[0] for line in (root / "etc/group").read_text().splitlines()]
    (user,) = (user for user in users if user[0] == "sandboxd")
    assert user[5:] == ["/var/lib/sandboxd", "/usr/sbin/nologin"]
    assert {"sandboxd", "docker"} <= set(groups)

    code, text = output(["systemd-tmpfiles", f"--root={root}", "--create", "sandboxd.conf"])
    assert code == 0, text
    found = {
        name: (stat.S_IMODE((root / name).stat().st_mode), (root / name).stat().st_uid)
        for name in ("run/sandboxd", "var/lib/sandboxd", "etc/sandboxd/languages")
    }
    uid = int(user[2])
    assert found == {
        "run/sandboxd": (0o755, uid),
        "var/lib/sandboxd": (0o700, uid),
        "etc/sandboxd/languages": (0o755, 0),
    }


@needs("apparmor_parser")
def test_the_apparmor_profile_compiles(root: Path) -> None:
    """As far as it can be told without AppArmor in the kernel: it is not loaded."""
    profile = root / "etc/apparmor.d/sandboxd-guest"
    command = ["/usr/sbin/apparmor_parser", "--skip-kernel-load", "--skip-cache"]
    code, text = output([*command, profile])
    assert code == 0, text
    profile.write_text(profile.read_text().replace("pivot_root,", "pivot_rot,"))
    assert output([*command, profile])[0] != 0
