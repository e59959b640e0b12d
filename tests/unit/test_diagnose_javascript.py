"""What Node writes of errors that nobody caught, from 18 on."""

from __future__ import annotations

import pytest

from sandboxd_client.protocol import Category, Location
from tests.unit.test_diagnose import failed, marked

LOADER = (
    "    at Module._compile (node:internal/modules/cjs/loader:1364:14)\n"
    "    at Module._extensions..js (node:internal/modules/cjs/loader:1422:10)\n"
    "    at node:internal/main/run_main_module:28:49\n"
)
FOOTER = "\nNode.js v18.20.4\n"
TOP = "    at Object.<anonymous> (/sandbox/main.js:1:1)\n"


def thrown(error: str, levels: str = TOP + LOADER, header: str = "/sandbox/main.js:1") -> str:
    return f"{header}\nsource\n^\n\n{error}\n{levels}{FOOTER}"


def test_a_trace_is_turned_round_and_its_beginning_in_node_left_out() -> None:
    told = failed(
        "javascript",
        "function f() {\n  return null.x;\n}\nf();\n",
        thrown(
            "TypeError: Cannot read properties of null (reading 'x')",
            "    at f (/sandbox/main.js:2:15)\n"
            "    at Object.<anonymous> (/sandbox/main.js:4:1)\n" + LOADER,
            "/sandbox/main.js:2",
        ),
    )
    assert (told.category, told.error_type) == (Category.EXCEPTION, "TypeError")
    assert told.location == Location("main.js", 2, 15)
    assert [(each.line, each.function, each.source) for each in told.frames] == [
        (4, "Object.<anonymous>", "f();"),
        (2, "f", "return null.x;"),
    ]
    assert marked(told) == "return null.x;"


def test_levels_of_node_within_the_program_are_kept() -> None:
    told = failed(
        "javascript",
        "read('data.txt')\n",
        "node:internal/fs/utils:356\n    throw err;\n    ^\n\n"
        "Error: ENOENT: no such file or directory, open 'data.txt'\n"
        "    at Object.openSync (node:fs:596:3)\n"
        + TOP.replace(":1:1", ":1:3")
        + LOADER.rstrip()
        + " {\n  errno: -2,\n  code: 'ENOENT',\n  path: 'data.txt'\n}\n"
        + FOOTER,
    )
    assert told.location == Location("main.js", 1, 3)
    assert [each.file for each in told.frames] == ["main.js", "node:fs"]
    assert "`data.txt`" in told.explanation


def test_a_syntax_error_has_a_place_and_no_levels() -> None:
    told = failed(
        "javascript",
        "const x = {\n  a: 1\n  b: 2\n};\n",
        "/sandbox/main.js:3\n  b: 2\n  ^\n\nSyntaxError: Unexpected identifier\n" + LOADER + FOOTER,
    )
    assert told.category is Category.SYNTAX_ERROR
    assert told.location == Location("main.js", 3, 3)
    assert told.frames == []


def test_a_program_that_ends_too_early_is_placed_on_its_last_line() -> None:
    told = failed(
        "javascript",
        "function f() {\n  return 1;\n",
        "/sandbox/main.js:3\n\n\n\nSyntaxError: Unexpected end of input\n" + LOADER + FOOTER,
    )
    assert (told.category, told.location) == (Category.SYNTAX_ERROR, Location("main.js", 2))


def test_json_that_does_not_parse_is_an_exception_of_the_line_that_parses_it() -> None:
    told = failed(
        "javascript",
        "JSON.parse('{bad')\n",
        "undefined:1\n{bad\n ^\n\nSyntaxError: Unexpected token b in JSON at position 1\n"
        "    at JSON.parse (<anonymous>)\n    at Object.<anonymous> (/sandbox/main.js:1:6)\n"
        + LOADER
        + FOOTER,
    )
    assert (told.category, told.location) == (Category.EXCEPTION, Location("main.js", 1, 6))
    assert "not JSON" in told.explanation


