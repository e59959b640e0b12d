"""A run over the wire with nothing but the standard library's json.

`sandbox run` is typed and waited for, and loading the typed client takes longer than
most programs run. What stands here is the part of `protocol` that it needs.
"""

from __future__ import annotations

import base64
import json
import signal

from sandboxd_client._connection import Connection
from sandboxd_client.errors import SandboxError, from_wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from sandboxd_client.cli._local import EmptyFolder, LocalFile

_RAW, _RUN = 1, 2  # ids of the two requests
_STDIN_WINDOW = 1024 * 1024
_FILES_INLINE = 1024 * 1024
_PIECE = 96 * 1024
_CODE_PATH = ""


def to_wire(data: bytes) -> str | dict[str, str]:
    """A blob: text as it is, anything else in base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def from_blob(blob: str | dict[str, str]) -> bytes:
    return blob.encode() if isinstance(blob, str) else base64.b64decode(blob["base64"])


class QuickRun:
    """One run on a connection of its own; closing that kills the program, unless it is kept."""

    def __init__(
        self,
        socket: str,
        params: dict[str, Any],
        method: str = "run",
        code: bytes | None = None,
        files: Mapping[str, LocalFile | EmptyFolder] = {},
    ) -> None:
        self._connection = Connection(socket)
        self._following: dict[str, Iterator[bytes]] = {}
        """Content that the line has no room for: it is sent once it is wanted."""
        self._arriving: dict[int, list[Any]] = {}
        """Pieces of files that come ahead of the answer, by their place in it."""
        self._stream: tuple[str, int] | None = None
        """The stream of output whose bytes have not all arrived, and how many are missing."""
        self._ahead = 0
        self.queued: dict[str, Any] | None = None
        """Its place in the queue, while it waits."""
        self.run: str | None = None
        """Its id, known once it has started."""
        self.result: dict[str, Any] | None = None
        """Known once the run has ended."""
        if code is not None:
            params = params | {"code": self._code(code)}
        if files:
            params = params | {"files": self._name(files)}
        self._send(id=_RAW, method="initialize", params={"output": "raw", "files": "pieces"})
        self._send(id=_RUN, method=method, params=params)

    def _code(self, code: bytes) -> str | dict[str, Any]:
        """The code as the request has it: as text, as base64, or its size."""
        if len(code) <= _FILES_INLINE:
            return to_wire(code)
        starts = range(0, len(code), _PIECE)
        self._following[_CODE_PATH] = (code[at : at + _PIECE] for at in starts)
        return {"size": len(code)}

    def _name(self, files: Mapping[str, LocalFile | EmptyFolder]) -> dict[str, Any]:
        """The files as the request has them: with their content, or its size."""
        named: dict[str, Any] = {}
        room = _FILES_INLINE
        for name, file in files.items():
            named[name] = {} if file.mode is None else {"mode": file.mode}
            if file.size <= room:
                room -= file.size
                named[name]["data"] = to_wire(b"".join(file.pieces()))
            else:
                self._following[name] = file.pieces()
                named[name]["size"] = file.size
        return named

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    @property
    def stdin_room(self) -> int:
        """Bytes of stdin that the daemon takes without holding this client up."""
        return max(0, _STDIN_WINDOW - self._ahead)

    def send_stdin(self, data: bytes) -> None:
        """Sends stdin to a run that streams it; no data is its end."""
        self._ahead += len(data)
        params: dict[str, Any] = {"id": _RUN, "data": to_wire(data)} if data else {"id": _RUN}
        self._send(method="run.input", params=params | {"eof": not data})

    def interrupt(self, number: int) -> None:
        """Sends the program SIGINT, SIGTERM or SIGHUP; nothing before it has started."""
        name = signal.Signals(number).name.removeprefix("SIG")
        self._send(method="run.interrupt", params={"id": _RUN, "signal": name})

    def take(self) -> Iterator[tuple[str, bytes]]:
        """What has been printed, as stream and bytes. Raises RemoteError.

        To be called before waiting for more: while something is sent, what arrives is
        read as well.
        """
        yield from self._arrived()
        if self.result is None:
            self._connection.read_available()
            yield from self._arrived()

    def _arrived(self) -> Iterator[tuple[str, bytes]]:
        while self.result is None:
            if self._stream is not None:
                name, size = self._stream
                data = self._connection.next_bytes(size)
                self._stream = (name, size - len(data)) if len(data) < size else None
                if data:
                    yield name, data
                elif self._stream is not None:
                    return
            else:
                line = self._connection.next_line()
                if line is None:
                    return
                try:
                    message = json.loads(line)
                except ValueError as error:
                    raise SandboxError(f"what answers is no sandboxd: {error}") from None
                self._digest(message)

    def _digest(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "run.output":
                self._stream = params["stream"], params["size"]
            case "run.queued":
                self.queued = params
            case "run.started":
                self.queued, self.run = None, params["run"]
            case "run.stdin":
                self._ahead -= params["taken"]
            case "files.wanted":
                self._send_files()
            case "files.output":
                self._arriving.setdefault(params["index"], []).append(params["data"])
            case None if message.get("id") in (_RUN, None):  # None: what it could not read at all
                if error := message.get("error"):
                    raise from_wire(error["code"], error["message"], error.get("data", {}))
                self.result = message["result"]
                for index, came in self._arriving.items():
                    message["result"]["files"][index]["data"] = _joined(came)

    def _send_files(self) -> None:
        for name, pieces in self._following.items():
            for piece in pieces:
                data = {"base64": base64.b64encode(piece).decode("ascii")}
                self._send(method="files.input", params={"id": _RUN, "path": name, "data": data})

    def _send(self, **message: Any) -> None:
        try:
            line = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False, allow_nan=False)
            data = line.encode()
        except UnicodeEncodeError as error:
            text = ascii(error.object[error.start : error.end])
            raise SandboxError(
                f"not UTF-8: {text}. Arguments, variables and names are text; bytes can be "
                "given on stdin, or in a file by -f"
            ) from None
        except ValueError:
            raise SandboxError("a limit is no finite number") from None
        self._connection.send(data + b"\n")


def _joined(came: list[Any]) -> str | dict[str, str]:
    """The blob of some pieces, all text or all base64."""
    if isinstance(came[0], str):
        return "".join(came)
    return {"base64": "".join(piece["base64"] for piece in came)}
