"""An operator adds a language with a file, and its image is made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd_client import Client, UnknownLanguageError
from tests.support.daemon import RunningDaemon

AWK = """
name = "awk"
aliases = ["mawk"]
extension = "awk"
start = ["sh", "/sandboxd/awk.sh"]
runner = "awk.sh"
message = "shell"
standard = false

[image]
base = "ubuntu:22.04"
version = ["sh", "-c", "basename $(readlink -f $(command -v awk))"]

[image.debian]
packages = []
"""

RUNNER = """
echo >&4
exec 4>&-
. /proc/self/fd/3
exec 3<&-
exec awk -f /sandbox/main.awk -- "$@"
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    folder = tmp_path / "languages"
    folder.mkdir()
    (folder / "awk.toml").write_text(AWK)
    (folder / "awk.sh").write_text(RUNNER)
    daemon = RunningDaemon(tmp_path)
    daemon.config.write_text(f'languages_path = "{folder}"\n[pool]\nmin = 0\nqueue_timeout = 100\n')
    with daemon, daemon.client() as connected:
        yield connected


def test_a_language_of_the_operators_runs_by_its_name_and_its_alias(client: Client) -> None:
    code = '{ print greeting, ENVIRON["WHOM"], $2 }'
    for name in ("awk", "mawk", "AWK"):
        result = client.run(
            name, code, args=["greeting=hello you"], env={"WHOM": "there"}, stdin="one two\n"
        )
        assert (result.stdout, result.stderr) == ("hello you there two\n", "")
        assert (result.language, result.status) == ("awk", "ok")
    failed = client.run("awk", "BEGIN { x = 1\n\n  ) }")
    assert failed.exit_code == 2
    assert isinstance(failed.stderr, str)
    assert "/sandbox/main.awk: line 3" in failed.stderr


def test_it_is_listed_beside_the_others(client: Client) -> None:
    client.run("awk", "BEGIN { }")
    found = {each.name: each for each in client.languages()}
    awk = found["awk"]
    assert (awk.aliases, awk.file_extension, awk.warm) == (["mawk"], ".awk", 0)
    assert awk.version == "mawk"
    assert {"python", "bash"} < set(found)


def test_a_language_that_is_not_there_is_refused_with_the_operators_among_the_rest(
    client: Client,
) -> None:
    with pytest.raises(UnknownLanguageError, match="awk, bash"):
        client.run("cobol", "")
