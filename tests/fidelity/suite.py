"""Runs what was asked for on both sides at once, and says where they differ."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sandboxd_client import AsyncClient, SandboxError
from tests.fidelity import bare, sandboxed
from tests.fidelity.corpus import Case, Corpus, Program
from tests.fidelity.outcome import Outcome, differences, named, unlike_its_name, with_meant
from tests.support.daemon import RunningDaemon

_CHUNK = 15
"""Programs that one bare container runs one after the other."""
_CORES = os.cpu_count() or 1


class Verdict(NamedTuple):
    """Of one comparison."""

    problems: list[str]
    """What differs and is not meant to; none where all is as it should be."""
    meant: str = ""
    """The reason of a difference that there is, and is meant."""


@contextmanager
def daemon(folder: Path, languages: Iterable[str]) -> Iterator[RunningDaemon]:
    """One of the suite's own, once the languages' images are there."""
    running = RunningDaemon(folder)
    command = [sys.executable, "-m", "sandboxd", "--config", str(running.config)]
    built = subprocess.run(
        [*command, "images", "build", *languages], capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        raise RuntimeError(built.stderr)
    with running:
        yield running


async def compare(
    corpora: dict[str, Corpus],
    cases: Sequence[Case],
    client: AsyncClient,
    seen: Callable[[Case, Verdict], None],
) -> None:
    """Tells of each case as soon as both of its sides have ended."""
    bare_slots, run_slots = asyncio.Semaphore(_CORES), asyncio.Semaphore(2 * _CORES)

    async def bare_side(language: str, programs: Sequence[Program]) -> list[Outcome]:
        async with bare_slots:
            return await asyncio.to_thread(bare.outcomes, language, corpora[language], programs)

    async def one(case: Case, program: Program, side: asyncio.Task[list[Outcome]], at: int) -> None:
        try:
            async with run_slots:
                got = await sandboxed.outcome(client, case, program)
            outside = (await side)[at]
        except (SandboxError, RuntimeError) as error:
            seen(case, Verdict([f"{type(error).__name__}: {error}"]))
        else:
            seen(case, judge(corpora[case.language], case, program, outside, got))

    async with asyncio.TaskGroup() as tasks:
        for language, programs in _chunks(corpora, cases):
            side = tasks.create_task(bare_side(language, programs))
            for at, program in enumerate(programs):
                for case in cases:
                    if (case.language, case.program) == (language, program.name):
                        tasks.create_task(one(case, program, side, at))


def judge(corpus: Corpus, case: Case, program: Program, outside: Outcome, got: Outcome) -> Verdict:
    if unlike := unlike_its_name(program, outside):
        return Verdict([f"the bare program {unlike}"])
    meant = [program.meant, program.meant_session if case.session else None]
    right = outside
    for each in meant:
        right = with_meant(right, each)
    outside, right, got = (named(each, corpus.names) for each in (outside, right, got))
    reason = "; ".join(each.reason for each in meant if each) if right != outside else ""
    return Verdict(differences(right, got), reason)


def _chunks(
    corpora: dict[str, Corpus], cases: Sequence[Case]
) -> Iterator[tuple[str, Sequence[Program]]]:
    for language, corpus in corpora.items():
        names = {case.program for case in cases if case.language == language}
        programs = [program for program in corpus.program if program.name in names]
        for start in range(0, len(programs), _CHUNK):
            yield language, programs[start : start + _CHUNK]
