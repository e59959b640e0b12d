"""The wire contract in types: JSON-RPC 2.0, one object a line, on a Unix socket.

The daemon imports this module too, so both ends speak from the same page.
Sizes are bytes, durations are seconds.
"""

from __future__ import annotations

import base64
import enum
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from sandboxd_client._paths import default_socket_name

PROTOCOL = 1
"""Raised by any change that a client which knows the last one could not bear."""

MAX_LINE = 16 * 1024 * 1024
"""Default limit of one line, in bytes."""


def default_socket() -> Path:
    """Where the daemon listens unless told otherwise; see `_paths`."""
    return Path(default_socket_name())


# --- blobs ---


class Base64(Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that are not UTF-8 text, or 64 KiB and more that JSON would more than double."""

    base64: str


Blob = str | Base64
"""Text as it is, anything else in base64."""


_LONG = bytes({*range(0x20)} - {*b"\b\t\n\f\r"})
"""Each of these takes six bytes in JSON."""
_MANY = 65536


def count_long(data: bytes) -> int:
    """How many of them there are."""
    return len(data) - len(data.translate(None, _LONG))


def to_blob(data: bytes) -> Blob:
    """The blob for some bytes: text when they are UTF-8, base64 otherwise.

    So are 64 KiB and more that JSON would make more than twice as long, such as zeros.
    """
    try:
        if len(data) < _MANY or 5 * count_long(data) <= len(data):
            return data.decode()
    except UnicodeDecodeError:
        pass
    return Base64(base64.b64encode(data).decode("ascii"))


def from_blob(blob: Blob) -> bytes:
    """The bytes of a blob. Raises ValueError where base64 is malformed."""
    if isinstance(blob, str):
        return blob.encode()
    return base64.b64decode(blob.base64, validate=True)


def blob_size(blob: Blob) -> int:
    """The bytes that a blob stands for, as far as its base64 is well-formed."""
    if isinstance(blob, str):
        return len(blob) if blob.isascii() else len(blob.encode())
    return len(blob.base64) // 4 * 3 - blob.base64[-2:].count("=")


def blob_pieces(blob: Blob) -> Iterator[Blob]:
    """A blob's content in pieces that any line has room for."""
    if isinstance(blob, str):
        yield from (blob[at : at + FILE_PIECE] for at in range(0, len(blob), FILE_PIECE))
        return
    text = blob.base64
    yield from (Base64(text[at : at + FILE_PIECE]) for at in range(0, len(text), FILE_PIECE))


FILE_PIECE = 128 * 1024
"""Characters of a file in one notification: of base64 a multiple of four."""
FILES_INLINE = 1024 * 1024
"""Bytes of files that a line has of its own, and of code; what is beyond goes in pieces."""
CODE_PATH = ""
"""Stands for the code among files that follow their request."""


# --- sizes ---

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNITS[_letter] = _UNITS[_letter + "IB"] = 1024**_power
    _UNITS[_letter + "B"] = 1000**_power

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def parse_size(size: int | str) -> int:
    """Bytes of a size such as 1024, "256MiB", "1.5 GB" or "64k".

    K, M, G, T and KiB… are powers of 1024, KB… of 1000. Raises ValueError.
    """
    if isinstance(size, int):
        if size < 0:
            raise ValueError(f"a size cannot be negative: {size}")
        return size
    match = _SIZE.fullmatch(size)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f'not a size: {size!r}; write bytes, or a size such as "256MiB"')
    whole, _, fraction = match[1].partition(".")
    unit = _UNITS[match[2].upper()]
    part = 10 ** len(fraction)
    return int(whole) * unit + int(fraction or 0) * unit // int(part)


# --- JSON-RPC ---

RequestId = int | str


class Request(Struct, forbid_unknown_fields=True):
    """A call, or without an id a notification, in either direction."""

    jsonrpc: str
    method: str
    id: RequestId | UnsetType = UNSET
    params: msgspec.Raw = msgspec.Raw(b"{}")


class ErrorObject(Struct, omit_defaults=True):
    code: int
    message: str
    data: dict[str, Any] = {}


