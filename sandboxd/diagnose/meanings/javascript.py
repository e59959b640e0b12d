"""What JavaScript's errors mean, in Node."""

from __future__ import annotations

from sandboxd.diagnose.meaning import Meaning, rule

BUILTIN = frozenset(
    """
    assert async_hooks buffer child_process cluster console crypto dgram diagnostics_channel dns
    events fs http http2 https inspector module net os path perf_hooks process punycode
    querystring readline repl stream string_decoder test timers tls tty url util v8 vm wasi
    worker_threads zlib
    """.split()  # noqa: SIM905 - a list of quoted names shows less
)

GLOBALS = frozenset(
    """
    AbortController Array ArrayBuffer BigInt Boolean Buffer Date Error Function Infinity Intl
    JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set
    String Symbol SyntaxError TextDecoder TextEncoder TypeError URL URLSearchParams WeakMap
    clearInterval clearTimeout console decodeURIComponent encodeURIComponent exports fetch
    globalThis isFinite isNaN module parseFloat parseInt performance process queueMicrotask
    require setImmediate setInterval setTimeout structuredClone undefined
    """.split()  # noqa: SIM905 - the same
)

_ES_MODULE = (
    "The file is an ES module, by its import, export or top-level await, its name, or the "
    "package.json: those have no `{word}`."
)
_BROWSER = "document|window|alert|localStorage|sessionStorage|navigator|location|XMLHttpRequest"
_MODULES = "|".join(sorted(BUILTIN - {"console", "process", "test", "url", "module"}))

