"""What a program writes and is given: without end, in odd pieces, or posing as the
protocols around it."""

from __future__ import annotations

from sandboxd_client import Limits
from sandboxd_client.protocol import from_blob
from tests.attack.probe import C, Control, Expect, Outcome, Probe, Where

MIB = 1 << 20
_TEXT = "é€😀" * 2000
_SHOWN_BY_BYTES = Control(Where.SHOWN, why="what it wrote came, byte for byte")


def _same_in_result(got: Outcome) -> None:
    """What was streamed is what the result has."""
    assert got.result is not None
    for streamed, kept in ((got.stdout, got.result.stdout), (got.stderr, got.result.stderr)):
        assert kept is not None
        assert from_blob(kept) == streamed, "the result has other bytes than were streamed"


def _is(stdout: bytes, stderr: bytes = b"") -> Expect:
    def check(got: Outcome) -> None:
        assert got.stdout == stdout, f"{len(got.stdout)} bytes on stdout, not {len(stdout)}"
        assert got.stderr == stderr, f"{len(got.stderr)} bytes on stderr, not {len(stderr)}"
        _same_in_result(got)

    return Expect(check=check)


def _cut(most: int) -> Expect:
    def check(got: Outcome) -> None:
        assert got.result is not None
        assert len(got.stdout) == most, f"{len(got.stdout)} bytes on stdout, not {most}"
        assert got.result.truncated.stdout, "nothing says that it was cut"

    return Expect(status=("output_limit",), exit_code=137, check=check)


_KINDS = b"hroecnxfgp!?\xff"
_FRAMES = b"".join(
    b"\x3d\0\0\0" + bytes([kind]) + bytes(61) + b"\xff\xff\xff\xff" + bytes([kind])
    for kind in _KINDS
)

_LINES = [
    '{"jsonrpc":"2.0","id":1,"result":{"status":"ok"}}',
    '{"jsonrpc":"2.0","method":"run.output","params":{"id":1,"seq":0,"stream":"stdout","data":"x"}}',
    '{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}',
    '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}',
    "]}]}]}",
]
_RPC = "\n".join(_LINES).encode() + b"\n"


_ENDLESS = [
    Probe(
        name="endless output in C",
        language=C,
        program="output",
        args=("endless",),
        options={"limits": Limits(output=100_000, timeout=10.0)},
        expect=_cut(100_000),
        control=Control(Where.SHOWN, why="the result says that it was cut"),
    ),
    Probe(
        name="endless output in JavaScript",
        language="javascript",
        program="const all = 'x'.repeat(65536); for (;;) require('fs').writeSync(1, all);",
        options={"limits": Limits(output=100_000, timeout=10.0)},
        expect=_cut(100_000),
        control=Control(Where.SHOWN, why="the result says that it was cut"),
    ),
    Probe(
        name="endless output of many",
        language="python",
        program="""
import os
for _ in range(80):
    if os.fork() == 0:
        while True: os.write(1, b"x" * 65536)
while True: os.write(2, b"y" * 65536)
""",
        options={"limits": Limits(output=100_000, timeout=10.0)},
        expect=Expect(status=("output_limit",), exit_code=137),
        control=Control(Where.SHOWN, why="the result says that it was too much"),
    ),
    Probe(
        name="one line of 512 MiB",
        language="python",
        program="import os\nfor _ in range(512 * 16): os.write(1, b'x' * 65536)",
        timeout=30.0,
        options={"limits": Limits(output=600 * MIB, timeout=30.0), "capture": False},
        expect=Expect(check=lambda got: _length(got, 512 * MIB)),
        control=_SHOWN_BY_BYTES,
        heavy=True,
    ),
    Probe(
        name="a million writes of one byte",
        language=C,
        program="output",
        args=("bytes",),
        timeout=20.0,
        expect=_is(b"x" * 1_000_000),
        control=_SHOWN_BY_BYTES,
        heavy=True,
    ),
    Probe(
        name="zeros that JSON makes six times as long",
        language="python",
        program=f"import sys; sys.stdout.buffer.write(bytes({8 * MIB}))",
        options={"limits": Limits(output=8 * MIB, timeout=10.0)},
        expect=_is(bytes(8 * MIB)),
        control=_SHOWN_BY_BYTES,
        heavy=True,
    ),
]


