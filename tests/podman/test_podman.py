"""What holds on Docker holds on Podman; what differs the doctor names."""

from __future__ import annotations

import json
from pathlib import Path

from sandboxd.config import Config, EngineConfig
from sandboxd.doctor.findings import State
from sandboxd.doctor.gather import gather
from sandboxd.doctor.report import report
from sandboxd.rpc.server import instance_name
from sandboxd_client import Client, Limits
from tests.docker.test_isolation import (  # noqa: F401 - the same tests, on this daemon
    inside,
    test_an_attempt_fails_with_an_error_and_no_kill,
    test_it_inherits_only_the_standard_descriptors,
    test_it_sees_no_process_but_its_own_and_nothing_of_the_machine,
    test_limits_of_the_process_are_set,
    test_only_its_own_places_can_be_written,
    test_the_hosts_loopback_is_out_of_reach,
    test_the_program_is_an_ordinary_user_without_any_capability,
    test_what_ordinary_programs_need_is_allowed,
)
from tests.faults.asking import all_up
from tests.support.daemon import RunningDaemon, eventually
from tests.support.podman import Podman


def test_its_containers_are_used_again_and_never_a_namespace(client: Client) -> None:
    assert client.status().engine.name == "podman"
    code = "import os; print(os.path.exists('/tmp/left')); open('/tmp/left', 'w')"
    results = [client.run("python", code) for _ in range(4)]
    assert {each.stdout for each in results} == {"False\n"}
    assert max(each.container.uses for each in results) > 1


def test_it_makes_images(client: Client, podman: Podman) -> None:
    assert client.run("bash", "echo made").stdout == "made\n"
    assert "sandboxd/bash" in podman.podman("images", "--format", "{{.Repository}}")


def test_limits_are_what_each_run_asks_for(client: Client) -> None:
    code = "len(bytearray(100 << 20))"
    small = client.run("python", code, limits=Limits(memory="64MiB"))
    assert (small.status, small.exit_code) == ("oom", 137)
    assert client.run("python", code, limits=Limits(memory="256MiB")).status == "ok"
    forks = "import os\nfor _ in range(30):\n    os.fork() or os._exit(0)"
    assert "BlockingIOError" in str(client.run("python", forks, limits=Limits(pids=5)).stderr)
    assert client.run("python", forks, limits=Limits(pids=100)).status == "ok"


def test_a_session_keeps_its_state(client: Client) -> None:
    with client.session("python") as session:
        session.run("n = 6")
        assert session.run("n * 7").value == "42"


async def test_the_doctor_finds_all_in_force_and_names_what_differs(
    podman: Podman, daemon: RunningDaemon, client: Client
) -> None:
    config = Config(socket=str(daemon.socket), engine=EngineConfig(host=podman.host))
    rows = {row.name: row for row in report(await gather(config)).rows}
    broken = {name for name, row in rows.items() if row.state is State.BROKEN}
    assert broken == set()
    assert rows["own namespaces"].state is State.OK
    assert "TERM and container" in rows["podman"].detail
    environment = "import json, os; print(json.dumps(dict(os.environ)))"
    assert {"TERM", "container"} <= set(json.loads(str(client.run("python", environment).stdout)))


def test_no_container_outlives_a_daemon_that_is_killed(
    podman: Podman, daemon: RunningDaemon, tmp_path: Path
) -> None:
    own = RunningDaemon(tmp_path, {"SANDBOXD_ENGINE__HOST": podman.host})
    own.config.write_text(daemon.config.read_text())
    instance = f"label=sandboxd.instance={instance_name(own.socket)}"

    def containers() -> str:
        return podman.podman("ps", "--all", "--quiet", "--filter", instance)

    with own, own.client() as client:
        assert client.run("bash", "echo up").status == "ok"
        all_up(own)  # one that was not started yet has no guest to end it: the next daemon does
        assert containers()
        own.process.kill()
        own.process.wait()
        eventually(lambda: not containers(), "its containers have ended", 60.0)
