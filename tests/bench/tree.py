"""Another commit of this repository, made ready to be measured."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sandboxd-bench"


def interpreter(commit: str) -> str:
    """The interpreter of an environment with the sandboxd of a commit, kept for the next time.

    The libraries are those of this environment, so that the commit alone makes the difference.
    """
    kept = CACHE / "commits" / _hash(commit)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / "tree"
            made.mkdir()
            archive = ["git", "-C", str(ROOT), "archive", kept.name]
            with subprocess.Popen(archive, stdout=subprocess.PIPE) as packed:
                subprocess.run(["tar", "-x"], cwd=made, stdin=packed.stdout, check=True)
            made.rename(kept)
    python = kept / ".venv" / "bin" / "python"
    if not (kept / ".installed").exists():
        venv.create(kept / ".venv", with_pip=True, clear=True)
        _install(kept, str(python))
        compile_python(str(python), kept)
        (kept / ".installed").touch()
    return str(python)


def compile_python(python: str, tree: Path) -> None:
    """So that no program of it compiles its modules when it starts, as after an installation."""
    compiling = [python, "-m", "compileall", "-q", "client", "sandboxd"]
    subprocess.run(compiling, check=True, cwd=tree)


def _install(tree: Path, python: str) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--exclude-editable"],
        check=True,
        capture_output=True,
    )
    (tree / "libraries.txt").write_bytes(listed.stdout)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--constraint", "libraries.txt", "--editable", "./client", "--editable", "."]
    subprocess.run(install, check=True, cwd=tree)


def _hash(commit: str) -> str:
    parse = ["git", "-C", str(ROOT), "rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}"]
    parsed = subprocess.run(parse, capture_output=True, text=True, check=False)
    if parsed.returncode:
        raise SystemExit(f"{commit}: there is no such commit in {ROOT}")
    return parsed.stdout.strip()
