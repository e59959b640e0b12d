"""A container that is not isolated as asked for is destroyed before any program sees it."""

from __future__ import annotations

from typing import Any

import pytest

from sandboxd.errors import StartFailedError
from tests.support.changed import Change, changed_runner, run


def host(**changes: Any) -> Change:
    return lambda config: config["HostConfig"].update(changes)


CHANGES: dict[str, tuple[Change, str]] = {
    "memory": (host(Memory=1 << 30, MemorySwap=1 << 30), "memory limit is 1073741824, not 5368"),
    "swap": (host(MemorySwap=1 << 30), "memory and swap together are limited to 1073741824"),
    "processes": (host(PidsLimit=5000), "process limit is 5000, not 103"),
    "cpu": (host(NanoCpus=2 * 10**9), "CPU quota is 200000, not 1 cores"),
    "root": (host(ReadonlyRootfs=False), "its root can be written to"),
    "user": (lambda config: config.update(User="60999:60999"), "runs as uid 60999, not 607"),
    "container's filter": (
        host(SecurityOpt=["no-new-privileges", "seccomp=unconfined"]),
        "without both seccomp filters",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_container_with_another_setting_is_never_used(what: str) -> None:
    change, words = CHANGES[what]
    async with changed_runner(change) as runner:
        with pytest.raises(StartFailedError, match=words):
            await run(runner, "print(1)")


async def test_an_unchanged_container_is_used() -> None:
    async with changed_runner(lambda _: None) as runner:
        assert (await run(runner, "print(1)")).stdout == "1\n"
