"""Lines to and from the daemon: what the synchronous and the asynchronous client share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from sandboxd_client._files import Arriving, Files, wire_files
from sandboxd_client.errors import SandboxError, UsageError, from_wire
from sandboxd_client.protocol import (
    STDIN_WINDOW,
    AttachParams,
    ErrorObject,
    FileForm,
    FilesOutput,
    FilesWanted,
    IfBusy,
    InitializeParams,
    InputParams,
    Limits,
    Method,
    OutputForm,
    RequestId,
    Reuse,
    RunOutput,
    RunParams,
    RunQueued,
    RunResult,
    RunStarted,
    RunStdin,
    Status,
    StdinObject,
    check_finite,
    decoder,
    from_blob,
    to_blob,
)

STDIN_CHUNK = 64 * 1024
"""Bytes of stdin in one line."""
Stdin = bytes | str | Iterable[bytes] | None
"""Given whole as bytes or text, or in pieces, sent as the program takes them."""

_Result = TypeVar("_Result")


class Incoming(Struct):
    """Any line from the daemon; its fields tell which kind it is."""

    id: RequestId | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"null")
    result: msgspec.Raw | UnsetType = UNSET
    error: ErrorObject | UnsetType = UNSET


class _Addressed(Struct):
    """The part of a notification's params that says which request it is about."""

    id: RequestId


class Queued(Struct, frozen=True):
    """Where a run stands that has to wait for a container."""

    position: int
    """1 for the next; owners take turns."""
    estimate: float | None
    """Seconds until it starts, where that is known."""


class Started(Struct, frozen=True):
    """The program was handed to a container."""

    run: str
    warm: bool
    queued: float


Stream = Literal["stdout", "stderr"]


class Output(Struct, frozen=True):
    """Something the program printed."""

    stream: Stream
    data: bytes

    @property
    def text(self) -> str:
        """The data as text, with what is not UTF-8 replaced."""
        return self.data.decode(errors="replace")


class Piece(Struct, frozen=True):
    """Output with its number, and its bytes unless `size` of them follow its line."""

    seq: int
    stream: Stream
    size: int
    data: bytes | None


class StdinTaken(Struct, frozen=True):
    """The program's side took so many bytes of stdin."""

    count: int


Told = FilesWanted | FilesOutput
"""What is said of the files of a request, or of its answer."""

Event = Started | Output
"""What a stream yields."""

_encoder = msgspec.json.Encoder()
_incoming = msgspec.json.Decoder(Incoming)
_addressed = msgspec.json.Decoder(_Addressed)
_output = decoder(RunOutput)
_queued = decoder(RunQueued)
_started = decoder(RunStarted)
_stdin = decoder(RunStdin)
_of_files: dict[str, msgspec.json.Decoder[Told]] = {
    Method.FILES_WANTED: decoder(FilesWanted),
    Method.FILES_OUTPUT: decoder(FilesOutput),
}