class Response(Struct):
    """The one answer to a request: a result or an error."""

    id: RequestId | None
    jsonrpc: str = "2.0"
    result: Any | UnsetType = UNSET
    error: ErrorObject | UnsetType = UNSET


PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
CANCELLED = -32800


class ErrorKind(enum.StrEnum):
    """Errors of this domain: stable names, in an error's `data.kind`."""

    UNKNOWN_LANGUAGE = "unknown_language"
    INVALID_LIMITS = "invalid_limits"
    NOT_PERMITTED = "not_permitted"
    QUEUE_FULL = "queue_full"
    QUOTA_EXCEEDED = "quota_exceeded"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    IMAGE_UNAVAILABLE = "image_unavailable"
    START_FAILED = "start_failed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    SESSION_NOT_FOUND = "session_not_found"
    SESSION_BUSY = "session_busy"
    RUN_NOT_FOUND = "run_not_found"
    SHUTTING_DOWN = "shutting_down"


ERROR_CODES = {kind: number for number, kind in enumerate(ErrorKind, start=1001)}
"""The positive code of each kind; the kind is what to look at."""


# --- methods: params ---


class Params(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Params refuse what they do not know: a misspelt field is not a default."""


class NoParams(Params, frozen=True):
    pass


class OutputForm(enum.StrEnum):
    """How `run.output` carries its data."""

    JSON = "json"
    RAW = "raw"
    """As `size` bytes right behind the notification's line, instead of in `data`."""


class FileForm(enum.StrEnum):
    """How an answer carries files."""

    INLINE = "inline"
    PIECES = "pieces"
    """Where they are large, in `files.output` notifications before it, `data` being empty."""


class InitializeParams(Params, frozen=True):
    client: str | None = None
    protocol: int | None = None
    output: OutputForm = OutputForm.JSON
    """For this connection, from here on."""
    files: FileForm = FileForm.INLINE
    """The same."""


class StdinObject(Params, frozen=True):
    """Stdin that is not text: `{"base64": "…"}`, or `{"stream": true}` when it
    follows in `run.input` notifications."""

    base64: str | None = None
    stream: bool = False


_Bytes = Annotated[int, Meta(ge=0, le=2**53)]


class CodeObject(Params, frozen=True):
    """Code that is not text, `{"base64": "…"}`; or with its `size` alone, and then it follows
    the request as the content of a file does whose path is `""`."""

    base64: str | None = None
    size: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class InputFile(Params, frozen=True):
    """A file that goes in, where text alone does not tell all of it. Its content is
    `base64` or `data`, or follows the request and has `size` bytes: the daemon says
    `files.wanted`, and takes it in `files.input` notifications."""

    base64: str | None = None
    data: str | Base64 | None = None
    size: _Bytes | None = None
    mode: int | None = None
    """Its permission bits, such as 493 (0o755). Without, what begins with `#!` can be
    executed (0o755), and another file that is new is 0o644."""


class WrittenFile(InputFile, frozen=True):
    """A file of `files.write`."""

    offset: _Bytes | None = None
    """Where the content goes in a file that is there already, and keeps the rest. One that
    has no such file begins with zeros."""


class FilePart(Params, frozen=True):
    """A part of a file; without `length` all of it from the offset on."""

    path: str
    offset: _Bytes = 0
    length: _Bytes | None = None


class Limits(Params, frozen=True):
    """What one run may use; None stands for the operator's default."""

    timeout: float | None = None
    """Seconds from hand-out until the program is killed."""
    memory: int | str | None = None
    """Of all the run's processes and files, without swap."""
    cpus: float | None = None
    """Cores: a hard quota."""
    cpu_shares: int | None = None
    """Weight against other runs when cores are scarce; 1024 is the usual one."""
    pids: int | None = None
    """Processes and threads at once."""
    output: int | str | None = None
    """Bytes of stdout and of stderr that are kept and sent. Where they are only streamed
    (`stream` without `capture` and `keep`), None stands for the operator's maximum."""
    files_total: int | str | None = None
    """Bytes of all files that go in, and of all that come out."""
    tmp: int | str | None = None
    """Bytes of everything the program can write: work folder, /tmp and /dev/shm."""

    def __post_init__(self) -> None:
        """Raises ValueError for what check_finite refuses."""
        check_finite({"timeout": self.timeout, "cpus": self.cpus})


def check_finite(limits: Mapping[str, object]) -> None:
    """Raises ValueError: JSON has neither NaN nor infinity, and would say nothing instead."""
    for name, value in limits.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"limits.{name} is {value}; it must be a finite number")


