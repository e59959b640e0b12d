"""One way to run programs, measured: run by `peers.py` in an environment of its own.

Prints JSON. Every way is measured by the same lines, in a process that does nothing else.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HELLO = "print(1)"
MUCH = "print('x' * (8 << 20))"
MARK = "/tmp/sandboxd-bench-mark"
LEAVES = f"open({MARK!r}, 'w').close(); print('left')"
LOOKS = f"import os; print(os.path.exists({MARK!r}))"
THREADS = 4
SECONDS = 4.0
"""For each thing that is measured by repeating it."""
Run = Callable[[str], str]
"""Runs a program, and gives what it printed."""


@contextlib.contextmanager
def sandboxd(_: str, socket: str) -> Iterator[Run]:
    from sandboxd_client import Client, Limits

    with Client(socket) as client:
        limits = Limits(output=16 << 20)
        big = {"limits": limits, "capture": False}

        def run(code: str) -> str:
            if code is not MUCH:
                return str(client.run("python", code).stdout)
            with client.stream("python", code, **big) as stream:  # type: ignore[arg-type]
                return "".join(event.text for event in stream if hasattr(event, "text"))

        yield run


@contextlib.contextmanager
def subprocess_alone(_: str, __: str) -> Iterator[Run]:
    python = ["/usr/bin/python3", "-c"]

    def run(code: str) -> str:
        return subprocess.run([*python, code], check=True, capture_output=True, text=True).stdout

    try:
        yield run
    finally:
        Path(MARK).unlink(missing_ok=True)  # it is this machine's own folder


@contextlib.contextmanager
def docker_run(image: str, _: str) -> Iterator[Run]:
    import docker

    client = docker.from_env()
    settings = {"remove": True, "network_mode": "none", "entrypoint": ["python3", "-c"]}
    yield lambda code: str(client.containers.run(image, [code], **settings).decode())


@contextlib.contextmanager
def docker_exec(image: str, _: str) -> Iterator[Run]:
    import docker

    container = docker.from_env().containers.run(
        image, entrypoint=["sleep", "3600"], network_mode="none", detach=True, auto_remove=True
    )
    try:
        yield lambda code: str(container.exec_run(["python3", "-c", code]).output.decode())
    finally:
        container.remove(force=True)


def _llm_settings(image: str) -> dict[str, Any]:
    settings = {"lang": "python", "image": image, "keep_template": True}
    return settings | {
        "skip_environment_setup": True,
        "runtime_configs": {"network_mode": "none"},
    }


@contextlib.contextmanager
def llm_sandbox(image: str, _: str) -> Iterator[Run]:
    from llm_sandbox import SandboxSession

    def run(code: str) -> str:
        with SandboxSession(**_llm_settings(image)) as session:
            return str(session.run(code).stdout)

    yield run


@contextlib.contextmanager
def llm_sandbox_pooled(image: str, _: str) -> Iterator[Run]:
    from llm_sandbox import SandboxSession
    from llm_sandbox.pool import PoolConfig, create_pool_manager

    size = PoolConfig(min_pool_size=THREADS, max_pool_size=THREADS)
    pool = create_pool_manager(backend="docker", config=size, **_llm_settings(image))

    def run(code: str) -> str:
        with SandboxSession(lang="python", pool=pool) as session:
            return str(session.run(code).stdout)

    try:
        yield run
    finally:
        pool.close()


WAYS = {
    way.__name__: way
    for way in (
        subprocess_alone,
        sandboxd,
        docker_exec,
        docker_run,
        llm_sandbox,
        llm_sandbox_pooled,
    )
}


def measure(run: Run) -> dict[str, Any]:
    """Seconds, runs a second, MB/s, and whether a run sees what an earlier one left."""
    check(run(HELLO), "1")
    times = list(_repeat(lambda: run(HELLO)))
    with ThreadPoolExecutor(THREADS) as threads:
        began = time.perf_counter()
        done = sum(
            threads.map(lambda _: sum(1 for _ in _repeat(lambda: run(HELLO))), range(THREADS))
        )
        rate = done / (time.perf_counter() - began)
    began = time.perf_counter()
    check(run(MUCH), "x" * (8 << 20))
    output = (8 << 20) / 1e6 / (time.perf_counter() - began)
    check(run(LEAVES), "left")
    seen = False
    for _ in range(2 * THREADS):
        seen = seen or run(LOOKS).strip() == "True"
    return {
        "p50": statistics.median(times) * 1000,
        "p95": statistics.quantiles(times, n=20, method="inclusive")[-1] * 1000,
        "rate": rate,
        "output": output,
        "seen": seen,
    }


def _repeat(work: Callable[[], object]) -> Iterator[float]:
    """Seconds of each call, for a while."""
    until = time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < until:
        work()
        yield time.perf_counter() - began


def check(printed: str, expected: str) -> None:
    if printed.strip() != expected:
        raise SystemExit(f"printed {printed[:200]!r}, not {expected[:20]!r}")


if __name__ == "__main__":
    name, image, socket = sys.argv[1:]
    with WAYS[name](image, socket) as run:
        print(json.dumps(measure(run)))