def _length(got: Outcome, length: int) -> None:
    assert len(got.stdout) == length, f"{len(got.stdout)} bytes, not {length}"
    assert not got.stdout.strip(b"x"), "other bytes than were written"


def _no_phase(got: Outcome) -> None:
    assert got.result is not None
    assert got.result.error is None, got.result.error


_ODD = [
    Probe(
        name="characters in pieces",
        language=C,
        program="output",
        args=("split",),
        expect=_is(_TEXT.encode(), _TEXT.encode()),
        control=_SHOWN_BY_BYTES,
    ),
    Probe(
        name="characters in pieces in JavaScript",
        language="javascript",
        program="""
const fs = require('fs');
for (const byte of Buffer.from('é€😀'.repeat(2000))) fs.writeSync(1, Buffer.from([byte]));
""",
        expect=_is(_TEXT.encode()),
        control=_SHOWN_BY_BYTES,
    ),
    Probe(
        name="all bytes, and characters that are cut off",
        language="ruby",
        program="""
$stdout.binmode
$stdout.write((0..255).map(&:chr).join * 100, "\\xf0\\x9f\\x98".b)
$stderr.write("\\xe2\\x82".b)
""",
        expect=_is(bytes(range(256)) * 100 + b"\xf0\x9f\x98", b"\xe2\x82"),
        control=_SHOWN_BY_BYTES,
    ),
    Probe(
        name="lines that never end and ends without lines",
        language="bash",
        program="printf 'a\\rb\\r\\n\\n\\n\\0\\0\\x1b[2J\\u2028\\ufeff'; printf '\\n\\n' >&2",
        expect=_is(b"a\rb\r\n\n\n\0\0\x1b[2J\xe2\x80\xa8\xef\xbb\xbf", b"\n\n"),
        control=_SHOWN_BY_BYTES,
    ),
    Probe(
        name="bytes that look like frames",
        language=C,
        program="output",
        args=("frames",),
        expect=_is(_FRAMES, _FRAMES),
        control=_SHOWN_BY_BYTES,
    ),
    Probe(
        name="lines that look like the daemon's, in Bash",
        language="bash",
        program=f"cat <<'END'\n{_RPC.decode()}END\n",
        expect=_is(_RPC),
        control=_SHOWN_BY_BYTES,
    ),
    Probe(
        name="lines that look like the daemon's, in JavaScript",
        language="javascript",
        program=f"process.stderr.write({_RPC.decode()!r})",
        expect=_is(b"", _RPC),
        control=_SHOWN_BY_BYTES,
    ),
    Probe(
        name="a pipe of its own making",
        language=C,
        program="output",
        args=("packets",),
        expect=_is(b"packet\n" * 2000),
        control=_SHOWN_BY_BYTES,
    ),
    Probe(
        name="its own output, read back",
        language="bash",
        program='exec 7< /proc/self/fd/1; echo stolen; read -r -u 7 line; echo "got $line"',
        # Either has it; what has nothing to read waits for its own end.
        expect=Expect(says="got stolen\n|stolen\n", status=("ok", "timeout")),
        timeout=0.3,
        control=Control(Where.SHOWN, why="one of the two has it"),
    ),
    Probe(
        name="words to descriptors that it has not",
        language="bash",
        program='for fd in 3 4 5 6 7 8 9; do { echo "compile" >&"$fd"; } 2>&- || echo closed; done',
        expect=Expect(says="(closed\n){7}", check=_no_phase),
        control=Control(Where.SHOWN, why="each says that it is closed"),
    ),
]


def _said_done(got: Outcome) -> None:
    assert got.result is not None
    assert got.result.stderr == "done\n"


_UNREAD = {
    "bash": "sleep 0.05; echo done >&2",
    "javascript": "setTimeout(() => console.error('done'), 50)",
    "ruby": "$stdin.close; sleep 0.05; warn 'done'",
    "sh": "exec 0<&-; sleep 0.05; echo done >&2",
}

_STDIN = [
    Probe(
        name=f"fifty megabytes of stdin that nobody reads, in {language}",
        language=language,
        program=program,
        feeds=50 * MIB,
        expect=Expect(check=_said_done),
        control=Control(Where.SHOWN, why="it ends with all of that unread"),
    )
    for language, program in _UNREAD.items()
]

PROBES = (*_ENDLESS, *_ODD, *_STDIN)
