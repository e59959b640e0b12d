"""A run before it begins: what was asked for, what was decided, and then its frames."""

from __future__ import annotations

from msgspec import Struct

from sandboxd.errors import PayloadTooLargeError
from sandboxd.guest import frames
from sandboxd.guest.frames import Command
from sandboxd.languages import Language, processors
from sandboxd.pool.fleet import Variant
from sandboxd.run.laid import LaidFile, check_files, encode_files
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
    message: bytes
    """Arguments and environment, as the language's runner takes them."""


def make_plan(
    request: RunRequest,
    language: Language,
    profile: Profile,
    limits: EffectiveLimits,
    variant: Variant,
) -> Plan:
    """Raises what `check_files` and `encode_message` raise."""
    check_files(request.files, limits.files_total, language.code_name)
    message = encode_message(request, language, limits)
    return Plan(request, language, profile, limits, variant, message)


def encode_message(request: RunRequest, language: Language, limits: EffectiveLimits) -> bytes:
    """Raises PayloadTooLargeError, and InvalidParamsError for what no process can be given."""
    own = {} if request.limits.cpus is None else processors(limits.cpus)
    message = language.encode_message(request.args, own | request.env)
    if len(message) > frames.MESSAGE_MAX:
        raise PayloadTooLargeError(
            f"args and env take {len(message)} bytes; together they may take "
            f"{frames.MESSAGE_MAX}; send larger things on stdin"
        )
    return message


def encode_go(plan: Plan) -> bytes:
    """The frame that lets a run begin."""
    request, limits = plan.request, plan.limits
    return frames.encode_go(
        limits.timeout,
        limits.output,
        stdin=request.stdin is not None or request.stdin_streamed,
        hold=bool(request.outputs),
        whole=not request.stream,
    )


def prepare(plan: Plan, go: bytes) -> bytes:
    """All frames of a hand-out, `go` the last. They are made when there is a container."""
    tmp = plan.limits.tmp
    return b"".join(
        [
            *([] if tmp == plan.profile.limits.tmp else [frames.encode_size(tmp)]),
            *encode_files(plan.request.files),
            frames.encode_data(Command.CODE, plan.request.program),
            frames.encode_data(Command.MESSAGE, plan.message),
            go,
        ]
    )
