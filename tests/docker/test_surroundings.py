"""What a program finds around it: names, time zones, tools, processors, memory, signals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sandboxd_client import Client, Limits
from tests.support.daemon import RunningDaemon
from tests.support.programs import text

LOCALHOST = {
    "python": 'import socket; print(socket.gethostbyname("localhost"))',
    "javascript": 'require("dns").lookup("localhost", (_, address) => console.log(address))',
    "ruby": 'require "socket"; puts Addrinfo.tcp("localhost", 1).ip_address',
    "bash": "getent hosts localhost | cut -d ' ' -f 1",
    "sh": "getent hosts localhost | cut -d ' ' -f 1",
    "go": 'package main\nimport ("fmt"; "net")\n'
    'func main() { a, e := net.LookupHost("localhost"); fmt.Println(a[0]); _ = e }',
}

ZONES = {
    "python": "import time; print(time.strftime('%H', time.localtime(0)))",
    "javascript": "console.log(new Date(0).getHours())",
    "ruby": "puts Time.at(0).hour",
    "bash": "date -d @0 +%H",
    "sh": "date -d @0 +%H",
    "go": 'package main\nimport ("fmt"; "time")\n'
    "func main() { fmt.Println(time.Unix(0, 0).Hour()) }",
}


@pytest.mark.parametrize("language", LOCALHOST)
def test_localhost_is_the_loopback_address(client: Client, language: str) -> None:
    assert client.run(language, LOCALHOST[language]).stdout == "127.0.0.1\n"


def test_the_own_host_name_leads_to_this_host(client: Client) -> None:
    code = """
import socket
server = socket.create_server((socket.gethostname(), 0))
with socket.create_connection(server.getsockname()[:2]) as connected:
    print(connected.getpeername()[0].startswith("127."))
"""
    assert client.run("python", code).stdout == "True\n"


@pytest.mark.parametrize("language", ZONES)
def test_a_time_zone_is_known(client: Client, language: str) -> None:
    result = client.run(language, ZONES[language], env={"TZ": "America/New_York"})
    assert result.stdout == "19\n"


def test_the_tools_that_programs_call_are_there(client: Client) -> None:
    tools = "ps free uptime git curl jq unzip zip file make patch less tree getent"
    result = client.run("bash", f"type -P {tools} | wc -l; getent services https")
    assert text(result).split()[:3] == [str(len(tools.split())), "https", "443/tcp"]


PATHS = {
    "python": "import os; print(os.environ['PATH'])",
    "javascript": "console.log(process.env.PATH)",
    "ruby": "puts ENV['PATH']",
    "bash": "echo $PATH",
    "sh": "echo $PATH",
    "go": 'package main\nimport ("fmt"; "os")\nfunc main() { fmt.Println(os.Getenv("PATH")) }',
}


@pytest.mark.parametrize("language", PATHS)
def test_commands_are_looked_for_where_there_are_some(client: Client, language: str) -> None:
    path = text(client.run(language, PATHS[language])).strip()
    assert path == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def test_go_finds_its_own_tools(client: Client) -> None:
    code = """
package main
import ("fmt"; "os/exec")
func main() {
    for _, tool := range []string{"go", "gofmt"} {
        _, err := exec.LookPath(tool)
        fmt.Println(tool, err)
    }
}
"""
    assert client.run("go", code).stdout == "go <nil>\ngofmt <nil>\n"


def test_python_has_its_other_name(client: Client) -> None:
    code = 'import subprocess; subprocess.run(["python", "-c", "print(1)"])'
    assert client.run("python", code).stdout == "1\n"


# --- processors and memory ---

PROCESSORS = {
    "os.cpu_count": ("python", "import os; print(os.cpu_count())"),
    "os.cpus": ("javascript", "console.log(require('os').cpus().length)"),
    "nproc": ("bash", "nproc"),
    "getconf": ("sh", "getconf _NPROCESSORS_ONLN"),
    "lscpu": ("bash", "lscpu | sed -n 's/^CPU(s): *//p'"),
    "cpuinfo": ("sh", "grep -c ^processor /proc/cpuinfo"),
    "stat": ("sh", "grep -c '^cpu[0-9]' /proc/stat"),
}


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon that lets a run have two processors, and all runs of sh the same container."""
    daemon = RunningDaemon(tmp_path_factory.mktemp("generous"))
    daemon.config.write_text(
        "[pool]\nmin = 0\n[limits.max]\ncpus = 2.0\n[languages.sh]\nmin = 1\nmax = 1\n"
    )
    with daemon, daemon.client() as client:
        yield client


@pytest.mark.parametrize("way", PROCESSORS)
def test_there_are_as_many_processors_as_the_run_may_use(generous: Client, way: str) -> None:
    told = [
        generous.run(*PROCESSORS[way], limits=limits).stdout
        for limits in (Limits(), Limits(cpus=1.5), Limits())
    ]
    assert told == ["1\n", "2\n", "1\n"]


