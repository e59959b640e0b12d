"""Each test of what a run leaves behind would notice if the teardown did nothing.

The daemon, the programs and the judgement are the same as in tests/docker/test_residue.py;
the guest is one whose teardown is switched off (see mutant.py). Kinds that a process has
to itself are not left even then; that is why they stand apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd.languages import BUILTIN, load
from sandboxd_client import Client, StartFailedError
from tests.attack import mutant
from tests.attack.residue import (
    DIALECTS,
    PYTHON,
    Dialect,
    lines,
    look_after,
    request,
    same_container,
    search,
)

LANGUAGES = [dialect.language for dialect in DIALECTS]
CONFIG = "[pool]\nmin = 0\nmax = 1\nmax_uses = 1000000\n" + "".join(
    f"[languages.{name}]\nenabled = false\n"
    for name in load(BUILTIN).by_name
    if name not in LANGUAGES
)

KINDS = [(dialect, kind) for dialect in DIALECTS for kind in dialect.kinds]
OWN = [(dialect, kind) for dialect in DIALECTS for kind in dialect.own]


def named(value: object) -> str:
    return value.language if isinstance(value, Dialect) else str(value)


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mutant")
    with mutant.images(folder, LANGUAGES):
        yield folder


@pytest.fixture(scope="module")
def without_teardown(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("deceived")
    daemon = mutant.daemon(folder, binaries, CONFIG, verified=False)
    with daemon, daemon.client() as client:
        yield client


@pytest.mark.parametrize(("dialect", "kind"), OWN, ids=named)
def test_what_a_process_has_to_itself_ends_with_it_in_any_case(
    without_teardown: Client, dialect: Dialect, kind: str
) -> None:
    assert look_after(without_teardown, dialect, [kind]) == []


@pytest.mark.parametrize(("dialect", "kind"), KINDS, ids=named)
def test_what_is_left_without_a_teardown_is_found(
    without_teardown: Client, dialect: Dialect, kind: str
) -> None:
    assert look_after(without_teardown, dialect, [kind]) == [kind]


@pytest.mark.parametrize("language", request.PROGRAMS)
def test_files_that_a_request_gave_are_found_without_a_teardown(
    without_teardown: Client, language: str
) -> None:
    """The rest of what it gave was in a process, or in pipes that each child has anew."""
    assert request.seen_after(without_teardown, language) == ["files"]


def test_a_search_of_everything_finds_what_is_left_without_a_teardown(
    without_teardown: Client,
) -> None:
    planted = without_teardown.run("python", search.PROGRAM, args=[search.new_marker()])
    looked = without_teardown.run("python", search.PROGRAM)
    assert planted.stdout == " ".join(search.PLACES) + "\n", planted.stderr
    assert {*lines(looked)[0].split()} >= {*search.PLACES} - {"memory"}
    same_container(planted, looked)


def test_a_process_that_outlives_its_interpreter_is_found_without_a_teardown(
    without_teardown: Client,
) -> None:
    """See tests/docker/test_session_lost.py."""
    with without_teardown.session(PYTHON.language) as session:
        left = "subprocess.Popen(['sleep', '1000'], stdout=-3, stderr=-3, close_fds=True)"
        session.run(f"import os, subprocess; {left}; os._exit(0)")
        found = session.run("import subprocess; subprocess.getoutput('cat /proc/[0-9]*/comm')")
        assert "sleep" in str(found.value)


def test_a_container_without_a_teardown_is_refused_when_it_is_verified(
    binaries: Path, tmp_path: Path
) -> None:
    """Its programs are not in a user namespace, whatever its guest says."""
    daemon = mutant.daemon(tmp_path, binaries, CONFIG, verified=True)
    refusal = pytest.raises(StartFailedError, match="a program's Uid")
    with daemon, daemon.client() as client, refusal:
        client.run(PYTHON.language, "print(1)")
