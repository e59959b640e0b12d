"""The fuzzers: each tries its seeds, and then for some seconds what can be made of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec import Struct

from sandboxd.guest import SOURCES
from tests.fuzz import examples
from tests.fuzz.worlds import Line, LineWorld, check_frames, cut, to_line

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"
_ROUND = 100
"""Examples after which a Python fuzzer looks at the clock."""
_COMPILER = [
    *("clang", "-std=gnu17", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", "-I", str(SOURCES)),
]


class Finding(Exception):  # noqa: N818 - it is what is looked for
    """Something that must not be. The text tells it; the seed, if any, shows it again."""

    def __init__(self, text: str, seed: Path | None = None) -> None:
        super().__init__(text)
        self.seed = seed


class Outcome(Struct, frozen=True):
    by: str
    """The fuzzer."""
    seeds: int
    runs: int
    seconds: float
    edges: int | None = None
    """Of the code, as far as they are counted."""


Progress = Callable[[str], None]


class Target(Protocol):
    name: str
    subject: str

    def fuzz(self, seconds: float, progress: Progress) -> Outcome:
        """Tries all seeds, and goes on from there. Raises Finding."""


def seeds(name: str) -> list[Path]:
    return sorted(path for path in (SEEDS / name).iterdir() if path.is_file())


# --- C ---


class CTarget:
    """A function for libFuzzer, under the address and undefined-behaviour sanitizers."""

    def __init__(self, name: str, subject: str, source: str) -> None:
        self.name = name
        self.subject = subject
        self._source = HERE / source

    def fuzz(self, seconds: float, progress: Progress) -> Outcome:
        began, runs, edges = time.monotonic(), 0, 0
        said: list[str] = []
        with tempfile.TemporaryDirectory(prefix="sandboxd-fuzz-") as folder:
            program, corpus = Path(folder) / self.name, Path(folder) / "corpus"
            corpus.mkdir()
            self._compile(program)
            command = [str(program), f"-max_total_time={max(1, round(seconds))}"]
            command += ["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
            command += [f"-artifact_prefix={folder}/finding-", str(corpus)]
            with subprocess.Popen(
                [*command, str(SEEDS / self.name)],
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            ) as process:
                assert process.stderr is not None
                for line in process.stderr:
                    if match := re.match(r"#(\d+)\s.*cov: (\d+)", line):
                        runs, edges = int(match[1]), int(match[2])
                        progress(f"{runs:,} runs, {edges} edges")
                    else:
                        said.append(line)
            if process.returncode != 0:
                raise Finding("".join(said[-60:]), self._keep(Path(folder).glob("finding-*")))
        passed = time.monotonic() - began
        return Outcome("libFuzzer", len(seeds(self.name)), runs, passed, edges)

    def _compile(self, program: Path) -> None:
        command = [*_COMPILER, "-o", str(program), str(self._source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Finding(f"{shlex.join(command)}\n{done.stderr}")

    def _keep(self, findings: Iterable[Path]) -> Path | None:
        """The first of them, among the seeds from now on."""
        for finding in findings:
            kept = SEEDS / self.name / f"finding-{finding.name.rpartition('-')[2][:12]}"
            shutil.copy(finding, kept)
            return kept
        return None


# --- Python ---


def _settings() -> settings:
    return settings(
        max_examples=_ROUND,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
        stateful_step_count=50,
        print_blob=False,
    )


def _rounds(
    seconds: float, progress: Progress, one: Callable[[], None], tried: Callable[[], int]
) -> tuple[int, float]:
    """Goes round after round until the time is up; how many were tried, and how long it took."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        with _as_finding():
            one()
        progress(f"{tried():,} runs, {passed:.0f} s")
    return tried(), passed


@contextlib.contextmanager
def _as_finding(seed: Path | None = None) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        raise Finding(f"{type(error).__name__}: {error}\n{notes}", seed) from error