def request_line(request: RequestId, method: Method, params: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": request, "method": method, "params": params}
    return _encoder.encode(message) + b"\n"


def notification_line(method: Method, params: Any) -> bytes:
    return _encoder.encode({"jsonrpc": "2.0", "method": method, "params": params}) + b"\n"


def input_lines(request: RequestId, data: bytes) -> Iterator[bytes]:
    """Stdin of a run, in lines of a size that any daemon takes."""
    for start in range(0, len(data), STDIN_CHUNK):
        params = InputParams(id=request, data=to_blob(data[start : start + STDIN_CHUNK]))
        yield notification_line(Method.RUN_INPUT, params)


def end_of_input_line(request: RequestId) -> bytes:
    return notification_line(Method.RUN_INPUT, InputParams(id=request, eof=True))


def forms_line(request: RequestId, *, raw: bool = False) -> bytes:
    """Says how this connection wants its answers. What the daemon answers to it is passed
    over: one that knows no better goes on as it always did."""
    params = InitializeParams(
        client="sandboxd-client",
        output=OutputForm.RAW if raw else OutputForm.JSON,
        files=FileForm.PIECES,
    )
    return request_line(request, Method.INITIALIZE, params)


def parse_line(line: bytes | bytearray | memoryview) -> Incoming:
    try:
        return _incoming.decode(line)
    except (msgspec.DecodeError, ValueError) as error:
        raise SandboxError(f"what answers is no sandboxd: {error}") from None


def about(message: Incoming) -> RequestId | None:
    """The request that a line answers or tells of."""
    if message.method is None:
        return message.id
    try:
        return _addressed.decode(message.params).id
    except msgspec.DecodeError:
        return None


def _piece(output: RunOutput) -> Piece:
    stream: Stream = "stdout" if output.stream == "stdout" else "stderr"
    if isinstance(output.size, int):
        return Piece(output.seq, stream, output.size, None)
    data = b"" if output.data is UNSET else from_blob(output.data)
    return Piece(output.seq, stream, len(data), data)


def to_event(message: Incoming) -> Event | Piece | Queued | StdinTaken | Told | None:
    """The event in a notification; None for kinds newer than this client."""
    match message.method:
        case Method.RUN_OUTPUT:
            return _piece(_output.decode(message.params))
        case Method.RUN_QUEUED:
            queued = _queued.decode(message.params)
            return Queued(queued.position, queued.estimate)
        case Method.RUN_STARTED:
            started = _started.decode(message.params)
            return Started(started.run, started.warm, started.queued)
        case Method.RUN_STDIN:
            return StdinTaken(_stdin.decode(message.params).taken)
        case Method.FILES_WANTED | Method.FILES_OUTPUT as method:
            return _of_files[method].decode(message.params)
        case _:
            return None


def to_result(message: Incoming, kind: type[_Result]) -> _Result:
    """The result in an answer. Raises the RemoteError that it holds instead."""
    if not isinstance(message.error, UnsetType):
        error = message.error
        raise from_wire(error.code, error.message, error.data)
    if message.result is UNSET:
        raise SandboxError("the daemon answered with neither a result nor an error")
    try:
        return decoder(kind).decode(message.result)
    except msgspec.DecodeError as error:
        raise SandboxError(f"what answers is no sandboxd: {error}") from None


class Following:
    """A run, as far as the daemon has told of it."""

    queued: Queued | None = None
    """Where the run stands, while it waits for a container."""
    seq: int | None = None
    """The number of the last output that came, for `attach`."""
    _ENTERING = "with client.stream(…) as run"

    def __init__(self, params: RunParams | AttachParams) -> None:
        self._params = params
        self._entered: RequestId | None = None
        self._method = Method.RUN if isinstance(params, RunParams) else Method.RUN_ATTACH
        self._has_outputs = not isinstance(params, RunParams) or bool(params.outputs)
        self._stdin_sent = self._stdin_taken = 0
        self._files_wanted = False
        self._arriving = Arriving()
        self._result: RunResult | None = None
        self._ended = False

    @property
    def _request(self) -> RequestId:
        """Raises UsageError before it is entered."""
        if self._entered is None:
            raise self._not_entered()
        return self._entered

    def _not_entered(self) -> UsageError:
        return UsageError(f"the run has not begun: enter it first, by `{self._ENTERING}:`")

    @property
    def result(self) -> RunResult:
        """The result, known once the iteration has ended. Raises UsageError before."""
        if self._result is None:
            raise UsageError("the run has not ended: iterate over its events first")
        return self._result

    @property
    def ended(self) -> bool:
        """Whether the daemon has answered: there will be no more events."""
        return self._ended

    @property
    def stdin_room(self) -> int:
        """Bytes of stdin that can be sent without the daemon having to hold them up."""
        return max(0, STDIN_WINDOW - (self._stdin_sent - self._stdin_taken))

    def _digest(self, message: Incoming) -> Event | Piece | None:
        """Takes in what is said of the run. Gives what of it is an event, or the output whose
        bytes follow; raises the RemoteError that the run was answered with."""
        if message.method is None:
            self._ended = True
            self._result = self._arriving.put_into(to_result(message, RunResult))
            return None
        match event := to_event(message):
            case Piece(data=None):
                return event
            case Piece(data=bytes() as data):
                self.seq = event.seq
                return Output(event.stream, data)
            case Started():
                self.queued = None
                return event
            case Queued():
                self.queued = event
            case StdinTaken():
                self._stdin_taken += event.count
            case FilesWanted():
                self._files_wanted = True
            case FilesOutput():
                self._arriving.add(event)
        return None


class RunOptions(TypedDict, total=False):
    """What a run may be asked for besides its language and code; see `RunParams`."""

    args: Sequence[str]
    """Arguments after the program's name."""
    env: Mapping[str, str]
    """Environment on top of the language's own."""
    stdin: Stdin
    limits: Limits
    files: Files
    """Laid in the work folder before the run."""
    outputs: Sequence[str]
    """Globs, relative to the work folder, whose files are in the result."""
    network: bool
    """True needs the operator's leave."""
    read_only: bool
    """False gives a root file system that can be written to."""
    packages: Sequence[str]
    """Installed for this run, where the operator allows it, such as "numpy==1.26"."""
    profile: str
    """A named profile of the language instead of the one that fits."""
    label: str | None
    """Free text for the history."""
    session: str | None
    """Run in that session; see `Client.session`."""
    if_busy: IfBusy | Literal["wait", "refuse"]
    """While another run is under way in it: "refuse" raises SessionBusyError."""
    traceparent: str | None
    """The caller's span (W3C Trace Context), which the run's spans are children of."""
    reuse: Reuse | Literal["owner", "never"]
    """"never": a container that nobody used before, destroyed afterwards."""
    capture: bool
    """False leaves stdout and stderr out of the result."""
    keep: bool
    """The run goes on when it is left or the connection ends; see `attach` and `kill`."""


class DebugFacts(TypedDict, total=False):
    """What a report can be made from when the run is not in the history."""

    language: str
    code: str
    stdout: str
    stderr: str
    exit_code: int
    signal: int | None
    status: Status | None
    phase: Literal["compile", "run"]
    network: bool
    read_only: bool
    files: dict[str, str]
    """The text of those that were sent with it: lines of theirs are shown."""


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "args": list,
    "env": dict,
    "files": wire_files,
    "outputs": list,
    "packages": list,
}
"""Options that may be given as any sequence or mapping."""


def run_params(language: str, code: str, options: RunOptions, *, stream: bool) -> RunParams:
    """The params of `run`. Raises TypeError for an option that does not exist, and ValueError
    for a limit that is no finite number."""
    stdin = options.get("stdin")
    wire_stdin: str | StdinObject | None
    if stdin is None or isinstance(stdin, str):
        wire_stdin = stdin
    elif isinstance(stdin, bytes):
        blob = to_blob(stdin)
        wire_stdin = blob if isinstance(blob, str) else StdinObject(base64=blob.base64)
    else:
        wire_stdin = StdinObject(stream=True)
    rest: dict[str, Any] = {name: value for name, value in options.items() if name != "stdin"}
    if "reuse" in rest:
        rest["reuse"] = Reuse(rest["reuse"])
    if "if_busy" in rest:
        rest["if_busy"] = IfBusy(rest["if_busy"])
    if isinstance(rest.get("limits"), Mapping):
        check_finite(rest["limits"])
    for name, plain in _PLAIN.items():
        if name in rest:
            rest[name] = plain(rest[name])
    return RunParams(language=language, code=code, stdin=wire_stdin, stream=stream, **rest)