class Reuse(enum.StrEnum):
    """Whether a run may use a container that an earlier one of its owner used."""

    OWNER = "owner"
    NEVER = "never"


class IfBusy(enum.StrEnum):
    """What a run does while another one is under way in its session."""

    WAIT = "wait"
    """For its turn."""
    REFUSE = "refuse"
    """It is answered `session_busy`."""


_TRACEPARENT = "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


class RunParams(Params, frozen=True):
    language: str
    code: str | CodeObject
    """In a session that keeps state it is UTF-8."""
    args: list[str] = []
    env: dict[str, str] = {}
    stdin: str | StdinObject | None = None
    limits: Limits = Limits()
    files: dict[str, str | InputFile] = {}
    """Laid in the work folder before the run, by relative path. One that ends in "/" is of a
    folder that has nothing in it, as `""`."""
    outputs: list[str] = []
    """Globs, relative to the work folder, whose regular files come back; a folder's plain
    name stands for all that is in it."""
    network: bool = False
    """True needs the operator's leave."""
    read_only: bool = True
    """False gives a root file system that can be written to."""
    reuse: Reuse = Reuse.OWNER
    packages: list[str] = []
    """Installed for this run, where the operator allows it, such as "numpy==1.26"."""
    profile: str = "auto"
    """A named profile of the language, or "auto": the one that covers its imports."""
    session: str | None = None
    """Run in that session, with what its earlier runs left. Its stdin, stdout and stderr
    are its own: what an earlier run left going on in the background prints into nobody's
    output. `env` stays set. Past its time it is interrupted, and killed with its session
    if it does not end within 2 s."""
    if_busy: IfBusy = IfBusy.WAIT
    label: str | None = None
    """Free text for the history."""
    traceparent: Annotated[str, Meta(pattern=_TRACEPARENT)] | None = None
    """The caller's span (W3C Trace Context), which the run's spans are children of."""
    stream: bool = True
    """Send `run.output` notifications."""
    capture: bool = True
    """Put stdout and stderr into the result too."""
    keep: bool = False
    """The run goes on when the connection closes, its output kept for `run.attach`."""


class AttachParams(Params, frozen=True):
    """A run that was started with `keep`."""

    run: str
    after: int | None = None
    """The `seq` of the last output that the caller has: what follows it is sent.
    None is from the beginning."""


class KillParams(Params, frozen=True):
    run: str


class InputParams(Params, frozen=True):
    """`run.input`, a notification: stdin for the run that request `id` started."""

    id: RequestId
    data: Blob | None = None
    eof: bool = False


class FilesInputParams(Params, frozen=True):
    """`files.input`, a notification: more of a file whose content follows request `id`.
    It may come once `files.wanted` has said so; a file is whole when it has its size."""

    id: RequestId
    path: str
    data: Blob


class Signal(enum.StrEnum):
    """What a run may be interrupted by."""

    INT = "INT"
    TERM = "TERM"
    HUP = "HUP"


class InterruptParams(Params, frozen=True):
    """`run.interrupt`, a notification: a signal to the run that request `id` started, and to
    its process group. Nothing before it has started, and nothing to one in a session."""

    id: RequestId
    signal: Signal = Signal.INT
    """SIGINT, as Ctrl-C sends it; or as who ends a process sends it, and what hangs up."""


class CancelParams(Params, frozen=True):
    """`$/cancelRequest`, a notification."""

    id: RequestId