RULES = (
    rule(
        rf"^ReferenceError: (?P<object>{_BROWSER}) is not defined",
        "`{object}` belongs to browsers, and this is Node: there is no page.",
        "Print results with console.log, and read input from stdin or files.",
    ),
    rule(
        rf"^ReferenceError: (?P<module>{_MODULES}) is not defined",
        "`{module}` is a module of Node's that was not loaded.",
        "Add `const {module} = require('{module}')` at the top.",
    ),
    rule(
        r"^ReferenceError: (?P<word>__dirname|__filename) is not defined",
        _ES_MODULE,
        "Use `fileURLToPath(import.meta.url)` of node:url, and path.dirname of that.",
    ),
    rule(
        r"^ReferenceError: (?P<word>require|module|exports) is not defined",
        _ES_MODULE,
        "Use import instead, or write all of it with require.",
        "Or make one: `const require = createRequire(import.meta.url)`, of node:module.",
    ),
    rule(
        r"^SyntaxError: (?:Cannot use import statement outside a module|Unexpected token "
        r"'export'|Cannot use 'import.meta' outside a module)",
        "The file is loaded as a CommonJS module, which has neither import nor export.",
        'Call it .mjs, or send a package.json along that has `"type": "module"`.',
        "Or write it with require and module.exports.",
    ),
    rule(
        r"^Error: require\(\) of ES Module (?P<file>\S+)|^Error: require\(\) cannot be used on an "
        r"ESM graph",
        "An ES module cannot be loaded by require here.",
        "Load it by `await import(...)`, or make the program an ES module that imports it.",
    ),
    rule(
        r"^TypeError: Module \".*\" needs an import (?:attribute|assertion) of",
        "JSON is imported only where its type is said.",
        "Write `import data from './data.json' with {{ type: 'json' }}`, or read and parse it.",
    ),
    rule(
        r"^Error: Directory import '(?P<folder>.*)' is not supported",
        "An ES module imports files, and `{folder}` is a folder.",
        "Name the file in it, such as `index.js`.",
    ),
    rule(
        r"^Error: (?:Package subpath|No \"exports\" main)",
        "The package does not let that part of it be imported.",
        "Import what its package.json lists in `exports`.",
    ),
    rule(
        r"^ReferenceError: Cannot access '(?P<variable>[\w$]+)' before initialization",
        "`{variable}` is declared further down with let, const or class, and cannot be used "
        "above that.",
        "Move the declaration before the first use.",
    ),
    rule(
        r"^ReferenceError: (?P<name>[\w$]+) is not defined",
        "The program uses the name `{name}`, which is declared nowhere.",
        "Declare `{name}`, or import it.",
        "If it was meant as text, put it in quotes.",
    ),
    rule(
        r"^TypeError: Cannot (?P<act>read|set) propert(?:y|ies) of (?P<value>undefined|null)"
        r"(?: \((?:reading|setting) '(?P<property>.*)'\))?",
        "`.{property}` was asked of {value}: the value before the dot is not there.",
        "Find where that value comes from: a missing property, a function without a return, "
        "or a promise that was not awaited.",
        "Use `?.` if it may be absent.",
    ),
    rule(
        r"^TypeError: (?P<what>.*) is not a function",
        "`{what}` is called, and it is not a function.",
        "Print it with console.log before this line; check the spelling of the method.",
        "See whether a semicolon is missing at the end of the line before.",
    ),
    rule(
        r"^TypeError: (?P<what>.*) is not iterable",
        "`{what}` is spread or looped over, and has no elements to go through.",
        "Use Object.entries() for an object; check that it is an array.",
    ),
    rule(
        r"^TypeError: Assignment to constant variable",
        "A const is given another value.",
        "Declare it with let.",
    ),
    rule(
        r"^TypeError: (?P<what>.*) is not a constructor",
        "`{what}` is used with new, and it is not a class.",
        "Check what it is, and how it is exported and imported.",
    ),
    rule(
        r"^TypeError: Cannot mix BigInt",
        "A BigInt and a number do not go together in one operation.",
        "Convert one of them: BigInt(x) or Number(x).",
    ),
    rule(
        r"^TypeError: .*circular structure",
        "The object contains itself, and JSON has no form for that.",
        "Leave the property out that leads back, with a replacer for JSON.stringify.",
    ),
    rule(
        r"^TypeError: fetch failed",
        "The request did not come through; the cause is on stderr.",
        "Print `error.cause`.",
    ),
    rule(
        r"^RangeError: Maximum call stack",
        "A function calls itself, directly or through others, and never stops.",
        "Check the case that ends the recursion: it is missing, or never reached.",
        "Use a loop if it is meant to go deep.",
    ),
    rule(
        r"^RangeError: ",
        "A number is outside of what is allowed here, such as a negative length.",
        "Print the number before this line.",
    ),
    rule(
        r"^SyntaxError: .*(?:in JSON|JSON input|is not valid JSON)",
        "The text is not JSON: it is empty, cut, or something else, such as an object's text.",
        "Print the text before parsing it; JSON wants double quotes, and no comma at the end.",
    ),
    rule(
        r"^SyntaxError: The requested module '(?P<module>.*)' does not provide an export named "
        r"'(?P<name>.*)'",
        "The module `{module}` exports nothing called `{name}`.",
        "Look at what it exports: import * as all from it, and print that.",
    ),
    rule(
        r"^SyntaxError: Unexpected end of input",
        "The program ends within something: a bracket or a quote is never closed.",
        "Count the braces and parentheses from the top; format the code to see where it goes "
        "too deep.",
    ),
    rule(
        r"^SyntaxError: missing \) after argument list",
        "The arguments of a call are not closed, or a comma is missing between two of them.",
        "Add the `)` or the comma.",
    ),
    rule(
        r"^SyntaxError: Identifier '(?P<variable>.*)' has already been declared",
        "`{variable}` is declared twice with let, const or class.",
        "Remove the second let or const, or choose another name.",
    ),
    rule(
        r"^SyntaxError: Invalid or unexpected token",
        "There is a character that does not belong here, or a string that is not closed.",
        "Close the string; use backquotes for a text of several lines; replace typographic quotes.",
    ),
    rule(
        r"^SyntaxError: await is only valid",
        "await only works within an async function, or at the top of an ES module.",
        "Mark the function as async.",
    ),
    rule(
        r"^SyntaxError: Unexpected (?:identifier|strict mode reserved word)",
        "A word stands where none can: a comma or an operator is missing before it, or the "
        "code is TypeScript.",
        "Look at the end of what comes before it.",
        "Remove types and interfaces: this is plain JavaScript.",
    ),
    rule(
        r"^Error: spawn (?P<command>\S+) ENOENT",
        "There is no command `{command}` in this image.",
        "Do it with Node's own modules instead of a command.",
    ),
    rule(
        r"^Error: Command failed: (?P<command>.*)",
        "A command that the program ran failed: `{command}`.",
        "Read what it wrote to stderr.",
    ),
    rule(
        r"^Error: ENOENT: .*'(?P<path>[^']*)'",
        "There is no file `{path}`. A run starts with an empty work folder /sandbox: it has "
        "only the program and the files that were sent with it.",
        "Send `{path}` along in `files`, or make it first.",
        "Check the path: relative ones start at /sandbox.",
    ),
    rule(
        r"^Error: EACCES",
        "The file's own mode does not allow that.",
        "Change it first with fs.chmodSync.",
    ),
    rule(
        r"^UnhandledPromiseRejection",
        "A promise was rejected with something that is no Error, and nothing handled it.",
        "Await the promise within try and catch, or add .catch() to it.",
        "Reject with `new Error(...)`, which tells where it was made.",
    ),
    rule(
        r"^AggregateError",
        "Every one of several promises was rejected.",
        "Look at `error.errors`: each has its own reason.",
    ),
    rule(
        r"^AssertionError",
        "An assertion of the program did not hold.",
        "Print the values that it compares before the assertion.",
    ),
)

EXIT_CODES = {
    7: Meaning("A handler for uncaught exceptions failed itself."),
    13: Meaning(
        "It waited with a top-level await for a promise that can no longer be settled.",
        ("See that the promise is resolved or rejected on every way.",),
    ),
}
