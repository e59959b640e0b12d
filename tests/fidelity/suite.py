"""Runs what was asked for on both sides at once, and says where they differ."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sandboxd_client import AsyncClient, SandboxError
from tests.fidelity import bare, sandboxed
from tests.fidelity.corpus import Case, Corpus, Program
from tests.fidelity.outcome import Outcome, differences, named, unlike_its_name, with_meant
from tests.support.daemon import RunningDaemon
from tests.support.images import make_images

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
    limits = f"timeout = {bare.TIMEOUT}\n"
    running.config.write_text(f"[limits.default]\n{limits}[limits.max]\n{limits}")
    make_images(languages, running.config)
    with running:
        yield running


Seen = Callable[[Case, Verdict], None]
"""Told of each case as soon as both of its sides have ended."""


async def compare(
    corpora: dict[str, Corpus], cases: Sequence[Case], client: AsyncClient, seen: Seen
) -> None:
    comparison = _Comparison(client, seen)
    async with asyncio.TaskGroup() as tasks:
        for language, corpus in corpora.items():
            those = [case for case in cases if case.language == language]
            tasks.create_task(comparison.language(language, corpus, those))


class _Comparison:
    """As much at once as this machine can, of all languages together."""

    def __init__(self, client: AsyncClient, seen: Seen) -> None:
        self._client = client
        self._seen = seen
        self._containers = asyncio.Semaphore(_CORES)
        self._runs = asyncio.Semaphore(2 * _CORES)

    async def language(self, name: str, corpus: Corpus, cases: Sequence[Case]) -> None:
        wanted = {case.program for case in cases}
        programs = [program for program in corpus.program if program.name in wanted]
        await asyncio.to_thread(bare.prepare, name, corpus, programs)
        async with asyncio.TaskGroup() as tasks:
            for start in range(0, len(programs), _CHUNK):
                chunk = programs[start : start + _CHUNK]
                outside = tasks.create_task(self._bare(name, corpus, chunk))
                for at, program in enumerate(chunk):
                    for case in cases:
                        if case.program == program.name:
                            tasks.create_task(self._case(corpus, case, program, outside, at))

    async def _bare(
        self, language: str, corpus: Corpus, programs: Sequence[Program]
    ) -> list[Outcome]:
        async with self._containers:
            return await asyncio.to_thread(bare.outcomes, language, corpus, programs)

    async def _case(
        self,
        corpus: Corpus,
        case: Case,
        program: Program,
        outside: asyncio.Task[list[Outcome]],
        at: int,
    ) -> None:
        try:
            async with self._runs:
                got = await sandboxed.outcome(self._client, case, program)
        except SandboxError as error:
            self._seen(case, Verdict([f"{type(error).__name__}: {error}"]))
        else:
            self._seen(case, judge(corpus, case, program, (await outside)[at], got))


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
