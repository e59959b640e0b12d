"""Programs in the same image without the sandbox: `docker run --network none`, the bare
interpreter, and the limits that a run has by default but for its time.

What a program does there is kept with the image's tag, since it can only change with
the image, the program, or what stands in this folder on how it is run.
"""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from sandboxd.config import LimitsConfig, LimitValues, MaximumValues
from sandboxd.engine.images import Wanted, image_tag
from sandboxd.run.limits import resolve, to_limits
from sandboxd_client.protocol import EffectiveLimits
from tests.fidelity.corpus import LANGUAGES, Corpus, Program
from tests.fidelity.outcome import Outcome, unlike_its_name

SOURCE = Path(__file__).with_suffix(".c")
KEPT = Path(__file__).parents[2] / "build" / "fidelity"
_COMPILE = ["-D_GNU_SOURCE", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]
_USER = 1000
_TIMED_OUT = -1
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/sandbox",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
}
_TMPFS = "rw,exec,nosuid,nodev,mode=1777"
TIMEOUT = 120.0
"""Seconds, unless a program has its own: compilers are slow where all run at once."""
_CONFIG = LimitsConfig(LimitValues(timeout=TIMEOUT), MaximumValues(timeout=TIMEOUT))


def outcomes(language: str, corpus: Corpus, programs: Sequence[Program]) -> list[Outcome]:
    """Of each program, in their order; from the last time where nothing has changed."""
    tag = _image(language)
    files = [_kept(tag, corpus, program) for program in programs]
    found = {
        at: msgspec.msgpack.decode(file.read_bytes(), type=Outcome)
        for at, file in enumerate(files)
        if file.exists()
    }
    # One container has one set of limits.
    batches: dict[EffectiveLimits, list[int]] = {}
    for at in set(range(len(programs))) - set(found):
        batches.setdefault(effective(programs[at]), []).append(at)
    for limits, batch in batches.items():
        ended = _run(language, corpus, limits, [programs[at] for at in batch])
        for at, outcome in zip(batch, ended, strict=True):
            found[at] = outcome
            if not unlike_its_name(programs[at], outcome):
                _keep(files[at], outcome)
    return [found[at] for at in range(len(programs))]


def prepare(language: str, corpus: Corpus, programs: Iterable[Program]) -> None:
    """What is done once before these, with no limits, where one of them is to be run."""
    tag = _image(language)
    if corpus.prepare and not all(_kept(tag, corpus, program).exists() for program in programs):
        _said([*_container(language), "--entrypoint=sh", tag, "-c", corpus.prepare])


def effective(program: Program) -> EffectiveLimits:
    return resolve(program.limits, to_limits(_CONFIG.default), _CONFIG.max)


def _kept(tag: str, corpus: Corpus, program: Program) -> Path:
    """Where its outcome lies, named by all that it follows from."""
    told = [
        msgspec.json.encode([corpus.prepare, corpus.bare, program, effective(program)]),
        *(path.read_bytes() for path in (SOURCE, Path(__file__))),
    ]
    digest = hashlib.sha256()
    for part in told:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return KEPT / tag.replace("/", "-").replace(":", "-") / digest.hexdigest()[:24]


def _keep(file: Path, outcome: Outcome) -> None:
    """Whole, also where two do the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as written:
        written.write(msgspec.msgpack.encode(outcome))
    Path(written.name).replace(file)


def _run(
    language: str, corpus: Corpus, limits: EffectiveLimits, programs: Sequence[Program]
) -> list[Outcome]:
    """One container for all of them: `bare.c` says why that is the same."""
    code_name = LANGUAGES[language].code_name
    with tempfile.TemporaryDirectory(prefix="sandboxd-bare-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        compiler = shlex.split(os.environ.get("CC", "cc"))
        subprocess.run([*compiler, *_COMPILE, "-o", folder / "bare", SOURCE], check=True)
        for number, program in enumerate(programs):
            _lay_out(folder / "programs" / str(number), code_name, corpus.bare, program)
        command = [
            *_container(language, f",size={limits.tmp}"),
            *(f"--memory={limits.memory}", f"--memory-swap={limits.memory}"),
            # The first process is not the program's.
            *(f"--cpus={limits.cpus}", f"--pids-limit={limits.pids + 1}"),
            f"--shm-size={limits.tmp}",
            f"--volume={folder}:/bare:ro",
            "--entrypoint=/bare/bare",
            *(_image(language), str(len(programs)), str(round(limits.timeout * 1000))),
        ]
        stream = io.BytesIO(_said(command))
    return [_read(stream, code_name, program) for program in programs]


def _said(command: Sequence[str]) -> bytes:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{done.args}: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")
    return done.stdout


def _image(language: str) -> str:
    return image_tag(Wanted(LANGUAGES[language]))


def _container(language: str, room: str = "") -> list[str]:
    cache = KEPT / "cache" / language
    cache.mkdir(parents=True, exist_ok=True)
    cache.chmod(0o777)
    return [
        *("docker", "run", "--rm", "--network=none", "--hostname=sandbox", "--read-only"),
        *(f"--user={_USER}:{_USER}", "--workdir=/sandbox", f"--volume={cache}:/cache"),
        *(f"--tmpfs={folder}:{_TMPFS}{room}" for folder in ("/sandbox", "/tmp")),
        *(f"--ulimit=nofile={_CONFIG.nofile}", "--ulimit=core=0"),
        *(f"--env={name}={value}" for name, value in _ENVIRONMENT.items()),
    ]


def _lay_out(folder: Path, code_name: str, bare: str, program: Program) -> None:
    """What the container reads of one program: its files, its command and its stdin."""
    for path, text in {code_name: program.code, **program.files}.items():
        file = folder / "work" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "stdin").write_text(program.stdin)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in program.env.items()]
    # PWD is the shell's own.
    command = "\n".join(["unset PWD", *exports, f"set -- {shlex.join(program.args)}", bare])
    (folder / "command").write_text(command)


def _read(stream: io.BytesIO, code_name: str, program: Program) -> Outcome:
    status, *sizes = map(int, stream.readline().split())
    stdout, stderr, packed = (stream.read(size) for size in sizes)
    exit_code, name = 124, ""
    if status != _TIMED_OUT:
        exit_code = os.waitstatus_to_exitcode(status)
        if exit_code < 0:
            name = signal.Signals(-exit_code).name
            exit_code = 128 - exit_code
    given = {code_name: program.code, **program.files}
    return Outcome(stdout, stderr, exit_code, name, left(_unpack(packed), given))


def _unpack(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = ((member, archive.extractfile(member)) for member in archive if member.isreg())
        return {member.name.removeprefix("./"): file.read() for member, file in files if file}


def left(files: dict[str, bytes], given: dict[str, str]) -> dict[str, bytes]:
    """Those that are the program's doing."""
    return {
        path: data
        for path, data in files.items()
        if path not in given or data != given[path].encode()
    }
