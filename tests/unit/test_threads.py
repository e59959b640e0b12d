"""Threads that meet in the first use of a type: each time in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

_PROCESSES = 60
"""Of so many about fifteen died while a type's first use was what built its decoder."""

_MEETING = """
import sys, threading
{imports}

barrier = threading.Barrier(8)

def use():
    barrier.wait()
    {use}

sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("met")
"""

_RESULT = """
import msgspec
from sandboxd_client._wire import parse_line, to_result
from sandboxd_client.protocol import *

answer = b'''{"run": "r", "language": "python", "status": "ok", "exit_code": 0,
 "signal": null, "stdout": "", "stderr": "", "truncated": {"stdout": false, "stderr": false},
 "duration": 1, "timings": {"queued": 0, "handed_out": 0, "ran": 1},
 "usage": {"cpu": 0, "memory_peak": 1}, "warm": true, "container": {"id": "c", "uses": 1},
 "started_at": "2026-01-01T00:00:00Z"}'''.replace(b"\\n", b"")
plain = msgspec.json.decode(answer)
message = parse_line(b'{"jsonrpc": "2.0", "id": 1, "result": ' + answer + b"}")
"""


def deaths(imports: str, use: str) -> list[int]:
    """The exit codes of the processes that did not come to their end."""
    program = _MEETING.format(imports=imports, use=use)

    def once(_: int) -> int:
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return ended.returncode or (ended.stdout != "met\n")

    with ThreadPoolExecutor(2) as pool:
        return [code for code in pool.map(once, range(_PROCESSES)) if code]


@pytest.mark.parametrize(
    "use",
    [
        pytest.param("to_result(message, RunResult)", id="a result"),
        pytest.param("msgspec.json.decode(answer, type=RunResult)", id="a decoder of one's own"),
        pytest.param("msgspec.convert(plain, RunResult)", id="a convert"),
    ],
)
def test_threads_may_meet_in_their_first_use_of_a_type(use: str) -> None:
    assert deaths(_RESULT, use) == []
