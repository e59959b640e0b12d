"""What the documentation shows is run: each block of each page, against a daemon."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd.units import next_steps
from tests.support.daemon import RunningDaemon
from tests.support.documents import ROOT, Block, Kind, blocks, commands

SITE = ROOT / "client" / "docs"
PAGES = sorted((SITE / "pages").rglob("*.md"))
READMES = [ROOT / "README.md", ROOT / "client" / "README.md"]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)

_CHECKED = "case $? in 2 | 125 | 127) exit 1 ;; esac; printf '\\0'\n"
"""Ends a script whose last command was not understood, not done, or not found."""
_STAND_INS = {
    ".py": "print('hello')",
    ".js": "console.log('hello')",
    ".rb": "puts 'hello'",
    ".sh": "echo hello",
    ".go": 'package main\nimport "fmt"\nfunc main() { fmt.Println("hello") }',
    ".jsonl": '{"language": "python", "code": "print(1)"}',
    ".txt": "hello",
    ".csv": "1,2",
}
"""What stands in for a file that a README's command names and that a reader would have."""
_FENCED = re.compile(r"^```(python|sh|bash|console|shell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?<![\w*/.'\"-])[\w-]+(?:" + "|".join(map(re.escape, _STAND_INS)) + r")\b")


class Desk:
    """Where a page's blocks are run, one after the other."""

    def __init__(self, folder: Path, daemon: RunningDaemon, *, installed: Path) -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SANDBOXD_SOCKET": str(daemon.socket),
            "SANDBOXD_CONFIG": str(daemon.config),
        }
        self._installed = installed

    def text(self, block: Block) -> str:
        """With the folders of an installed daemon replaced by the page's own."""
        return re.sub(r"/(run|etc)/sandboxd\b", str(self._installed), block.text)

    def lay(self, block: Block) -> None:
        path = Path(re.sub(r"^/etc/sandboxd\b", str(self._installed), block.value))
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def run(self, block: Block) -> str:
        """What it prints. It must succeed, in each of its lines."""
        if block.kind is Kind.PYTHON:
            ran = self.start([sys.executable, "-W", "error", "-c", self.text(block)])
        else:
            ran = self.start(["bash", "-euo", "pipefail", "-c", self.text(block)])
        assert ran.returncode == 0, (block, ran.stdout, ran.stderr)
        return ran.stdout

    def start(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


@contextlib.contextmanager
def configured(folder: Path, config: str, usual: RunningDaemon) -> Iterator[RunningDaemon]:
    """A daemon with a page's configuration; the usual one for a page that has none."""
    if not config:
        yield usual
        return
    pools = {} if "[pool]" in config else {"SANDBOXD_POOL__MIN": "0"}
    daemon = RunningDaemon(folder, pools)
    daemon.config.write_text(f'languages_path = "{folder}/languages"\n{config}')
    with daemon:
        yield daemon


@each_page
def test_each_block_of_a_page_does_what_it_shows(
    daemon: RunningDaemon, page: Path, tmp_path: Path
) -> None:
    installed, work = tmp_path / "installed", tmp_path / "work"
    installed.mkdir()
    work.mkdir()
    found = blocks(page)
    laid = [block for block in found if block.kind is Kind.FILE]
    paper = Desk(work, daemon, installed=installed)
    for block in laid:
        paper.lay(block)
    config = "".join(paper.text(block) for block in found if block.kind is Kind.CONFIG)
    if any(block.value.startswith("/etc/sandboxd/") for block in laid):
        config += "# with these files\n"
    with configured(installed, config, daemon) as running:
        desk, printed = Desk(work, running, installed=installed), ""
        for block in found:
            if block.kind in (Kind.PYTHON, Kind.SHELL):
                printed = desk.run(block)
            elif block.kind is Kind.PRINTS:
                assert printed == block.text, block


@each_page
def test_what_cannot_be_run_here_names_the_test_that_runs_it(page: Path) -> None:
    for block in blocks(page):
        if block.kind is Kind.ELSEWHERE:
            assert (ROOT / block.value).is_file(), block


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.parent.name)
def test_the_python_of_a_readme_runs(daemon: RunningDaemon, page: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path, daemon, installed=tmp_path)
    shown = [block for block in blocks_of_readme(page) if block.kind is Kind.PYTHON]
    assert shown
    for block in shown:
        desk.run(block)


def test_the_commands_of_the_readme_are_understood(daemon: RunningDaemon, tmp_path: Path) -> None:
    """One that a program's failure follows from is fine; one that is refused is not."""
    desk = Desk(tmp_path, daemon, installed=tmp_path)
    shown = [block for block in blocks_of_readme(ROOT / "README.md") if block.kind is Kind.SHELL]
    called = [found for block in shown if (found := commands(block.text))]
    assert called
    for several in called:
        for name in _FILE.findall("\n".join(several)):
            (tmp_path / name).write_text(_STAND_INS[Path(name).suffix])
        script = "".join(f"{placed(daemon, command)}\n{_CHECKED}" for command in several)
        ran = desk.start(["bash", "-c", script])
        printed = ran.stdout.split("\0")
        assert ran.returncode == 0, (several[len(printed) - 1], ran.stderr)
        for command, output in zip(several, printed, strict=False):
            if told := re.search(r"echo .*\$\?.*# *(\d+)$", command):
                assert output.split()[-1] == told[1], (command, output)


def blocks_of_readme(page: Path) -> list[Block]:
    """Those that are run here; the rest, such as `make test`, is run by who runs this."""
    found = []
    for language, text in _FENCED.findall(page.read_text()):
        kind = Kind.PYTHON if language == "python" else Kind.SHELL
        found.append(Block(kind, re.sub(r"^\$ ", "", text, flags=re.MULTILINE), 0))
    return found


def placed(daemon: RunningDaemon, command: str) -> str:
    """With a run of this daemon's in place of RUN."""
    if not re.search(r"\bRUN\b", command):
        return command
    with daemon.client() as client:
        return re.sub(r"\bRUN\b", client.run("python", "1/0").run, command)


@pytest.mark.parametrize(
    "text",
    ["```\nnothing\n```\n", "```yaml\na: b\n```\n", "```sh title\nls\n```\n", "- a\n\n  ```sh\n"],
)
def test_a_block_that_would_not_be_run_is_found(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md"):
        blocks(page)


def test_commands_are_read_with_all_of_their_lines() -> None:
    block = "ls\nsandbox run sh -c 'a\nb'\necho x | sandbox run sh - <<END\ntext\nEND\nrm x\n"
    assert commands(block) == [
        "sandbox run sh -c 'a\nb'",
        "echo x | sandbox run sh - <<END\ntext\nEND",
    ]


def test_the_page_on_the_service_tells_the_steps_that_the_command_tells() -> None:
    page = (SITE / "pages" / "how-to" / "service.md").read_text()
    assert "\n".join(next_steps(user=False)) in page


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Each page is reached, and each link and anchor leads somewhere."""
    mkdocs = Path(sys.executable).with_name("mkdocs")
    config, site = f"--config-file={SITE / 'mkdocs.yml'}", f"--site-dir={tmp_path / 'site'}"
    ran = subprocess.run(
        [mkdocs, "build", "--strict", "--quiet", config, site],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (tmp_path / "site" / "reference" / "command-line.html").read_text().count("<h3") > 10
