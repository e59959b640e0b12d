"""What is known of a run that is to be explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from sandboxd_client.protocol import Status


class Facts(Struct, frozen=True, kw_only=True):
    """A run's program and how it ended, and what only the sandbox knows.

    Sizes are bytes, durations are seconds; None stands for what is not known.
    """

    language: str
    """Its name, not an alias."""
    code: str
    status: Status
    exit_code: int
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    phase: Literal["compile", "run"] = "run"
    files: Mapping[str, str] = {}
    """The text of files that were sent with it, as far as it is known."""
    network: bool = False
    read_only: bool = True
    timeout: float | None = None
    duration: float | None = None
    memory_limit: int | None = None
    memory_peak: int | None = None
    pids_limit: int | None = None
    output_limit: int | None = None
    tmp_limit: int | None = None
    modules: tuple[str, ...] = ()
    """Packages that this image has beside the standard library."""
    profiles_with: Mapping[str, str] = {}
    """Packages of the language's other images: the profile that has each."""
