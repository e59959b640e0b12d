"""The socket: one daemon on it, whatever lies there, and with the mode that the contract says."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from structlog.typing import EventDict

from sandboxd.config import RpcConfig
from sandboxd.errors import AlreadyRunningError, ConfigError
from sandboxd.rpc.connection import Hub
from sandboxd.rpc.server import Server, SocketLock, _passed_socket, instance_name
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Wire


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sandboxd.sock"
    with SocketLock(path), pytest.raises(AlreadyRunningError, match="--socket"):
        SocketLock(path).__enter__()
    with SocketLock(path):
        pass


async def test_a_second_daemon_does_not_harm_the_first(service: Service, wire: Wire) -> None:
    with pytest.raises(AlreadyRunningError):
        async with Service(service.socket.parent):
            pass
    await wire.everything()
    async with Wire(service.socket) as newcomer:
        assert (await newcomer.result(newcomer.run("out works")))["stdout"] == "works\n"


async def test_a_socket_that_a_dead_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sandboxd.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    async with Service(tmp_path) as service, Wire(service.socket) as wire:
        await wire.everything()


async def test_a_file_that_is_no_socket_is_replaced_as_well(tmp_path: Path) -> None:
    (tmp_path / "sandboxd.sock").write_text("not a socket")
    async with Service(tmp_path) as service, Wire(service.socket) as wire:
        await wire.everything()


async def test_the_socket_is_for_its_user_and_group_alone(service: Service) -> None:
    mode = service.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


async def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        async with Service(tmp_path) as service:
            assert stat.S_IMODE(service.socket.stat().st_mode) == 0o660
    finally:
        os.umask(before)


async def test_the_socket_is_gone_once_the_daemon_stops_accepting(service: Service) -> None:
    service.daemon.refuse()
    assert not service.socket.exists()
    with pytest.raises(OSError, match="No such file"):
        async with Wire(service.socket):
            pass


async def test_connections_that_are_open_go_on_while_the_daemon_drains(
    service: Service, wire: Wire
) -> None:
    identity = wire.run("wait go\nout done")
    await wire.receive_until("run.started")
    service.daemon.refuse()
    await wire.call("status")
    service.engine.events["go"].set()
    assert (await wire.result(identity))["stdout"] == "done\n"


async def test_nothing_but_the_socket_and_its_lock_is_left_beside_it(service: Service) -> None:
    names = {path.name for path in service.socket.parent.iterdir()}
    assert names == {"sandboxd.sock", "sandboxd.sock.lock"}


async def test_a_folder_that_cannot_be_had_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="folder"), SocketLock(tmp_path / "file" / "a.sock"):
        pass


async def test_a_path_that_is_too_long_is_a_configuration_error(
    service: Service, tmp_path: Path
) -> None:
    hub = Hub(service.hub.methods, service.hub.config, set(), lambda _: True)
    with pytest.raises(ConfigError, match="cannot listen"):
        await Server(tmp_path / ("x" * 120), hub).open()


async def test_past_the_most_connections_a_newcomer_is_refused_and_the_others_go_on(
    tmp_path: Path, logs: list[EventDict]
) -> None:
    config = replace(SMALL, rpc=RpcConfig(max_connections=2))
    async with (
        Service(tmp_path, config) as service,
        Wire(service.socket) as first,
        Wire(service.socket) as second,
    ):
        await first.everything()
        await second.everything()
        async with Wire(service.socket) as third:
            await third.until_closed()
        await first.everything()
        second.close()
        await until(lambda: len(service.hub.connections) == 1, "there is room")
        async with Wire(service.socket) as fourth:
            await fourth.everything()
    assert any(entry["event"] == "connection refused" for entry in logs)


async def test_300_connections_at_once_are_each_served(service: Service) -> None:
    wires = [Wire(service.socket) for _ in range(300)]
    for wire in wires:
        await wire.__aenter__()
    for wire in wires:
        wire.ask("languages")
    for wire in wires:
        await wire.result(1)
        wire.close()
    await until(lambda: not service.hub.connections, "all are gone")


async def test_the_owner_of_a_connection_is_the_uid_of_its_peer(
    service: Service, wire: Wire
) -> None:
    await wire.everything()
    (connection,) = service.hub.connections
    assert connection.owner == os.getuid()


def test_an_instance_has_the_same_name_each_time_and_each_socket_its_own(tmp_path: Path) -> None:
    name = instance_name(tmp_path / "a.sock")
    assert name == instance_name(tmp_path / "a.sock")
    assert name == instance_name(tmp_path / "sub" / ".." / "a.sock")
    assert name != instance_name(tmp_path / "b.sock")
    assert name.isalnum()


def test_a_socket_that_systemd_passed_to_another_process_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    assert _passed_socket() is None
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    with pytest.raises(ConfigError, match="exactly one"):
        _passed_socket()