class SessionOpenParams(Params, frozen=True):
    language: str
    limits: Limits = Limits()
    """Of the session's container; `timeout`, `output` and `files_total` hold for each
    run that does not ask for others."""
    network: bool = False
    read_only: bool = True
    profile: str | None = None
    """A named profile of the language instead of its own."""
    packages: list[str] = []
    env: dict[str, str] = {}
    files: dict[str, str | InputFile] = {}
    ttl: float | None = None
    """Seconds that it may lie unused; None stands for the operator's default."""
    keep: bool = False
    """It outlives the connection that opened it."""


class SessionParams(Params, frozen=True):
    session: str


class FilesWriteParams(Params, frozen=True):
    session: str
    files: dict[str, str | WrittenFile]


class FilesReadParams(Params, frozen=True):
    session: str
    paths: list[str | FilePart]


class FilesListParams(Params, frozen=True):
    session: str
    path: str | None = None
    """A folder: only what is in it and below."""


# --- methods: results ---


class Nothing(Struct, frozen=True):
    """`{}`: it was done."""


class Killed(Struct, frozen=True, omit_defaults=True):
    """`{}`: the run has ended by this."""

    had_ended: bool = False
    """It had ended before."""


class EffectiveLimits(Struct, frozen=True):
    """Limits with every value known."""

    timeout: float
    memory: int
    cpus: float
    cpu_shares: int
    pids: int
    output: int
    files_total: int
    tmp: int


class LimitsInfo(Struct, frozen=True):
    default: EffectiveLimits
    max: EffectiveLimits


class EngineInfo(Struct, frozen=True):
    name: str
    version: str
    isolation: list[str] = []


class InitializeResult(Struct, frozen=True):
    server: str
    version: str
    protocol: int
    engine: EngineInfo
    languages: list[str]
    limits: LimitsInfo


class Status(enum.StrEnum):
    """How a run ended. A program that fails is a result, not an error."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    OOM = "oom"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"


class Truncated(Struct, frozen=True):
    stdout: bool = False
    stderr: bool = False


class Timings(Struct, frozen=True):
    """Seconds: waiting for a container, handing the program over, running."""

    queued: float
    handed_out: float
    ran: float


class Usage(Struct, frozen=True):
    cpu: float
    """CPU seconds of the interpreter, the program and all its processes."""
    memory_peak: int
    """Bytes: the largest resident set among the run's processes."""


class ContainerInfo(Struct, frozen=True):
    id: str
    uses: int
    """Runs it has had, this one among them."""


class RunError(Struct, frozen=True):
    phase: str
    """`compile` or `run`."""
    message: str


class OutputFile(Struct, frozen=True, omit_defaults=True):
    path: str
    size: int
    data: Blob
    mode: int | None = None
    """Its permission bits; None where it was not read from a file."""

    @property
    def content(self) -> bytes:
        """The data as bytes."""
        return from_blob(self.data)


class SkippedFile(Struct, frozen=True, omit_defaults=True):
    """Something that `outputs` named and that did not come back, such as a plain name
    of which there is nothing; or a folder that could not be looked into and may have such.
    What is not UTF-8 in a name is escaped: `\\xc3`."""

    path: str
    why: str
    named: bool = False
    """Whether it was asked for by its own name or a folder's, or came back once and was not
    kept; a pattern only meets what is there."""


class State(enum.StrEnum):
    """Of a session, after a run in it."""

    KEPT = "kept"
    LOST = "lost"
    """Its interpreter has ended, with all variables. Its files are there, and the next run has
    a new one. (`RunResult.lost` says so; where the container is lost, the session is closed.)"""


class RunResult(Struct, frozen=True, kw_only=True):
    run: str
    language: str
    status: Status
    exit_code: int
    """Of the program; 128 + N after signal N, 124 at a timeout, 137 out of memory."""
    signal: int | None
    stdout: Blob | None
    """None when it was not captured."""
    stderr: Blob | None
    truncated: Truncated
    duration: float
    timings: Timings
    usage: Usage
    files: list[OutputFile] = msgspec.field(default_factory=list)
    files_skipped: list[SkippedFile] = msgspec.field(default_factory=list)
    folders: list[str] = msgspec.field(default_factory=list)
    """Those that `outputs` named and that have nothing in them."""
    warm: bool
    """Whether a container was ready when the run asked for one."""
    container: ContainerInfo
    started_at: str
    """UTC, ISO 8601."""
    error: RunError | None = None
    value: str | None = None
    """In a session: what the last expression is, as the language prints it."""
    state: State | None = None
    """In a session: whether the next run finds what this one left."""
    lost: str | None = None
    """In a session: what has gone since the run before, and why, in words for people. Also with
    `state` "kept", where the interpreter had ended before this run began."""


