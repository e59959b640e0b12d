"""The comparison itself finds what it is there to find."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec import structs

from sandboxd_client import Limits
from tests.fidelity import bare
from tests.fidelity.corpus import (
    LANGUAGES,
    About,
    Case,
    Corpus,
    Meant,
    Program,
    read,
)
from tests.fidelity.outcome import Outcome
from tests.fidelity.suite import judge

CASE = Case("sh", "prints", session=False)
PROGRAM = Program("prints", "output", "echo printed", prints="printed")
CORPUS = Corpus(bare='exec sh /sandbox/main.sh "$@"', program=[PROGRAM])
BARE = Outcome(b"printed\n", b"", 0, "", {})


def problems(got: Outcome, program: Program = PROGRAM, outside: Outcome = BARE) -> list[str]:
    return judge(CORPUS, CASE, program, outside, got).problems


def test_the_same_on_both_sides_is_no_difference() -> None:
    assert problems(BARE) == []


@pytest.mark.parametrize(
    "change",
    [
        {"stdout": b"printed"},
        {"stderr": b"\n"},
        {"exit_code": 1},
        {"signal": "SIGTERM"},
        {"files": {"left": b""}},
    ],
    ids=str,
)
def test_each_value_that_is_not_the_same_is_a_difference(change: dict[str, Any]) -> None:
    (problem,) = problems(structs.replace(BARE, **change))
    assert problem.startswith(f"{next(iter(change))} is ")


def test_a_program_that_fails_in_the_same_way_on_both_sides_shows_nothing() -> None:
    failed = Outcome(b"", b"not found\n", 127, "", {})
    (problem,) = problems(failed, outside=failed)
    assert "exits with 127" in problem
    (problem,) = problems(
        structs.replace(failed, exit_code=0), outside=structs.replace(failed, exit_code=0)
    )
    assert "does not print 'printed'" in problem


def test_a_difference_that_is_meant_is_told_with_its_reason_and_holds_for_its_value_alone() -> None:
    program = structs.replace(PROGRAM, meant=Meant("said", stdout="else\n"))
    right = structs.replace(BARE, stdout=b"else\n")
    verdict = judge(CORPUS, CASE, program, BARE, right)
    assert (verdict.problems, verdict.meant) == ([], "said")
    assert problems(BARE, program)
    assert problems(structs.replace(right, stderr=b"more"), program)


def test_addresses_are_named_alike_and_the_rest_is_not() -> None:
    corpus = structs.replace(CORPUS, names=[("0x[0-9a-f]+", "0x…")])
    outside, got = (
        structs.replace(BARE, stdout=f"printed at {at}\n".encode()) for at in ("0x1", "0x2")
    )
    assert judge(corpus, CASE, PROGRAM, outside, got).problems == []
    assert judge(corpus, CASE, PROGRAM, outside, BARE).problems


def test_the_bare_side_tells_how_a_program_ended_and_leaves_nothing_for_the_next() -> None:
    programs = [
        PROGRAM,
        Program("reads", "text", "cat; exit 3", prints="given", stdin="given", exit_code=3),
        Program("is killed", "ends", "echo x > left; kill -9 $$", prints="", exit_code=137),
        Program("finds nothing", "files", "ls -A; ls -A /tmp", prints="main.sh"),
        Program("is late", "ends", "sleep 60", prints="", limits=Limits(timeout=0.2)),
    ]
    found = bare.outcomes("sh", CORPUS, programs)
    ends = [(each.stdout, each.exit_code, each.signal, each.files) for each in found]
    assert ends == [
        (b"printed\n", 0, "", {}),
        (b"given", 3, "", {}),
        (b"", 137, "SIGKILL", {"left": b"x\n"}),
        (b"main.sh\n", 0, "", {}),
        (b"", 124, "", {}),
    ]


def test_every_language_has_programs_enough_of_every_kind() -> None:
    corpora = read()
    assert set(corpora) == set(LANGUAGES)
    for language, corpus in corpora.items():
        standard = LANGUAGES[language].standard
        assert len(corpus.program) >= (25 if standard else 12), language
        about = {program.about for program in corpus.program}
        assert not standard or about == set(get_args(About)), language
