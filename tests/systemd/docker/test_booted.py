"""The installed units under a real systemd, which is the first process of a host of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.daemon import eventually
from tests.systemd.docker.booted import BootedHost, reason_to_skip
from tests.systemd.docker.load import Client, more_results

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())

CLIENTS = 4
RESTARTS = 3
BETWEEN = 10


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedHost]:
    with BootedHost(tmp_path_factory.mktemp("host")) as booted:
        yield booted


def test_the_service_runs_programs_with_all_that_it_is_denied(host: BootedHost) -> None:
    with host.client() as client:
        assert client.run("python", "print(6 * 7)").stdout == "42\n"
        assert client.history(limit=1)[0].owner == 0  # who asked is known, also in there
    assert host.show("ActiveState") == "active"
    status = host.shell("cat /proc/$(systemctl show --value -p MainPID sandboxd)/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    user = host.shell("id --user sandboxd").strip()
    assert set(fields["Uid"].split()) == {user} != {"0"}
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_the_first_client_starts_a_daemon_that_is_not_running(host: BootedHost) -> None:
    host.shell("systemctl stop sandboxd.service")
    assert host.show("ActiveState") == "inactive"
    assert host.socket.exists()
    with host.client() as client:
        assert client.run("bash", "echo up").stdout == "up\n"


async def test_no_accepted_run_is_lost_when_the_service_is_restarted(host: BootedHost) -> None:
    done, progress = asyncio.Event(), asyncio.Condition()
    clients = [Client(host.socket, f"booted-{number}") for number in range(CLIENTS)]
    async with asyncio.timeout(110), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.go_on(done, progress))
        for _ in range(RESTARTS):
            await more_results(clients, BETWEEN, progress)
            await asyncio.to_thread(host.shell, "systemctl restart sandboxd")
        await more_results(clients, BETWEEN, progress)
        done.set()
    outcomes = sum((client.outcomes for client in clients), Counter[str]())
    print(f"{RESTARTS} restarts by systemctl, {CLIENTS} clients: {dict(outcomes)}")


def test_a_reload_reads_the_configuration_again(host: BootedHost) -> None:
    with host.client() as client:
        host.shell("echo '[limits.default]\ntimeout = 2.5' > /etc/sandboxd/sandboxd.toml")
        host.shell("systemctl reload sandboxd")
        eventually(lambda: client.initialize().limits.default.timeout == 2.5, "reloaded")


def test_a_daemon_that_hangs_is_restarted_and_says_where_it_hung(host: BootedHost) -> None:
    with host.client() as client:
        client.initialize()
    before = int(host.show("NRestarts"))
    host.shell("systemctl kill --signal=STOP sandboxd")
    eventually(lambda: int(host.show("NRestarts")) > before, "the watchdog has bitten")
    assert "Fatal Python error: Aborted" in host.journal()
    with host.client() as client:
        assert client.run("python", "print(1)").stdout == "1\n"


def test_a_daemon_that_does_not_hang_is_left_alone(host: BootedHost) -> None:
    """It has fed the watchdog when the time that it was fed last has moved on."""
    with host.client() as client:
        client.initialize()
    pid, fed = host.show("MainPID"), host.show("WatchdogTimestampMonotonic")
    for _ in range(3):
        eventually(lambda: host.show("WatchdogTimestampMonotonic") != fed, "fed")  # noqa: B023 - called at once
        fed = host.show("WatchdogTimestampMonotonic")
    assert host.show("MainPID") == pid
