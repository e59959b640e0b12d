"""What the Python fuzzers try: good things, and what a bad hand makes of them.

`$session` and `$kept` in a line stand for a session and a kept run that are there.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from hypothesis import strategies as st

from sandboxd.guest.frames import PAYLOAD_MAX, Event
from sandboxd.rpc.methods import HANDLERS
from tests.fuzz.worlds import Line, to_line

# --- bytes ---

places = st.lists(st.integers(0, 1 << 20), max_size=8)
"""Where a stream is cut."""
pauses = st.sampled_from([0, 10, 100, 1000])
"""Turns of the loop: in the last, whatever can end has ended."""


@st.composite
def mangled(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Some of its bytes changed, left out or doubled."""
    data = bytearray(draw(good))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 2)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
            case 1:
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = data[at : at + draw(st.integers(1, 8))]
    return bytes(data)


# --- frames ---


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack("<IB", len(payload), kind) + payload


_payloads = st.binary(max_size=80) | st.integers(PAYLOAD_MAX - 1, PAYLOAD_MAX).map(bytes)
_verdicts = st.binary(min_size=57, max_size=57)
_words = st.fixed_dictionaries(
    {"run": st.sampled_from([0, 1, 2, -1, 2**60, "1"])},
    optional={
        "exit_code": st.sampled_from([0, 1, 255, 256, None]),
        "cpu": st.sampled_from([0.0, 0.5, -1.0, 1e300]),
        "memory": st.sampled_from([0, 4096, -1]),
        "value": st.text(max_size=4) | st.none(),
        "files": st.lists(
            st.fixed_dictionaries(
                {"path": st.sampled_from(["value.png", "../x"]), "size": st.integers(-1, 2)},
                optional={"data": st.sampled_from(["", "AA==", "*"])},
            ),
            max_size=2,
        ),
    },
)
"""What a session's driver says in a note, and what it must not."""
_notes = st.lists(_words, min_size=1, max_size=3).map(
    lambda words: "".join(f"{json.dumps(word)}\n" for word in words).encode()
)
_frames = st.one_of(
    st.builds(frame, st.sampled_from(list(Event)), _payloads),
    st.builds(frame, st.just(Event.EXIT), _verdicts),
    st.builds(frame, st.just(Event.NOTE), _notes),
    st.builds(frame, st.integers(0, 255), st.binary(max_size=8)),
)
frame_streams = mangled(st.lists(_frames, max_size=6).map(b"".join)) | st.binary(max_size=64)

