"""Files that a run gives back: of odd kinds and names, too many, too large, or changing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandboxd_client import Limits
from sandboxd_client.protocol import from_blob
from tests.attack.probe import Control, Expect, Outcome, Probe, Where

_BACK = Control(Where.SHOWN, why="what comes back is what was made, or is named with the reason")
_MIB = 1 << 20
_MOST = 1000
"""Files that come back from a run at most."""


def _files(got: Outcome) -> dict[str, bytes]:
    assert got.result is not None
    return {file.path: from_blob(file.data) for file in got.result.files}


def _skipped(got: Outcome) -> dict[str, str]:
    assert got.result is not None
    return {file.path: file.why for file in got.result.files_skipped}


def _come(files: Mapping[str, bytes], skipped: Mapping[str, str]) -> Callable[[Outcome], None]:
    """Just these come back, and these do not, for reasons that have these words."""

    def check(got: Outcome) -> None:
        assert _files(got) == files, f"files {sorted(_files(got))}, not {sorted(files)}"
        told = _skipped(got)
        assert told.keys() == skipped.keys(), f"skipped {sorted(told)}, not {sorted(skipped)}"
        for path, words in skipped.items():
            assert words in told[path], f"{path}: {told[path]}"

    return check


def _many(got: Outcome) -> None:
    assert len(_files(got)) <= _MOST
    assert any("too many files" in why for why in _skipped(got).values()), "nothing says so"


def _probe(
    name: str,
    program: str,
    check: Callable[[Outcome], None],
    outputs: tuple[str, ...] = ("**",),
    **more: Any,
) -> Probe:
    """In Python, unless there is more to it."""
    settings = {"language": "python", "expect": Expect(check=check), **more}
    return Probe(
        name=name, program=program, options={"outputs": outputs}, control=_BACK, **settings
    )


_PAST_LINKS = ("etc/passwd", "one/environ", "one/root/etc/passwd", "self/file")
_OUTSIDE = ("../tmp/secret", "/tmp/secret", "/etc/passwd", "../../etc/passwd")
_NAMES = [
    "..x",
    "...",
    "a\nb",
    "-rf",
    "x" * 255,
    "*",
    "[a]",
    "a\\b",
    "%s%n",
    "\u202egnp",
    " ",
    "\x1b[1m",
]

PROBES = (
    _probe(
        "files that are something else",
        """
import os, socket
os.symlink("/etc/passwd", "link"); os.symlink("/", "root"); os.symlink("..", "up")
os.symlink("loop", "loop"); os.symlink("file", "near")
os.mkfifo("fifo"); socket.socket(socket.AF_UNIX).bind("socket"); os.mkdir("folder")
open("file", "w").write("x"); os.link("file", "hard")
""",
        _come(
            {"file": b"x", "hard": b"x"},
            {
                **dict.fromkeys(("link", "root", "up", "loop", "near"), "a symbolic link"),
                "fifo": "a named pipe",
                "socket": "a socket",
            },
        ),
    ),
    _probe(
        "files that are something else, in Bash",
        "ln -s /etc/passwd link; mkfifo fifo; ln -s /proc/self/environ environ; echo x > file",
        _come({"file": b"x\n"}, {"link": "a symbolic", "environ": "a symbolic", "fifo": "a named"}),
        language="bash",
    ),
    _probe(
        "files past a link to a folder",
        """
import os
os.symlink("/etc", "etc"); os.symlink("/proc/1", "one"); os.symlink("/sandbox", "self")
open("file", "w").write("x")
""",
        _come({"file": b"x"}, dict.fromkeys(_PAST_LINKS, "no such file")),
        (*_PAST_LINKS, "file"),
    ),
    _probe(
        "names that lead out",
        'open("/tmp/secret", "w").write("x"); open("file", "w").write("x")',
        _come({"file": b"x"}, dict.fromkeys(_OUTSIDE, "not in the work folder")),
        (*_OUTSIDE, "./../../etc/passwd", "../../**", "file"),
    ),
    _probe(
        "names that are odd",
        f"for name in {_NAMES!r}: open('/sandbox/' + name, 'w').write('1')\n"
        "open(b'/sandbox/\\xff\\xfe', 'w').write('1')",  # this one no text can name
        _come(dict.fromkeys(_NAMES, b"1"), {"\\xff\\xfe": "UTF-8"}),
    ),
    _probe(
        "files and folders that may not be read",
        """