def test_a_module_is_named_as_its_author_knows_it() -> None:
    told = failed(
        "javascript",
        "import fs from 'fs';\n\nfoo();\n",
        "file:///sandbox/main.js:3\nfoo();\n^\n\nReferenceError: foo is not defined\n"
        "    at file:///sandbox/main.js:3:1\n"
        "    at ModuleJob.run (node:internal/modules/esm/module_job:195:25)\n"
        "    at async ModuleLoader.import (node:internal/modules/esm/loader:337:24)\n" + FOOTER,
    )
    assert told.location == Location("main.js", 3, 1)
    assert [(each.file, each.function) for each in told.frames] == [("main.js", "")]


@pytest.mark.parametrize(
    ("stderr", "message", "location"),
    [
        (
            (
                "\n/sandbox/main.js:1\nthrow 'a string';\n^\na string\n"
                "(Use `node --trace-uncaught ...` to show where the exception was thrown)\n"
            ),
            "a string",
            Location("main.js", 1, 1),
        ),
        (
            "\n/sandbox/main.js:1\nthrow {a: 1};\n^\n{ a: 1 }\n",
            "{ a: 1 }",
            Location("main.js", 1, 1),
        ),
    ],
)
def test_what_is_thrown_need_not_be_an_error(stderr: str, message: str, location: Location) -> None:
    told = failed("javascript", "throw it;\n", stderr + FOOTER)
    assert (told.category, told.error_type, told.message) == (Category.EXCEPTION, "", message)
    assert told.location == location
    assert "no error" in told.explanation


def test_a_rejection_without_an_error_is_told_by_its_reason() -> None:
    told = failed(
        "javascript",
        "Promise.reject('just text');\n",
        "node:internal/process/promises:288\n"
        "            triggerUncaughtException(err, true /* fromPromise */);\n            ^\n\n"
        "[UnhandledPromiseRejection: This error originated either by throwing inside of an async "
        "function without a catch block, or by rejecting a promise which was not handled with "
        '.catch(). The promise rejected with the reason "just text".] {\n'
        "  code: 'ERR_UNHANDLED_REJECTION'\n}\n" + FOOTER,
    )
    assert (told.error_type, told.message) == ("UnhandledPromiseRejection", "just text")
    assert any(".catch()" in each for each in told.suggestions)


def test_the_errors_of_an_aggregate_give_it_its_place() -> None:
    told = failed(
        "javascript",
        "\nPromise.any([Promise.reject(new Error('a'))]);\n",
        "node:internal/process/promises:288\n            trigger(err);\n            ^\n\n"
        "[AggregateError: All promises were rejected] {\n  [errors]: [\n    Error: a\n"
        "        at Object.<anonymous> (/sandbox/main.js:2:29)\n  ]\n}\n" + FOOTER,
    )
    assert (told.error_type, told.location) == ("AggregateError", Location("main.js", 2, 29))


def test_a_restriction_may_stand_in_the_cause() -> None:
    told = failed(
        "javascript",
        "fetch('http://example.com')\n",
        "node:internal/deps/undici/undici:16289\n    Error.captureStackTrace(err, this);\n"
        "          ^\n\nTypeError: fetch failed\n"
        "    at Object.fetch (node:internal/deps/undici/undici:16289:11) {\n"
        "  cause: Error: getaddrinfo EAI_AGAIN example.com\n"
        "      at GetAddrInfoReqWrap.onlookup [as oncomplete] (node:dns:107:26) {\n"
        "    code: 'EAI_AGAIN'\n  }\n}\n" + FOOTER,
    )
    assert (told.category, told.message) == (Category.SANDBOX_RESTRICTION, "fetch failed")


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (
            "Error: Cannot find module 'axios'\nRequire stack:\n- /sandbox/main.js",
            "const a = require('axios');\n",
            "no module `axios`",
        ),
        (
            (
                "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'axios' imported from "
                "/sandbox/main.js"
            ),
            "import a from 'axios';\n",
            "no module `axios`",
        ),
        (
            (
                "Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/sandbox/util.js' imported from "
                "/sandbox/main.js"
            ),
            "import a from './util.js';\n",
            "the file `./util.js`",
        ),
        (
            "Error: Cannot find module '@scope/thing/deep'",
            "require('@scope/thing/deep');\n",
            "no module `@scope/thing`",
        ),
    ],
)
def test_a_module_that_is_not_there_is_an_import_error(error: str, code: str, says: str) -> None:
    internal = "    at packageResolve (node:internal/modules/esm/resolve:916:9)\n"
    told = failed("javascript", code, thrown(error, internal, "node:internal/errors:496"))
    assert told.category is Category.IMPORT_ERROR
    assert says in told.explanation
    assert "Require stack" not in told.message
    assert told.location is not None
    assert told.location.line == 1


