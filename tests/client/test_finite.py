"""What JSON cannot say is refused before it is sent, and never left out."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from sandboxd_client import Client, Limits
from tests.support.service import ServiceThread

PROGRAM = "import sys; from sandboxd_client.cli import main; sys.exit(main())"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_limit_that_is_no_finite_number_is_refused(client: Client, value: float) -> None:
    with pytest.raises(ValueError, match=r"limits\.timeout is"):
        Limits(timeout=value)
    given: Any = {"cpus": value}
    with pytest.raises(ValueError, match=r"limits\.cpus is"):
        client.run("python", "1", limits=given)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-t", "nan", "-c", "1"], b"finite"),
        (["-c", "1", "--", b"\xff"], b"UTF-8"),
        (["-c", "1", "-e", b"A=\xff"], b"UTF-8"),
    ],
)
def test_the_command_says_so_and_does_not_wait(
    served: ServiceThread, arguments: list[str | bytes], words: bytes
) -> None:
    command = [sys.executable, "-c", PROGRAM, "run", "--socket", str(served.socket), "python"]
    done = subprocess.run([*command, *arguments], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (125, b"")
    assert words in done.stderr
    assert b"Traceback" not in done.stderr
