"""What all the tests here ask of a daemon, whatever has happened to it."""

from __future__ import annotations

from typing import Any

from sandboxd_client import Client
from tests.support.daemon import RunningDaemon, eventually
from tests.support.private_engine import EngineDaemon
from tests.support.wire import Message, Wire

SLEEP = "print('begun'); import time; time.sleep(60)"
RECOVERY = 40.0
"""Seconds; more than the longest pause between two tries of the daemon's."""


def assert_one_answer(wire: Wire, identities: list[Any]) -> None:
    """Exactly one for each, of those that came so far."""
    for identity in identities:
        assert len(wire.answers(identity)) == 1, wire.answers(identity)


async def begun(wire: Wire, count: int, **params: Any) -> list[Any]:
    """So many runs that have printed something and then sleep."""
    identities = [wire.run(SLEEP, **params) for _ in range(count)]
    while any(wire.output(each) != b"begun\n" for each in identities):
        await wire.receive()
    return identities


async def refused(wire: Wire, identity: Any, kind: str) -> str:
    """The message of the error that answers a request."""
    error: Message = await wire.error(identity)
    assert error["data"]["kind"] == kind, error
    message: str = error["message"]
    return message


def problems(client: Client) -> dict[str, str]:
    """What is wrong, by health: the details of the checks that failed."""
    return {name: check.detail for name, check in client.health().checks.items() if not check.ok}


def recovers(daemon: EngineDaemon) -> None:
    """By itself: runs in all its languages, full pools, and health without a complaint."""
    with daemon.client() as client:
        eventually(lambda: client.health().status == "ok", "health is ok again", RECOVERY)
        all_up(daemon)
        assert client.run("python", "print(1)").stdout == "1\n"
        assert client.run("bash", "echo 1").stdout == "1\n"


def all_up(daemon: RunningDaemon) -> None:
    """Pools are full, and none of their containers is starting still."""
    with daemon.client() as client:
        eventually(
            lambda: all(pool.idle and not pool.starting for pool in client.status().pools),
            "pools are full",
        )


def keeps_only_its_own(daemon: EngineDaemon) -> None:
    """The engine has no container beside those of the pools."""
    with daemon.client() as client:
        eventually(
            lambda: len(daemon.containers()) == sum(pool.size for pool in client.status().pools),
            "there are no containers but those of the pools",
            RECOVERY,
        )
