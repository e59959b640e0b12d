"""Variables that a runtime reads when it starts work in compiled languages and in those that
wait with their runtime started."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import Struct

from sandboxd_client import Base64, Client
from tests.support.daemon import RunningDaemon

pytestmark = pytest.mark.timeout(900)  # images that are missing are made first


class Case(Struct):
    language: str
    env: dict[str, str]
    code: str
    stdout: str
    stderr: str = ""
    files: dict[str, str | Base64] = {}


CASES = {
    "NODE_PATH": Case(
        "javascript",
        {"NODE_PATH": "/sandbox/lib"},
        "console.log(require('helper'), ...process.argv.slice(2), process.exitCode = 3)",
        "helper a b 3\n",
        files={"lib/helper.js": "module.exports = 'helper'"},
    ),
    "NODE_OPTIONS for a module": Case(
        "javascript",
        {"NODE_OPTIONS": "--no-warnings --stack-trace-limit=1"},
        "import 'node:fs'; console.log(Error.stackTraceLimit, ...process.argv.slice(2));"
        " process.exit(3)",
        "1 a b\n",
    ),
    "NODE_OPTIONS for TypeScript": Case(
        "typescript",
        {"NODE_OPTIONS": "--stack-trace-limit=1"},
        "const n: number = Error.stackTraceLimit; console.log(n, ...process.argv.slice(2));"
        " process.exit(3)",
        "1 a b\n",
    ),
    "JAVA_TOOL_OPTIONS": Case(
        "java",
        {"JAVA_TOOL_OPTIONS": "-Dname=helper"},
        "class Main { public static void main(String[] args) {"
        ' System.out.println(System.getProperty("name") + " " + String.join(" ", args));'
        " System.exit(3); } }",
        "helper a b\n",
        "Picked up JAVA_TOOL_OPTIONS: -Dname=helper\n",
    ),
    "CLASSPATH": Case(
        "java",
        {"CLASSPATH": "/sandbox/lib"},
        "class Main { public static void main(String[] args) throws Exception {"
        ' System.out.print(new String(Main.class.getResourceAsStream("/name").readAllBytes())'
        ' + " " + String.join(" ", args)); System.exit(3); } }',
        "helper a b",
        files={"lib/name": "helper"},
    ),
    "TZ of Java": Case(
        "java",
        {"TZ": "America/New_York"},
        "class Main { public static void main(String[] args) {"
        " System.out.println(new java.util.Date(0)); System.exit(3); } }",
        "Wed Dec 31 19:00:00 EST 1969\n",
    ),
    "TZ of JavaScript": Case(
        "javascript",
        {"TZ": "America/New_York"},
        "console.log(new Date(0).getHours()); process.exit(3)",
        "19\n",
    ),
    "GOMAXPROCS": Case(
        "go",
        {"GOMAXPROCS": "3"},
        'package main\n\nimport (\n\t"fmt"\n\t"os"\n\t"runtime"\n)\n\n'
        "func main() { fmt.Println(runtime.GOMAXPROCS(0), os.Args[1:]); os.Exit(3) }\n",
        "3 [a b]\n",
    ),
    "LD_LIBRARY_PATH and LC_ALL of C": Case(
        "c",
        {"LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": "/sandbox"},
        "#include <locale.h>\n#include <stdio.h>\n"
        'int main(void) { puts(setlocale(LC_ALL, "")); return 3; }\n',
        "C.UTF-8\n",
    ),
}


@pytest.fixture
def client(more_languages: RunningDaemon) -> Iterator[Client]:
    with more_languages.client() as connected:
        yield connected


@pytest.mark.parametrize("variable", CASES)
def test_what_a_runtime_reads_at_its_start_works(client: Client, variable: str) -> None:
    case = CASES[variable]
    result = client.run(case.language, case.code, args=["a", "b"], env=case.env, files=case.files)
    assert (result.stdout, result.stderr, result.exit_code) == (case.stdout, case.stderr, 3)


def test_a_runtime_that_was_started_again_ends_by_the_same_signal(client: Client) -> None:
    code = "process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)"
    for language in ("javascript", "typescript"):
        result = client.run(language, code, env={"NODE_OPTIONS": "--no-warnings"})
        assert (result.exit_code, result.signal) == (143, 15)