MEMORY = {
    "meminfo": ("python", "print(int(open('/proc/meminfo').readline().split()[1]) // 1024)"),
    "free": ("bash", "free -m | awk '/Mem/ { print $2 }'"),
    "os.totalmem": (
        "javascript",
        "console.log(require('fs').readFileSync('/proc/meminfo', 'utf8').match(/\\d+/)[0] >> 10)",
    ),
}


@pytest.mark.parametrize("way", MEMORY)
def test_there_is_as_much_memory_as_the_run_may_use(client: Client, way: str) -> None:
    assert client.run(*MEMORY[way]).stdout == "512\n"
    assert client.run(*MEMORY[way], limits=Limits(memory="256MiB")).stdout == "256\n"
    assert client.run(*MEMORY[way]).stdout == "512\n"


def test_a_machine_has_booted_once_whatever_its_runs_may_use(generous: Client) -> None:
    code = "cat /proc/sys/kernel/random/boot_id"
    results = [generous.run("sh", code, limits=Limits(cpus=cpus)) for cpus in (1.0, 2.0, 1.0)]
    assert len({result.container.id for result in results}) == 1
    (boot,) = {text(result) for result in results}
    assert boot.strip() != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert len(boot) == len("00000000-0000-0000-0000-000000000000\n")


@pytest.mark.parametrize("name", ["kernel/ostype", "kernel/osrelease", "vm/overcommit_memory"])
def test_what_the_kernel_says_of_itself_is_told_as_it_is(client: Client, name: str) -> None:
    assert text(client.run("sh", f"cat /proc/sys/{name}")) == Path("/proc/sys", name).read_text()


def test_processes_can_be_listed(client: Client) -> None:
    result = client.run("bash", "ps -e -o comm= | sort -u")
    assert {"bash", "ps", "sort"} <= set(text(result).split())
    assert result.stderr == ""


# --- signals and the end ---


def test_a_broken_pipe_is_an_error_and_no_death(client: Client) -> None:
    code = 'import subprocess; subprocess.run(["true"], input=b"x" * 10**6); print("end")'
    assert client.run("python", code).stdout == "end\n"


def test_a_file_over_the_limit_is_an_error_and_no_death(client: Client) -> None:
    code = """
try:
    open("f", "wb").truncate(2**50)
except OSError as error:
    print(type(error).__name__)
"""
    assert client.run("python", code).stdout == "OSError\n"


def test_an_interrupt_that_nobody_catches_is_the_end(client: Client) -> None:
    code = "import os, signal\n%s"
    caught = (
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n    print(1)"
    )
    assert client.run("python", code % caught).stdout == "1\n"
    result = client.run("python", code % "os.kill(os.getpid(), signal.SIGINT)")
    assert (result.exit_code, result.signal) == (130, 2)
    assert text(result).endswith("KeyboardInterrupt\n")


def test_finalizers_find_their_globals(client: Client) -> None:
    code = """
def note(text):
    print(text)

class Box:
    def __del__(self):
        note("closed")

box = Box()
"""
    assert client.run("python", code).stdout == "closed\n"


def test_a_file_that_was_never_closed_has_its_content(client: Client) -> None:
    """Also where a function keeps it in a cycle, which only a collection can take apart."""
    code = 'f = open("f", "w")\ndef g(): return f\nf.write("content")'
    assert [each.data for each in client.run("python", code, outputs=["f"]).files] == ["content"]


# --- what an interpreter reads when it starts ---


class AtStart(NamedTuple):
    language: str
    env: dict[str, str]
    files: dict[str, str]
    code: str
    says: str


AT_START = {
    "PYTHONPATH": AtStart(
        "python",
        {"PYTHONPATH": "/sandbox/lib"},
        {"lib/helper.py": "name = 'helper'"},
        "import helper, sys; print(helper.name, *sys.argv[1:])",
        "helper a b\n",
    ),
    "PYTHONUNBUFFERED": AtStart(
        "python",
        {"PYTHONUNBUFFERED": "1"},
        {},
        "import sys; print(sys.stdout.write_through, *sys.argv[1:])",
        "True a b\n",
    ),
    "RUBYLIB": AtStart(
        "ruby",
        {"RUBYLIB": "/sandbox/lib"},
        {"lib/helper.rb": "NAME = 'helper'"},
        "require 'helper'; puts [NAME, *ARGV].join(' ')",
        "helper a b\n",
    ),
    "BASH_ENV": AtStart(
        "bash",
        {"BASH_ENV": "/sandbox/helper.sh"},
        {"helper.sh": "name=helper"},
        'echo "$name $*"',
        "helper a b\n",
    ),
}


@pytest.mark.parametrize("variable", AT_START)
def test_variables_that_are_read_at_the_start_work(client: Client, variable: str) -> None:
    case = AT_START[variable]
    result = client.run(case.language, case.code, args=["a", "b"], env=case.env, files=case.files)
    assert (result.stdout, result.stderr, result.exit_code) == (case.says, "", 0)
