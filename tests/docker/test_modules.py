"""JavaScript and TypeScript programs of several modules, threads and processes run as they do
elsewhere, and leave nothing of ours beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import Struct

from sandboxd_client import Base64, Client
from tests.support.daemon import RunningDaemon

pytestmark = pytest.mark.timeout(900)  # images that are missing are made first

Files = dict[str, str | Base64]

EXTENSIONS = {"javascript": "js", "typescript": "ts"}
MODULES: Files = {"package.json": '{"type": "module"}'}
WORKER = """
import {{ Worker, isMainThread, parentPort }} from 'node:worker_threads'
if (isMainThread) new Worker({main}).on('message', (message) => console.log('got', message))
else parentPort.postMessage(42)
"""
FORK = """
import {{ fork }} from 'node:child_process'
import {{ fileURLToPath }} from 'node:url'
if (process.send) {{ process.send('sent'); process.disconnect() }}
else fork({main}).on('message', (message) => console.log(message))
"""
CLUSTER = """
const cluster = require('node:cluster')
if (cluster.isPrimary) cluster.fork().on('message', (message) => console.log(message))
else { process.send('sent'); process.disconnect() }
"""


class Case(Struct):
    code: str
    stdout: str
    files: Files = {}
    """Those that end in `.x` have the language's own ending."""


CASES = {
    "a module of a package": Case(
        "import { add } from './math.js'; console.log(add(1, 2))",
        "3\n",
        {"math.x": "export const add = (a, b) => a + b\n", **MODULES},
    ),
    "modules that no package tells of": Case(
        "import { add } from './lib/math.js'; console.log(add(1, 2))",
        "3\n",
        {
            "lib/math.x": "import { one } from '../one.js'\n"
            "export const add = (a, b) => one * a + b\n",
            "one.x": "export const one = 1\n",
        },
    ),
    "a script": Case(
        "const { add } = require('./math'); console.log(add(1, 2), require('./three.json'))",
        "3 3\n",
        {"math.x": "exports.add = (a, b) => a + b\n", "three.json": "3"},
    ),
    "a script that a module imports": Case(
        "import math from './math.cjs'; console.log(await math.add(1, 2))",
        "3\n",
        {"math.cjs": "exports.add = (a, b) => a + b\n"},
    ),
    "an import while it runs": Case(
        "const name = './math.js'; import(name).then(({ add }) => console.log(add(1, 2)))",
        "3\n",
        {"math.x": "export const add = (a, b) => a + b\n"},
    ),
    "the guard of a script": Case(
        "if (require.main === module) console.log(__filename === process.argv[1])", "true\n"
    ),
    "the guard of a module": Case(
        "import { pathToFileURL } from 'node:url'\n"
        "if (import.meta.url === pathToFileURL(process.argv[1]).href) console.log('ran')",
        "ran\n",
    ),
    "the first line of a script": Case("#!/usr/bin/env node\nconsole.log(1)", "1\n"),
    "the first line of a module": Case("#!/usr/bin/env node\nconsole.log(await 1)", "1\n"),
    "await in a call, a condition and a template": Case(
        "console.log(await Promise.resolve(4)); if (await true) console.log(`${await 5}`)", "4\n5\n"
    ),
    "await and nothing else": Case("for await (const each of [1]) console.log(each)", "1\n"),
    "a worker of the same script": Case(WORKER.format(main="__filename"), "got 42\n"),
    "a worker of the same module": Case(WORKER.format(main="new URL(import.meta.url)"), "got 42\n"),
    "a worker of a module beside it": Case(
        "import { Worker } from 'node:worker_threads'\n"
        "const worker = new Worker(new URL('./worker.js', import.meta.url))\n"
        "worker.on('message', (message) => console.log(message))",
        "42\n",
        {
            "worker.x": "import { parentPort } from 'node:worker_threads'\n"
            "parentPort.postMessage(await 42)\n"
        },
    ),
    "a fork of the same script": Case(FORK.format(main="__filename"), "sent\n"),
    "a fork of the same module": Case(FORK.format(main="fileURLToPath(import.meta.url)"), "sent\n"),
    "a cluster": Case(CLUSTER, "sent\n"),
}
SCRIPTS = {"a worker of the same script", "a fork of the same script"}
"""JavaScript has no `import` in these."""


@pytest.fixture
def client(more_languages: RunningDaemon) -> Iterator[Client]:
    with more_languages.client() as connected:
        yield connected


def required(code: str) -> str:
    """A module's code as a script."""
    return (
        code.replace("import {", "const {")
        .replace("} from '", "} = require('")
        .replace("'\n", "')\n")
    )


@pytest.mark.parametrize("language", EXTENSIONS)
@pytest.mark.parametrize("name", CASES)
def test_modules_threads_and_forks_run_as_elsewhere(
    client: Client, language: str, name: str
) -> None:
    case = CASES[name]
    files = {
        path.removesuffix(".x") + f".{EXTENSIONS[language]}" * path.endswith(".x"): text
        for path, text in case.files.items()
    }
    is_script = language == "javascript" and name in SCRIPTS
    result = client.run(
        language, required(case.code) if is_script else case.code, files=files, outputs=["**"]
    )
    assert (result.stdout, result.stderr) == (case.stdout, "")
    assert {file.path for file in result.files} == set(files)


@pytest.mark.parametrize("language", EXTENSIONS)
def test_an_await_that_nothing_ends_is_an_exit_code(client: Client, language: str) -> None:
    result = client.run(language, "console.log('before'); await new Promise(() => {})")
    assert (result.stdout, result.exit_code) == ("before\n", 13)


@pytest.mark.parametrize("language", EXTENSIONS)
def test_no_trace_shows_the_runner(client: Client, language: str) -> None:
    for code in ("null.x", "import 'fs'; null.x", "import './nosuch.js'", "require('./nosuch')"):
        result = client.run(language, code)
        assert result.exit_code == 1
        assert isinstance(result.stderr, str)
        assert "/sandboxd" not in result.stderr


def test_what_is_wrong_in_a_script_is_told_as_of_a_script(client: Client) -> None:
    result = client.run("javascript", "function f() { await 1 }")
    assert isinstance(result.stderr, str)
    assert "await is only valid in async functions" in result.stderr
    assert "/sandbox/main.js:1\n" in result.stderr


def test_typescript_names_the_file_of_a_type_error(client: Client) -> None:
    files: Files = {"lib/math.ts": "\nexport const one: number = 'one'\n"}
    result = client.run("typescript", "import { one } from './lib/math.js'; one", files=files)
    assert result.error is not None
    assert result.error.phase == "compile"
    assert result.stderr == (
        "/sandbox/lib/math.ts:2:14 - error TS2322: "
        "Type 'string' is not assignable to type 'number'.\n"
    )


def test_a_program_reads_its_own_source_as_it_was_sent(client: Client) -> None:
    code = "import fs from 'fs'; console.log(fs.readFileSync('main.ts', 'utf8') as string)"
    assert client.run("typescript", code).stdout == f"{code}\n"