def test_a_name_that_a_module_does_not_export_is_an_import_error() -> None:
    told = failed(
        "javascript",
        "import { foo } from 'fs';\n",
        "file:///sandbox/main.js:1\nimport { foo } from 'fs';\n         ^^^\n"
        "SyntaxError: The requested module 'fs' does not provide an export named 'foo'\n"
        "    at ModuleJob._instantiate (node:internal/modules/esm/module_job:123:21)\n" + FOOTER,
    )
    assert (told.category, told.location) == (Category.IMPORT_ERROR, Location("main.js", 1, 10))
    assert "exports nothing called `foo`" in told.explanation


def test_an_error_that_the_program_prints_itself_is_read_too() -> None:
    told = failed("javascript", "main()\n", f"starting\nError: logged\n{TOP}{LOADER}")
    assert (told.error_type, told.message) == ("Error", "logged")
    assert told.location == Location("main.js", 1, 1)


def test_what_looks_like_a_place_is_not_taken_for_an_error() -> None:
    told = failed("javascript", "x\n", "localhost:8080\nlistening\n\ngone\n")
    assert (told.category, told.message) == (Category.NONZERO_EXIT, "gone")


def test_a_heap_that_ran_full_is_out_of_memory_whatever_signal_ended_it() -> None:
    told = failed(
        "javascript",
        "grow()\n",
        "<--- Last few GCs --->\n\nFATAL ERROR: Reached heap limit Allocation failed - "
        "JavaScript heap out of memory\n 1: 0xb7b3e0 node::Abort() [node]\n",
        exit_code=134,
        signal=6,
    )
    assert told.category is Category.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("error", "says", "suggests"),
    [
        ("ReferenceError: totl is not defined", "`totl`", "Did you mean `total`?"),
        ("ReferenceError: fs is not defined", "module of Node's", "require('fs')"),
        ("ReferenceError: document is not defined", "browsers", "console.log"),
        ("ReferenceError: require is not defined in ES module scope", "ES module", "import"),
        ("ReferenceError: Cannot access 'a' before initialization", "further down", "before"),
        ("TypeError: Cannot read properties of undefined (reading 'b')", "`.b`", "`?.`"),
        ("TypeError: o.foo is not a function", "`o.foo`", "spelling"),
        ("TypeError: x is not iterable", "`x`", "Object.entries"),
        ("TypeError: Assignment to constant variable.", "const", "let"),
        ("TypeError: x is not a constructor", "`x`", "exported"),
        ("TypeError: Cannot mix BigInt and other types", "BigInt", "Number(x)"),
        ("TypeError: Converting circular structure to JSON", "itself", "replacer"),
        ("RangeError: Maximum call stack size exceeded", "calls itself", "recursion"),
        ("RangeError: Invalid array length", "outside", "Print the number"),
        ('SyntaxError: "[object Object]" is not valid JSON', "not JSON", "before parsing"),
        ("Error: spawn git ENOENT", "no command `git`", "modules instead"),
        ("AssertionError [ERR_ASSERTION]: no", "did not hold", "compares"),
        ("MyError: mine", "raised MyError", "line 1"),
    ],
)
def test_an_error_is_explained(error: str, says: str, suggests: str) -> None:
    told = failed("javascript", "const total = use();\n", thrown(error))
    assert told.category is Category.EXCEPTION
    assert says in told.explanation
    assert any(suggests in each for each in told.suggestions), told.suggestions


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("missing ) after argument list", "not closed"),
        ("Identifier 'a' has already been declared", "twice"),
        ("Invalid or unexpected token", "not closed"),
        ("await is only valid in async functions", "async function"),
        ("Unexpected identifier 'b'", "TypeScript"),
        ("Unexpected number", "not valid JavaScript"),
    ],
)
def test_a_syntax_error_is_explained(error: str, says: str) -> None:
    told = failed("javascript", "x\n", thrown(f"SyntaxError: {error}", LOADER))
    assert told.category is Category.SYNTAX_ERROR
    assert says in told.explanation