@contextlib.contextmanager
def _kept(name: str, last: Callable[[], bytes]) -> Iterator[None]:
    """What was tried last when something was found, and so the least that shows it, is
    among the seeds from now on."""
    try:
        yield
    except Finding as finding:
        data = last()
        finding.seed = SEEDS / name / f"finding-{hashlib.sha256(data).hexdigest()[:12]}"
        finding.seed.write_bytes(data)
        raise


class FramesTarget:
    name = "frames"
    subject = "the frame codec, and who listens to a guest, in Python"

    def fuzz(self, seconds: float, progress: Progress) -> Outcome:
        tried, last = 0, b""

        @_settings()
        @given(examples.frame_streams, examples.places)
        def check(stream: bytes, places: list[int]) -> None:
            nonlocal tried, last
            tried += 1
            last = stream
            check_frames([stream[start:end] for start, end in cut(places, len(stream))])

        replayed = self._replay()
        with _kept(self.name, lambda: last):
            runs, passed = _rounds(seconds, progress, check, lambda: tried)
        return Outcome("hypothesis", replayed, runs, passed)

    def _replay(self) -> int:
        found = seeds(self.name)
        for seed in found:
            stream = seed.read_bytes()
            for size in (1, 7, len(stream) + 1):
                pieces = range(0, len(stream), size)
                with _as_finding(seed):
                    check_frames([stream[start : start + size] for start in pieces])
        return len(found)


class LinesTarget:
    name = "lines"
    subject = "the line protocol, over a socket, with the engine double"

    def fuzz(self, seconds: float, progress: Progress) -> Outcome:
        tried, last = 0, b""
        with (
            tempfile.TemporaryDirectory(prefix="sandboxd-fuzz-") as folder,
            LineWorld(Path(folder)) as world,
        ):

            @_settings()
            @given(examples.lines, examples.places, examples.pauses)
            def check(lines: list[Line], places: list[int], pause: int) -> None:
                nonlocal tried, last
                tried += 1
                last = b"\n".join(line.data for line in lines)
                world.check(lines, places, pause)

            replayed = self._replay(world)
            with _kept(self.name, lambda: last):
                runs, passed = _rounds(seconds, progress, check, lambda: tried)
        return Outcome("hypothesis", replayed, runs, passed)

    def _replay(self, world: LineWorld) -> int:
        found = seeds(self.name)
        for seed in found:
            lines = [to_line(line) for line in seed.read_bytes().split(b"\n")]
            with _as_finding(seed):
                world.check(lines, [], 0)
                world.check(lines, range(1, 4000, 7), pause=1000)
        return len(found)


class PoolTarget:
    """What it finds is told as the steps that lead there; hypothesis remembers them."""

    name = "pool"
    subject = "the pool's core: any order of what can happen to it"

    def fuzz(self, seconds: float, progress: Progress) -> Outcome:
        # Not before: the machine is a test's, with a profile of its own.
        from tests.pool.test_core_machine import World  # noqa: PLC0415

        lives = 0

        def one() -> None:
            nonlocal lives
            run_state_machine_as_test(World, settings=_settings())
            lives += _ROUND

        runs, passed = _rounds(seconds, progress, one, lambda: lives)
        return Outcome("hypothesis", 0, runs, passed)


def missing() -> str | None:
    """What to install before C can be fuzzed."""
    probe = ["clang", "-fsanitize=fuzzer", "-x", "c", "-", "-o", os.devnull]
    empty = b"int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n && 0; }"
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(probe, input=empty, capture_output=True, check=False).returncode == 0:
            return None
    return "clang and its libFuzzer; on Debian: apt-get install clang libclang-rt-dev"


TARGETS: list[Target] = [
    CTarget("frame", "frames in C: the codec alone", "frame_fuzz.c"),
    CTarget("guest", "frames in C: the guest's decisions, without a kernel", "guest_fuzz.c"),
    FramesTarget(),
    LinesTarget(),
    PoolTarget(),
]
