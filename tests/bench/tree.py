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
    kept = CACHE / "commits" / _git("rev-parse", "--verify", f"{commit}^{{commit}}")
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
        _install(kept, python)
        (kept / ".installed").touch()
    return str(python)


def compile_python(python: str) -> None:
    """So that no program of it compiles its modules when it starts, as after an installation."""
    tree = Path(python).parents[2]
    compiling = [python, "-m", "compileall", "-q", "client", "sandboxd"]
    subprocess.run(compiling, check=True, cwd=tree)


def _install(tree: Path, python: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--exclude-editable"],
        check=True,
        capture_output=True,
    )
    (tree / "libraries.txt").write_bytes(listed.stdout)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--constraint", "libraries.txt", "--editable", "./client", "--editable", "."]
    subprocess.run(install, check=True, cwd=tree)


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr.strip() or f"git {' '.join(arguments)} failed")
    return done.stdout.strip()
