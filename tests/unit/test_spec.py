"""The container, as Docker is asked for it: every field that hardens it, one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sandboxd.engine.docker.config import container_config, resource_config
from sandboxd.engine.port import Resources
from sandboxd.engine.spec import Placement, Shape, container_spec
from sandboxd.languages import load

LANGUAGES = load(Path("/nowhere"))
SHAPE = Shape(
    profile="data",
    language=LANGUAGES.find("python"),
    image="image:tag",
    resources=Resources(memory=512 * 2**20, cpus=1.5, cpu_shares=512, pids=53),
    tmp=100 * 2**20,
    tmp_inodes=1000,
    nofile=64,
    fsize=200 * 2**20,
    preload=("numpy",),
)
PLAIN = replace(SHAPE, language=LANGUAGES.find("ruby"), preload=())


def config(slot: int = 3, shape: Shape = SHAPE) -> dict[str, Any]:
    placement = Placement(instance="inst", serial="s-1", slot=slot, uid=60706 + slot)
    return container_config(container_spec(shape, placement))


HOST: dict[str, Any] = config()["HostConfig"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("AutoRemove", True),
        ("CapDrop", ["ALL"]),
        ("CgroupnsMode", "private"),
        ("CpuShares", 512),
        ("IpcMode", "private"),
        ("LogConfig", {"Type": "none"}),
        ("Memory", 512 * 2**20),
        ("MemorySwap", 512 * 2**20),
        ("NanoCpus", 1_500_000_000),
        ("NetworkMode", "none"),
        ("PidsLimit", 53),
        ("ReadonlyRootfs", True),
    ],
)
def test_the_host_config_states(field: str, value: object) -> None:
    assert HOST[field] == value


@pytest.mark.parametrize(
    "field",
    [
        "Binds",
        "CapAdd",
        "DeviceCgroupRules",
        "DeviceRequests",
        "Devices",
        "ExtraHosts",
        "GroupAdd",
        "Init",
        "Links",
        "Mounts",
        "OomKillDisable",
        "PortBindings",
        "Privileged",
        "PublishAllPorts",
        "RestartPolicy",
        "Sysctls",
        "UTSMode",
        "UsernsMode",
        "VolumesFrom",
    ],
)
def test_the_host_config_does_not_have(field: str) -> None:
    assert field not in HOST


def test_no_part_of_the_host_is_shared() -> None:
    modes = [HOST[name] for name in ("NetworkMode", "IpcMode", "CgroupnsMode", "PidMode")]
    assert not any("host" in mode or "container:" in mode for mode in modes)


def test_the_kernel_kills_a_container_before_the_daemon() -> None:
    assert HOST["OomScoreAdj"] > 0


def test_no_new_privileges_and_a_seccomp_profile_of_our_own_are_the_only_security_options() -> None:
    privileges, seccomp = HOST["SecurityOpt"]
    assert privileges == "no-new-privileges"
    assert seccomp.startswith("seccomp={")
    assert json.loads(seccomp.removeprefix("seccomp="))["defaultAction"] == "SCMP_ACT_ERRNO"


def test_open_files_core_dumps_and_the_size_of_a_file_are_bounded() -> None:
    bounds = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in HOST["Ulimits"]}
    assert bounds["nofile"] == (64, 64)
    assert bounds["core"] == (0, 0)
    assert bounds["fsize"] == (SHAPE.fsize, SHAPE.fsize)


def test_only_bounded_tmpfs_can_be_written_to() -> None:
    assert set(HOST["Tmpfs"]) == {"/sandbox", "/tmp"}
    for options in HOST["Tmpfs"].values():
        stated = options.split(",")
        assert {"nosuid", "nodev", f"size={SHAPE.tmp}", "nr_inodes=1000"} <= set(stated)
        assert not any(option.startswith(("uid", "gid")) for option in stated)
    assert HOST["ShmSize"] <= SHAPE.tmp


def test_it_runs_as_the_slots_own_user_and_never_as_root() -> None:
    users = [config(slot)["User"] for slot in range(5)]
    assert len(set(users)) == 5
    for user in users:
        uid, _, gid = user.partition(":")
        assert int(uid) > 0
        assert uid == gid


def test_no_network_is_stated_twice() -> None:
    assert config()["NetworkDisabled"] is True
    assert HOST["NetworkMode"] == "none"


def test_the_network_is_the_operators_and_the_guest_is_told() -> None:
    made = config(shape=replace(SHAPE, network="outside"))
    assert made["NetworkDisabled"] is False
    assert made["HostConfig"]["NetworkMode"] == "outside"
    assert "--share-net" in options(made["Cmd"])
    assert "--share-net" not in options(config()["Cmd"])


def test_a_writable_root_is_the_guests_alone_and_the_containers_stays_read_only() -> None:
    made = config(shape=replace(SHAPE, writable_root=True))
    assert made["HostConfig"]["ReadonlyRootfs"] is True
    assert "--writable-root" in options(made["Cmd"])
    assert "--writable-root" not in options(config()["Cmd"])


def test_the_guest_is_the_first_process_whatever_the_image_says() -> None:
    made = config()
    assert made["Entrypoint"] == ["/sandboxd/guest"]
    assert options(made["Cmd"]) == [
        *("--code-name", "main.py", "--tmp-bytes", str(SHAPE.tmp), "--tmp-inodes", "1000"),
        "--template",
    ]
    interpreter = made["Cmd"][made["Cmd"].index("--") + 1 :]
    assert interpreter == [*SHAPE.language.start, "numpy"]
    assert "--template" not in options(config(shape=PLAIN)["Cmd"])


def options(command: list[str]) -> list[str]:
    """The guest's own: what follows a `--` is the interpreter's."""
    return command[: command.index("--")]


def test_the_end_of_its_stdin_is_the_end_of_the_container() -> None:
    made = config()
    assert made["OpenStdin"] is made["StdinOnce"] is made["AttachStdin"] is True
    assert made["StopSignal"] == "SIGKILL"
    assert made["AttachStdout"] is made["AttachStderr"] is True
    assert made["Tty"] is False


def test_the_hostname_is_fixed_and_the_environment_minimal() -> None:
    assert config(1)["Hostname"] == config(2)["Hostname"] == "sandbox"
    names = {pair.partition("=")[0] for pair in config()["Env"]}
    assert names == {"PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS"}
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in config()["Env"]
    assert (
        "BASH_ENV=/sandboxd/bash.sh"
        in config(shape=replace(PLAIN, language=LANGUAGES.find("bash")))["Env"]
    )


def test_it_carries_the_labels_that_a_sweep_looks_for() -> None:
    assert config()["Labels"] == {
        "sandboxd.instance": "inst",
        "sandboxd.slot": "3",
        "sandboxd.profile": "data",
    }


def test_its_name_is_known_before_it_exists_and_unlike_any_other() -> None:
    names = {
        container_spec(SHAPE, Placement("inst", serial, 0, 60000)).name
        for serial in ("a-1", "a-2", "b-1")
    }
    assert len(names) == 3
    assert all(name.startswith("sandboxd-inst-") for name in names)


def test_what_can_be_changed_under_way_is_what_it_is_made_with() -> None:
    changed = resource_config(Resources(memory=2**30, cpus=0.5, cpu_shares=2, pids=7))
    assert changed == {
        "Memory": 2**30,
        "MemorySwap": 2**30,
        "NanoCpus": 500_000_000,
        "CpuShares": 2,
        "PidsLimit": 7,
    }
    assert changed.keys() <= HOST.keys()


def test_it_is_plain_json() -> None:
    assert json.loads(json.dumps(config())) == config()


def test_no_volume_healthcheck_or_port_is_asked_for() -> None:
    assert not {"Volumes", "Healthcheck", "ExposedPorts"} & config().keys()
