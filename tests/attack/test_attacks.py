"""Every probe that takes no time to speak of; `python -m tests.attack.run` has them all.

After each the daemon, its pools, the host and a run beside it are as they were (arena.py),
and the probe was shown to be one (its control).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sandboxd.guest import SOURCES
from tests.attack.arena import Arena
from tests.attack.outside import Outside
from tests.attack.probes import ALL, BY_NAME, calls
from tests.attack.report import FAILED, HELD, run_probe


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("arena")) as entered:
        yield entered


@pytest.fixture(scope="module")
def outside(arena: Arena) -> Iterator[Outside]:
    with Outside(arena.images()) as controls:
        yield controls


@pytest.mark.parametrize("name", [probe.name for probe in ALL if not probe.heavy])
def test_a_program_gets_nowhere_with(
    arena: Arena, outside: Outside, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = BY_NAME[name]
    row = run_probe(probe, arena, outside)
    assert row.verdict != FAILED, f"{row.faults}; it came to {row.got}"
    if row.verdict != HELD:
        with capsys.disabled():
            print(f"\n{row.verdict}: {name}: {probe.gap or row.control}")


def test_every_probe_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(ALL)


def test_every_call_that_the_guest_denies_is_probed() -> None:
    """Those that this architecture does not have cannot be."""
    table = (SOURCES / "filter.c").read_text().partition("denied[] = {")[2].partition("};")[0]
    denied = re.findall(r'"(\w+)"', table)
    probed = {probe.name for probe in calls.PROBES}
    assert len(denied) > 60
    assert [name for name in denied if calls.known(name) and name not in probed] == []