# --- lines ---

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_ids: st.SearchStrategy[Any] = st.sampled_from(
    [0, 1, 2, -1, "a", "b", "", 2**53, 2**70, 1.5, True, None, [], {}]
)
_codes = st.sampled_from(
    [
        "",
        "out 1",
        "out 1\nerr 2\nexit 3",
        "cat",
        "read 4",
        "hang",
        "flood 200000",
        "signal 9",
        "oom",
        "die",
        "garble",
        "args",
        "write f x",
        "show f",
        "value 1",
        "note x",
        'note {"run": 1, "exit_code": 0}',
    ]
)
_sessions = st.sampled_from(["$session", "$session", "nonesuch", ""])
_runs = st.sampled_from(["$kept", "$kept", "nonesuch", ""])
_blobs = st.text(max_size=8) | st.fixed_dictionaries({"base64": st.sampled_from(["", "AA==", "*"])})
_limits = st.dictionaries(
    st.sampled_from(["timeout", "memory", "cpus", "pids", "output", "tmp", "files_total", "x"]),
    st.sampled_from([0, 0.05, 1, 100, 2**31, -1, "1KiB", "512MiB", "1TiB", "", None]),
    max_size=2,
)
_offsets = st.sampled_from([0, 1, -1, 2**62, 2**70, None])
_file_objects = st.fixed_dictionaries(
    {},
    optional={
        "base64": st.sampled_from(["", "AA==", "*"]),
        "data": _blobs,
        "size": st.sampled_from([0, 1, -1, 2**40]),
        "mode": st.sampled_from([0, 0o755, 0o4755, -1]),
        "offset": _offsets,
    },
)
_paths = st.sampled_from(["f", "a/b", "../x", ""])
_files = st.dictionaries(_paths, _blobs | _file_objects, max_size=2)
_parts = _paths | st.fixed_dictionaries(
    {"path": _paths}, optional={"offset": _offsets, "length": _offsets}
)
_run_params = st.fixed_dictionaries(
    {"language": st.sampled_from(["python", "py", "go", "nonesuch", ""]), "code": _codes},
    optional={
        "args": st.lists(st.text(max_size=4), max_size=2),
        "env": st.dictionaries(st.sampled_from(["A", "", "=", "\0"]), st.text(max_size=4)),
        "stdin": _blobs | st.just({"stream": True}),
        "files": _files,
        "outputs": st.lists(st.sampled_from(["*", "f", "../*", "["]), max_size=2),
        "limits": _limits,
        "network": st.booleans(),
        "read_only": st.booleans(),
        "reuse": st.sampled_from(["never", "sometimes"]),
        "stream": st.booleans(),
        "capture": st.booleans(),
        "session": _sessions,
        "if_busy": st.sampled_from(["wait", "refuse", "x"]),
        "keep": st.booleans(),
        "label": st.text(max_size=4) | st.just("x" * 201),
        "profile": st.sampled_from(["auto", "python", "x"]),
        "packages": st.lists(st.sampled_from(["numpy", "--help"]), max_size=1),
    },
)
_input_params = st.fixed_dictionaries(
    {"id": _ids}, optional={"data": _blobs, "eof": st.booleans(), "x": st.none()}
)
_content_params = st.fixed_dictionaries({"id": _ids, "path": _paths, "data": _blobs})
_forms = st.sampled_from([{"output": "raw"}, {"files": "pieces"}, {"files": "x"}])
_params_of = {
    "session.open": st.fixed_dictionaries(
        {"language": st.sampled_from(["python", "go", "nonesuch"])},
        optional={
            "limits": _limits,
            "files": _files,
            "ttl": st.sampled_from([0.01, 60, 0, -1, 1e9, None]),
            "keep": st.booleans(),
        },
    ),
    "session.close": st.fixed_dictionaries({"session": _sessions}),
    "files.write": st.fixed_dictionaries({"session": _sessions, "files": _files}),
    "files.read": st.fixed_dictionaries(
        {"session": _sessions, "paths": st.lists(_parts, max_size=2)}
    ),
    "files.list": st.fixed_dictionaries(
        {"session": _sessions}, optional={"path": st.sampled_from(["a", "..", "", None])}
    ),
    "run.attach": st.fixed_dictionaries(
        {"run": _runs}, optional={"after": st.sampled_from([0, 1, -1, 2**70, None])}
    ),
    "run.kill": st.fixed_dictionaries({"run": _runs}),
    "history.get": st.fixed_dictionaries({"run": _runs}),
    "debug.report": st.fixed_dictionaries({"run": _runs})
    | st.fixed_dictionaries(
        {"language": st.just("python"), "code": _codes, "stderr": st.text(max_size=8)},
        optional={"exit_code": st.integers(-1, 256)},
    ),
}
_to_methods: st.SearchStrategy[tuple[str, Any]] = st.sampled_from(sorted(_params_of)).flatmap(
    lambda method: st.tuples(st.just(method), _params_of[method])
)
_others = sorted(method for method in HANDLERS if method != "run")


def _message(method: Any, params: Any, identity: Any, *, version: Any = "2.0") -> bytes:
    """An id of Ellipsis is none."""
    message = {"jsonrpc": version, "method": method, "params": params}
    if identity is not ...:
        message["id"] = identity
    return json.dumps(message).encode()


_requests = st.one_of(
    st.builds(_message, st.just("run"), _run_params, _ids),
    st.builds(lambda to, identity: _message(to[0], to[1], identity), _to_methods, _ids),
    st.builds(_message, st.sampled_from(_others), st.just({}), _ids),
    st.builds(_message, st.sampled_from(_others), _json, _ids | st.just(...)),
    st.builds(_message, st.just("initialize"), _forms, _ids),
    st.builds(_message, st.just("run.input"), _input_params, st.just(...)),
    st.builds(_message, st.just("files.input"), _content_params, st.just(...)),
    st.builds(
        _message, st.just("$/cancelRequest"), st.builds(lambda i: {"id": i}, _ids), st.just(...)
    ),
    st.builds(_message, _json, _json, _json, version=_json),
)
_noise = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"[]", b"{}", b"null", b"[" * 3000, b'{"a":' * 800, b"\xff\xfe", b" ", b"\r"]),
    st.sampled_from([b"x" * 4096, b"x" * 4097, b'{"id": 7, "x": "' + b"y" * 6000]),
    _json.map(lambda value: json.dumps(value).encode()),
)
lines: st.SearchStrategy[list[Line]] = st.lists(
    (_requests | mangled(_requests) | _noise).map(to_line), min_size=1, max_size=8
)