import os
open("file", "w").write("x"); os.chmod("file", 0)
os.mkdir("folder"); open("folder/file", "w").write("y"); os.chmod("folder", 0)
os.chmod("/sandbox", 0); os.chmod("/tmp", 0)
""",
        lambda got: _at_most(got, {"file": b"x", "folder/file": b"y"}),
    ),
    _probe(
        "the code file among them",
        'open("file", "w").write("x")',
        _come({"file": b"x"}, {"main.py": "no such file"}),
        ("main.py", "*.py", "file", "**"),
    ),
    _probe(
        "a file that is mostly holes",
        """
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open("sparse", "wb") as file:
    try:
        os.ftruncate(file.fileno(), 1 << 40)
    except OSError as error:
        assert error.strerror == "File too large"
    os.ftruncate(file.fileno(), 150 << 20)
open("file", "w").write("x")
""",
        _come({"file": b"x"}, {"sparse": "157286400 bytes; limits.files_total leaves"}),
    ),
    _probe(
        "files that are too large together",
        'for n in range(4): open(f"{n}", "w").write("x" * (20 << 20))',
        _come({f"{n}": b"x" * (20 << 20) for n in range(3)}, {"3": "limits.files_total leaves"}),
        heavy=True,
        memory=384 << 20,
    ),
    _probe(
        "files of zeros",
        'for n in range(3): open(f"{n}", "wb").write(bytes(20 << 20))',
        _come({f"{n}": bytes(20 << 20) for n in range(3)}, {}),
        heavy=True,
        memory=384 << 20,
    ),
    _probe(
        "files that are swapped while they are read",
        """
import os, signal
open("file", "w").write("x" * 100); os.symlink("/etc/passwd", "link")
if os.fork() == 0:
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    os.setsid()
    while True:
        os.rename("link", "other"); os.rename("file", "link"); os.rename("other", "file")
""",
        lambda got: _at_most(got, None),
    ),
    _probe(
        "too many files",
        'for n in range(2000): open(f"{n}", "w").close()',
        _many,
        heavy=True,
    ),
    _probe(
        "names without end, none of them asked for",
        """
import os
for _ in range(15):
    os.mkdir("d" * 250); os.chdir("d" * 250)
for n in range(20_000): open(f"{n}", "w").close()
os.chdir("/sandbox"); open("file", "w").write("x")
""",
        lambda got: _at_most(got, {"file": b"x"}),
        ("file",),
        heavy=True,
    ),
    Probe(
        name="files that are laid where something else should be",
        language="bash",
        program='cat a/b/file; [ -L a ] || echo "a folder"',
        options={"files": {"a/b/file": "x\n", "main.sh.": "y", "...": "z"}},
        expect=Expect(says="x\na folder\n"),
        control=_BACK,
    ),
    Probe(
        name="more files than there is room for",
        language="bash",
        program="echo not reached",
        options={
            "files": {f"{n}": "x" * 2 * _MIB for n in range(6)},
            "limits": Limits(tmp="8MiB", timeout=10.0),
        },
        expect=Expect(status=("PayloadTooLargeError",)),
        control=Control(Where.SHOWN, why="the daemon names the limit"),
    ),
)


def _at_most(got: Outcome, files: Mapping[str, bytes] | None) -> None:
    """Nothing comes but what was made there; whether it does is not the point."""
    for path, data in _files(got).items():
        if files is None:
            assert not data.strip(b"x"), f"{path} has other bytes than were written"
        else:
            assert files.get(path) == data, f"{path} has other bytes than were written"