class SessionOpened(Struct, frozen=True):
    session: str
    language: str
    expires_at: str
    """UTC, ISO 8601; each use puts it off."""


class SessionInfo(Struct, frozen=True):
    session: str
    language: str
    created_at: str
    last_used_at: str
    runs: int


class FilesRead(Struct, frozen=True):
    files: list[OutputFile]
    files_skipped: list[SkippedFile]


class FileInfo(Struct, frozen=True):
    path: str
    kind: str
    """`file`, `folder`, `link`, `pipe`, `socket` or `device`."""
    size: int


class HistoryListParams(Params, frozen=True):
    limit: int = 50
    """At most 1000."""
    before: str | None = None
    """A run: only what is older than it."""
    status: Status | None = None
    language: str | None = None


class HistoryGetParams(Params, frozen=True):
    run: str


class RunSummary(Struct, frozen=True, kw_only=True):
    """One run in the history."""

    run: str
    language: str
    profile: str
    status: Status
    exit_code: int
    duration: float
    started_at: str
    owner: int
    code_hash: str
    """SHA-256 of the code, in hex."""
    label: str | None = None


class RunRecord(Struct, frozen=True, kw_only=True):
    """A run's result with its code; parts that the operator does not keep are None."""

    summary: RunSummary
    result: RunResult
    limits: EffectiveLimits
    code: str | None = None
    network: bool = False
    read_only: bool = True


class Category(enum.StrEnum):
    """What kind of end a run had, for those who must react to it."""

    SUCCESS = "success"
    SYNTAX_ERROR = "syntax_error"
    COMPILE_ERROR = "compile_error"
    EXCEPTION = "exception"
    IMPORT_ERROR = "import_error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    SIGNAL = "signal"
    SANDBOX_RESTRICTION = "sandbox_restriction"
    NONZERO_EXIT = "nonzero_exit"


class Location(Struct, frozen=True):
    file: str
    line: int
    column: int | None = None
    """From 1."""


class Frame(Struct, frozen=True):
    """One level of a traceback, the innermost last."""

    file: str
    line: int
    function: str = ""
    source: str = ""


class DebugReport(Struct, frozen=True, kw_only=True):
    """What went wrong, where, what it means, and what to try."""

    status: Status
    category: Category
    language: str
    error_type: str = ""
    message: str = ""
    location: Location | None = None
    frames: list[Frame] = msgspec.field(default_factory=list)
    snippet: str = ""
    """The lines around the place, numbered, the one itself marked with `>`."""
    explanation: str = ""
    suggestions: list[str] = msgspec.field(default_factory=list)


class DebugParams(Params, frozen=True):
    """A run of the history, or the facts of one."""

    run: str | None = None
    language: str | None = None
    code: str | None = None
    stderr: str | None = None
    stdout: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    status: Status | None = None
    phase: str = "run"
    network: bool = False
    read_only: bool = True
    files: dict[str, str] = {}
    """The text of those that were sent with it: lines of theirs are shown, of a run in the
    history too."""


class LanguageInfo(Struct, frozen=True, kw_only=True):
    name: str
    aliases: list[str]
    version: str
    image: str
    warm: int
    """Containers that the pool keeps ready."""
    ready: int
    """Containers that are ready now."""
    file_extension: str
    stateful: bool
    packages: list[str] = msgspec.field(default_factory=list)
    """What is installed beside the standard library, over all of its profiles."""
    profiles: list[str] = msgspec.field(default_factory=list)


