"""Modules in JavaScript's sessions: `import`, `export` and `await` wherever they may stand."""

from __future__ import annotations

from sandboxd_client import Client, State

FILES = {
    "m.mjs": "export const a = 1; export default 2; export { a as 'a b' }",
    "c.js": "exports.b = 3",
    "d.json": '{"e": 4}',
    "node_modules/p/package.json": '{"name": "p", "main": "p.js"}',
    "node_modules/p/p.js": "exports.q = 5",
}
VALUES = [
    ("const fs = await import('fs'); typeof fs.readFileSync", "'function'"),
    ("import { sep } from 'path'; sep", "'/'"),
    ("import { sep as s, delimiter } from 'node:path'\n[s, delimiter]", "[ '/', ':' ]"),
    ("import path, { join } from 'path'; [path.sep, join('a', 'b')]", "[ '/', 'a/b' ]"),
    ("import os, * as all from 'os'; os === all.default", "true"),
    ("import{EOL}from'os';import*as p from'path';[EOL, p.sep]", r"[ '\n', '/' ]"),
    ("import {\n  sep, // one\n  /* two */ basename,\n} from 'path'\nbasename('a/b')", "'b'"),
    ("import 'fs'\n(function () { return 1 })()", "1"),
    ("import two, { a, 'a b' as b } from './m.mjs'; [a, two, b]", "[ 1, 2, 1 ]"),
    ("import { b } from './c.js'; b", "3"),
    ("import { q } from 'p'; q", "5"),
    ("import { b as once } from './c.js'; import { a as b } from './m.mjs'; [once, b]", "[ 3, 1 ]"),
    ("const f = async (n) => (await import(n)).sep; await f('path')", "'/'"),
    ("[`${(await import('path')).sep} ${await 1}`, 'import(x)']", "[ '/ 1', 'import(x)' ]"),
    ("class A { import(x) { return x } }\nnew A().import(3) // import('z')", "3"),
    ("/import\\(.*/.test('import(x)') && { import: 6 }.import", "6"),
    ("import.meta.url", "'file:///sandbox/main.js'"),
    ("(await import('./m.mjs')).a", "1"),
    ("let sum = 0; for await (const n of [1, Promise.resolve(2)]) sum += n\nsum", "3"),
    ("if (true) { await null; var inside = await 7 }\ninside", "7"),
    ("export const shared = 1; export { shared as other }; export * from 'os'", None),
    ("export default function named() { return shared }\nnamed()", "1"),
    ("export default class { }\nexport async function g() { return 8 }\nawait g()", "8"),
    ("export default { a: 9 }", "{ a: 9 }"),
    ("const again = 1; class Again {}\nlet later = 1", None),
    ("const again = 2; class Again { x = 3 }\nlet later = 4; 1", "1"),
    ("[again, new Again().x, later]", "[ 2, 3, 4 ]"),
]


def test_what_a_module_may_say_a_sessions_run_may(client: Client) -> None:
    with client.session("javascript", files=FILES) as session:
        for code, value in VALUES:
            result = session.run(code)
            assert (result.stderr, result.value) == ("", value), code
        assert session.run("[sep, two, shared, again, typeof g]").value == (
            "[ '/', 2, 1, 2, 'function' ]"
        )


WRONG = {
    "import { nope } from 'fs'": (
        "SyntaxError: The requested module 'fs' does not provide an export named 'nope'\n"
    ),
    "import { sep } from 'path'\nlet = ;": (
        "<cell 2>:2\nlet = ;\n      ^\n\nSyntaxError: Unexpected token ';'\n"
    ),
    "\nconst f = (await import('fs')).x; f()": (
        "TypeError: f is not a function\n    at <cell 3>:2:35\n"
    ),
}


def test_what_is_wrong_is_told_at_its_place(client: Client) -> None:
    with client.session("javascript", files=FILES) as session:
        for code, told in WRONG.items():
            result = session.run(code)
            assert str(result.stderr).startswith(told), code
            assert (result.exit_code, result.state) == (1, State.KEPT)
        json = session.run("import d from './d.json' assert { type: 'json' }; d.e")
        assert json.value == "4"  # and this Node warns that it may change
        missing = session.run("import x from './nosuch.mjs'")
        assert "Cannot find module '/sandbox/nosuch.mjs'" in str(missing.stderr)


def test_a_program_of_its_own_says_the_same(client: Client) -> None:
    code = "import { sep } from 'path'; console.log(sep)"
    with client.session("javascript") as session:
        assert session.run(code).stdout == client.run("javascript", code).stdout == "/\n"
