"""A run before it begins: what was asked for, what was decided, and its frames."""

from __future__ import annotations

from msgspec import Struct

from sandboxd.errors import PayloadTooLargeError
from sandboxd.guest import frames
from sandboxd.guest.frames import Command
from sandboxd.languages import Language, processors
from sandboxd.pool.fleet import Variant
from sandboxd.run.laid import LaidFile, encode_files
from sandboxd.run.profiles import Profile
from sandboxd_client.protocol import EffectiveLimits, Limits

AUTO = "auto"
"""The profile that covers what the program imports."""


class RunRequest(Struct, frozen=True, kw_only=True):
    """What a client wants run."""

    owner: int
    """The uid of who asks."""
    client: int = 0
    """Tells the owner's clients apart: they take turns."""
    language: str
    code: str
    source: bytes | None = None
    """What is run, where that is not UTF-8 and the code is as text can have it."""
    args: list[str] = []
    env: dict[str, str] = {}
    stdin: bytes | None = None
    """None when there is none, or when it is streamed."""
    stdin_streamed: bool = False
    limits: Limits = Limits()
    files: dict[str, LaidFile] = {}
    outputs: list[str] = []
    variant: Variant = Variant()
    fresh: bool = False
    profile: str = AUTO
    packages: list[str] = []
    label: str | None = None
    traceparent: str | None = None
    stream: bool = True
    capture: bool = True
    keep: bool = False
    """Its output is kept in memory while nobody reads it."""

    @property
    def program(self) -> bytes:
        """The bytes of its file."""
        return self.code.encode() if self.source is None else self.source

    @property
    def only_streams(self) -> bool:
        """Whether its output is nowhere kept whole: whoever reads it sets the pace."""
        return self.stream and not (self.capture or self.keep)


class Plan(Struct, frozen=True):
    """A request with everything decided."""

    request: RunRequest
    language: Language
    profile: Profile
    limits: EffectiveLimits
    variant: Variant
    preparation: bytes
    """All frames of the hand-out, sent in one write."""


def encode_go(request: RunRequest, limits: EffectiveLimits) -> bytes:
    """The frame that lets a run begin."""
    return frames.encode_go(
        limits.timeout,
        limits.output,
        stdin=request.stdin is not None or request.stdin_streamed,
        hold=bool(request.outputs),
        whole=not request.stream,
    )


def prepare(
    language: Language, request: RunRequest, limits: EffectiveLimits, *, tmp: int, go: bytes
) -> bytes:
    """All frames of a hand-out, `go` the last; `tmp` is what the container's tmpfs has anyway.

    Raises PayloadTooLargeError, and InvalidParamsError for what no process can be given.
    """
    own = {} if request.limits.cpus is None else processors(limits.cpus)
    message = language.encode_message(request.args, own | request.env)
    if len(message) > frames.MESSAGE_MAX:
        raise PayloadTooLargeError(
            f"args and env take {len(message)} bytes; together they may take "
            f"{frames.MESSAGE_MAX}; send larger things on stdin"
        )
    parts = [frames.encode_size(limits.tmp)] if limits.tmp != tmp else []
    if request.files:
        parts += encode_files(request.files, limits.files_total, language.code_name)
    parts += [
        frames.encode_data(Command.CODE, request.program),
        frames.encode_data(Command.MESSAGE, message),
        go,
    ]
    return b"".join(parts)