class PoolStatus(Struct, frozen=True):
    language: str
    profile: str
    idle: int
    busy: int
    starting: int
    size: int
    waiting: int
    handed_out: int
    recycled: int
    destroyed: int
    failures: int
    problem: str | None = None
    """Why containers cannot be started, while that is so."""
    recycling: int = 0
    """Those of the busy ones whose run has ended, and which will be idle again."""


class Totals(Struct, frozen=True):
    runs: int
    by_status: dict[str, int]
    output_bytes: int


class StatusResult(Struct, frozen=True):
    uptime: float
    engine: EngineInfo
    pools: list[PoolStatus]
    queue: int
    clients: int
    totals: Totals


class Check(Struct, frozen=True):
    ok: bool
    detail: str


class HealthResult(Struct, frozen=True):
    status: str
    """`ok`, `degraded` or `down`."""
    checks: dict[str, Check]


# --- notifications to the client ---


class RunQueued(Struct, frozen=True):
    """When a run has to wait for a container, and at most once a second as that changes."""

    id: RequestId
    position: int
    """Among those that wait, 1 for the next; owners take turns."""
    estimate: float | None
    """Seconds until it starts, by how long runs took of late; None where that is not known."""


class RunStarted(Struct, frozen=True):
    id: RequestId
    run: str
    warm: bool
    queued: float


class RunOutput(Struct, frozen=True):
    id: RequestId
    seq: int
    stream: str
    data: Blob | UnsetType = UNSET
    size: int | UnsetType = UNSET
    """So many bytes follow the line; see OutputForm."""


class RunStdin(Struct, frozen=True):
    """`run.stdin`: the program's side took so many more bytes of streamed stdin.

    A client that keeps no more than STDIN_WINDOW bytes ahead of this is never
    held up; one that does not care is, by the daemon not reading its socket.
    """

    id: RequestId
    taken: int


class FilesWanted(Struct, frozen=True):
    """`files.wanted`: there is room for the files whose content follows the request."""

    id: RequestId


class FilesOutput(Struct, frozen=True):
    """`files.output`: more of a file, before the answer to a request."""

    id: RequestId
    index: int
    """Its place among the `files` of the answer."""
    data: Blob


STDIN_WINDOW = 1024 * 1024
"""Bytes of streamed stdin that the daemon holds for a program that is not reading."""


class Method(enum.StrEnum):
    INITIALIZE = "initialize"
    RUN = "run"
    RUN_ATTACH = "run.attach"
    RUN_KILL = "run.kill"
    RUN_INPUT = "run.input"
    RUN_INTERRUPT = "run.interrupt"
    RUN_STDIN = "run.stdin"
    RUN_QUEUED = "run.queued"
    RUN_STARTED = "run.started"
    RUN_OUTPUT = "run.output"
    CANCEL = "$/cancelRequest"
    LANGUAGES = "languages"
    STATUS = "status"
    HEALTH = "health"
    HISTORY_LIST = "history.list"
    HISTORY_GET = "history.get"
    DEBUG_REPORT = "debug.report"
    SESSION_OPEN = "session.open"
    SESSION_CLOSE = "session.close"
    SESSION_LIST = "session.list"
    FILES_WRITE = "files.write"
    FILES_READ = "files.read"
    FILES_LIST = "files.list"
    FILES_WANTED = "files.wanted"
    FILES_INPUT = "files.input"
    FILES_OUTPUT = "files.output"
    DISCOVER = "rpc.discover"


# --- decoders ---

_T = TypeVar("_T")

# msgspec builds what it knows of a type at the type's first use, without a lock: threads
# that meet there end the process. An import is one thread's, so all is built here.
_structs = [
    kind
    for kind in vars().values()
    if isinstance(kind, type) and issubclass(kind, Struct) and kind is not Struct
]
_lists = [list[FileInfo], list[LanguageInfo], list[RunSummary], list[SessionInfo]]
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (*_structs, *_lists, msgspec.Raw)
}


def decoder(kind: type[_T]) -> msgspec.json.Decoder[_T]:
    """The one for a type of this page, which threads may share."""
    return _decoders[kind]
