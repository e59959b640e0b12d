"""What was asked and what came of it: answers, refusals, and silence."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sandboxd_client import RemoteError, RunResult, SandboxError
from sandboxd_client.protocol import CANCELLED
from tests.soak.programs import Program

_T = TypeVar("_T")

PATIENCE = 180.0
"""Seconds after which an answer is taken for missing: the daemon's own deadlines are shorter."""
_TOLD = 40
"""Unexpected failures that are told one by one."""


class GaveUpError(Exception):
    """What was to be done goes no further; the ledger knows why."""


class Harm:
    """What is done to the daemon's surroundings, and which refusals are no fault of its own."""

    def __init__(self) -> None:
        self.deeds: Counter[str] = Counter()
        self._spans: list[tuple[float, float, frozenset[str]]] = []
        """From, until, and the kinds of refusal that this excuses."""

    @contextmanager
    def done(self, what: str, excuses: Collection[str]) -> Iterator[None]:
        """Something that harms requests which are under way meanwhile."""
        self.deeds[what] += 1
        began = time.monotonic()
        self._spans.append((began, float("inf"), frozenset(excuses)))
        at = len(self._spans) - 1
        try:
            yield
        finally:
            self._spans[at] = (began, time.monotonic(), frozenset(excuses))

    def excuses(self, since: float) -> frozenset[str]:
        """The kinds of refusal that were to be expected since then."""
        found = (kinds for _, until, kinds in self._spans if until >= since)
        return frozenset().union(*found)


class Ledger:
    """One for all clients of a soak."""

    def __init__(self, harm: Harm) -> None:
        self.runs: Counter[tuple[str, str]] = Counter()
        """By language and status."""
        self.done: Counter[str] = Counter()
        """By what was done."""
        self.expected: Counter[str] = Counter()
        """Failures that were asked for, by cause."""
        self.unexpected: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()
        self.told: list[str] = []
        self.latencies: list[tuple[float, float]] = []
        """When a plain program was asked for, and the seconds until its result."""
        self.asked = 0
        self._harm = harm

    async def ask(
        self,
        what: str,
        work: Awaitable[_T],
        refusals: Collection[str] = (),
        since: float | None = None,
    ) -> _T:
        """What the daemon answers. Raises GaveUpError where it refuses, or says nothing.

        `refusals` are the kinds that are right in any case; harm that was done `since`
        then, or else while the answer was waited for, excuses others.
        """
        self.asked += 1
        began = time.monotonic() if since is None else since
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await work
        except TimeoutError:
            self.unanswered[what] += 1
            self._tell(f"{what}: no answer within {PATIENCE:g} s")
        except SandboxError as error:
            kind = kind_of(error)
            if kind in refusals or kind in self._harm.excuses(began):
                self.expected[kind] += 1
            else:
                self.fail(what, kind, str(error))
        else:
            return answer
        raise GaveUpError

    async def run(
        self,
        what: str,
        program: Program,
        work: Awaitable[RunResult],
        since: float | None = None,
    ) -> RunResult:
        """The result of a program, which must be as the program says."""
        began = time.monotonic()
        name = f"{what}: {program.language} {program.kind}"
        result = await self.ask(name, work, since=since)
        self.ended(result)
        if fault := program.fault(result):
            self.fail(name, "wrong result", fault)
        elif what == "run" and program.kind == "hello" and not self._harm.excuses(began):
            self.latencies.append((began, time.monotonic() - began))
        return result

    def ended(self, result: RunResult) -> None:
        self.runs[result.language, result.status.value] += 1

    def fail(self, what: str, cause: str, detail: str) -> None:
        """Something that must not be."""
        self.unexpected[cause] += 1
        self._tell(f"{what}: {cause}: {detail}")

    def must(self, what: str, *, hold: bool, detail: object) -> None:
        """A fault, and the end of what was to be done, unless something holds."""
        if not hold:
            self.fail(what, "wrong result", str(detail)[:1000])
            raise GaveUpError

    def _tell(self, line: str) -> None:
        if len(self.told) < _TOLD:
            self.told.append(line)


def kind_of(error: SandboxError) -> str:
    """The name of a failure in the table."""
    if isinstance(error, RemoteError):
        return "cancelled" if error.code == CANCELLED else error.kind or f"error {error.code}"
    return type(error).__name__.removesuffix("Error")
