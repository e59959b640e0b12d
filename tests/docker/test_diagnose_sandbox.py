"""What the sandbox has to do with a failure, and what it has not, on its real words."""

from __future__ import annotations

import pytest

from sandboxd_client import Client
from sandboxd_client.protocol import Category, DebugReport
from tests.support.daemon import RunningDaemon

RESTRICTION, EXCEPTION = Category.SANDBOX_RESTRICTION, Category.EXCEPTION


def report(client: Client, language: str, code: str, **options: bool) -> DebugReport:
    result = client.run(language, code, network=options.get("network", False))
    assert result.status == "error", result
    return client.debug_report(result.run)


def connecting(host: str, port: int = 9) -> dict[str, str]:
    """Programs that connect to a host, and do not catch what comes of it."""
    go = 'package main\n\nimport "net"\n\nfunc main() {\n\t_, err := net.Dial("tcp", "%s")\n'
    bare = host.strip("[]")
    return {
        "python": f"import socket\nsocket.create_connection(('{bare}', {port}))\n",
        "javascript": f"require('net').connect({port}, '{bare}')\n",
        "ruby": f"require 'socket'\nTCPSocket.new('{bare}', {port})\n",
        "go": go % f"{host}:{port}" + "\tpanic(err)\n}\n",
        "bash": f"exec 3<>/dev/tcp/{bare}/{port}\n",
    }


def programs(*hosts: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("language", "code"),
        [
            pytest.param(language, code, id=f"{language}: {host}")
            for host in hosts
            for language, code in connecting(host).items()
        ],
    )


@programs("127.0.0.1", "[::1]", "localhost")
def test_a_connection_to_the_run_itself_finds_that_nothing_listens(
    client: Client, language: str, code: str
) -> None:
    told = report(client, language, code)
    assert told.category is not RESTRICTION
    assert "Nothing listens there in this run" in told.explanation
    assert "machine" not in " ".join(told.suggestions)


@programs("db", "example.com")
def test_another_machines_name_cannot_be_looked_up(
    client: Client, language: str, code: str
) -> None:
    told = report(client, language, code)
    assert told.category is RESTRICTION
    assert "no network" in told.explanation
    assert "network=true" in told.suggestions[1]


@programs("192.0.2.1")
def test_another_machines_address_is_out_of_reach(client: Client, language: str, code: str) -> None:
    told = report(client, language, code)
    assert told.category is RESTRICTION
    assert "no way to any" in told.explanation


def test_with_a_network_no_report_says_that_there_is_none(own_daemon: RunningDaemon) -> None:
    own_daemon.stop()
    own_daemon.config.write_text(
        "[network]\nallow = true\n[pool]\nmin = 0\n[languages.python]\nmin = 1\n"
    )
    own_daemon.start()
    refused = connecting("127.0.0.1")["python"]
    lost = "import socket\nsocket.gethostbyname('nosuch.invalid')\n"
    with own_daemon.client() as client:
        told = report(client, "python", refused, network=True)
        assert "Check the address" in told.suggestions[0]
        told = report(client, "python", lost, network=True)
        assert told.category is EXCEPTION
        assert "The run has a network" in told.explanation
        assert "no network" in report(client, "python", lost).explanation


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1"])
def test_a_command_that_finds_nobody_there_is_explained_too(client: Client, address: str) -> None:
    told = report(client, "bash", f"curl -sS http://{address}:9\n")
    assert "Nothing listens there in this run" in told.explanation


def test_a_command_that_asks_another_machine_finds_no_network(client: Client) -> None:
    for command in ("git clone https://example.com/x.git", "curl -sS http://192.0.2.1"):
        told = report(client, "bash", f"{command}\n")
        assert told.category is RESTRICTION, told
        assert "no network" in told.explanation


@pytest.mark.parametrize(
    "write", ["truncate(2**50)", "seek(2**45) and f.write(b'x') and f.flush()"]
)
def test_a_file_that_is_too_large_is_an_error_of_the_line_that_makes_it(
    client: Client, write: str
) -> None:
    told = report(client, "python", f"f = open('f', 'wb')\nf.{write}\n")
    assert told.category is RESTRICTION
    assert told.location is not None
    assert told.location.line == 2
    assert "No file may be larger" in told.explanation


MARS = """
package main

import "time"

func main() {
	_, err := time.LoadLocation("Mars/Base")
	panic(err)
}
"""


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "from zoneinfo import ZoneInfo\nZoneInfo('Mars/Base')\n"),
        ("javascript", "new Intl.DateTimeFormat('en', { timeZone: 'Mars/Base' })\n"),
        ("go", MARS),
    ],
)
def test_a_time_zone_that_is_not_there_has_a_wrong_name(
    client: Client, language: str, code: str
) -> None:
    told = report(client, language, code)
    assert told.category is EXCEPTION
    assert "all those of the tz database" in told.explanation


@pytest.mark.parametrize(
    ("language", "code", "suggests"),
    [
        ("python", "\ninput()\n", "as `stdin`"),
        ("ruby", "\nSTDIN.readline\n", "as `stdin`"),
    ],
)
def test_without_stdin_a_program_is_told_how_to_get_one(
    client: Client, language: str, code: str, suggests: str
) -> None:
    told = report(client, language, code)
    assert "no stdin was given" in told.explanation
    assert suggests in told.suggestions[0]


@pytest.mark.parametrize(
    ("language", "code", "says"),
    [
        ("javascript", "import fs from 'fs'\nconsole.log(__dirname)\n", "fileURLToPath"),
        ("javascript", "import fs from 'fs'\nrequire('os')\n", "createRequire"),
        ("python", "import requests_of_nobody\n", 'packages=["requests_of_nobody"]'),
        ("bash", "ffmpeg -version\n", "what the image has"),
    ],
)
def test_what_to_do_instead_works_here(client: Client, language: str, code: str, says: str) -> None:
    told = report(client, language, code)
    assert any(says in each for each in told.suggestions), told.suggestions


def test_a_restricted_user_finds_a_package_manager_of_no_use(client: Client) -> None:
    told = report(client, "bash", "apt-get install -y cowsay\n")
    assert told.category is RESTRICTION or "nothing can be installed" in told.explanation
    assert "network" not in told.explanation
