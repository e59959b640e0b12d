"""What failed, where, and what to do about it: on what the real interpreters write."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sandboxd.diagnose import Facts
from sandboxd.diagnose import report as report_of
from sandboxd_client import Client, Limits, RunResult
from sandboxd_client.protocol import Blob, Category, DebugReport

EXCEPTION, SYNTAX = Category.EXCEPTION, Category.SYNTAX_ERROR
RESTRICTION, IMPORT = Category.SANDBOX_RESTRICTION, Category.IMPORT_ERROR
COMPILE, EXIT = Category.COMPILE_ERROR, Category.NONZERO_EXIT
SIGNAL, MEMORY = Category.SIGNAL, Category.OUT_OF_MEMORY


class Told(NamedTuple):
    """What a report must say."""

    category: Category
    error_type: str
    line: int | None
    """Of the location: the line that the snippet marks."""
    says: str
    """In the explanation."""
    suggests: str = ""
    """In a suggestion."""
    trace: tuple[int, ...] = ()
    """The lines of the program's own levels, outermost first."""
    column: int | None = None


class Case(NamedTuple):
    code: str
    told: Told
    limits: Limits = Limits()


PYTHON = {
    "a name misspelt": Case(
        "total = 1\n\nprint(totl)\n",
        Told(EXCEPTION, "NameError", 3, "`totl`", "Did you mean `total`?", (3,), 7),
    ),
    "a module not imported": Case(
        "def f():\n    return json.dumps(1)\nf()\n",
        Told(EXCEPTION, "NameError", 2, "standard library", "Add `import json`", (3, 2), 12),
    ),
    "a local variable without a value": Case(
        "x = 1\ndef f():\n    print(x)\n    x = 2\nf()\n",
        Told(EXCEPTION, "UnboundLocalError", 3, "local to it", "global x", (5, 3), 11),
    ),
    "a key": Case(
        "d = {'a': 1}\nd['b']\n", Told(EXCEPTION, "KeyError", 2, "key `b`", ".get('b')", (2,), 2)
    ),
    "an index": Case(
        "a = [1]\nprint(a[3])\n", Told(EXCEPTION, "IndexError", 2, "length", "", (2,), 8)
    ),
    "types": Case(
        "x = 1\ny = 'a' + x\n", Told(EXCEPTION, "TypeError", 2, "operator", "str(x)", (2,), 9)
    ),
    "an argument": Case(
        "def f(a): pass\nf()\n", Told(EXCEPTION, "TypeError", 2, "without 'a'", "Pass 'a'", (2,))
    ),
    "None": Case("x = None\nx[0]\n", Told(EXCEPTION, "TypeError", 2, "is None", "", (2,), 2)),
    "an attribute of None": Case(
        "x = None\nx.foo\n", Told(EXCEPTION, "AttributeError", 2, "None", "why it is None", (2,))
    ),
    "an attribute misspelt": Case(
        "class A:\n    value = 1\nA().valu\n",
        Told(EXCEPTION, "AttributeError", 3, "`valu`", "Did you mean `value`?", (3,)),
    ),
    "a number": Case(
        "x = 1\nint('abc')\n", Told(EXCEPTION, "ValueError", 2, "'abc'", "Strip", (2,))
    ),
    "a division": Case(
        "def f(x):\n    return 1 / x\n\nf(0)\n",
        Told(EXCEPTION, "ZeroDivisionError", 2, "zero", "divisor", (4, 2), 14),
    ),
    "a division behind a tab": Case(
        "def f(x):\n\treturn 1 / x\n\nf(0)\n",
        Told(EXCEPTION, "ZeroDivisionError", 2, "zero", "divisor", (4, 2), 11),
    ),
    "a file": Case(
        "\nopen('data.csv')\n",
        Told(EXCEPTION, "FileNotFoundError", 2, "`data.csv`", "`files`", (2,)),
    ),
    "a command": Case(
        "import subprocess\nsubprocess.run(['ffmpeg'])\n",
        Told(EXCEPTION, "FileNotFoundError", 2, "no command `ffmpeg`", "own library", (2,)),
    ),
    "no stdin": Case(
        "\nx = input()\n", Told(EXCEPTION, "EOFError", 2, "stdin", "`stdin`", (2,), 5)
    ),
    "an assertion": Case(
        "\nassert 1 == 2, 'no'\n", Told(EXCEPTION, "AssertionError", 2, "did not hold", "", (2,), 8)
    ),
    "bytes": Case(
        "\nb'\\xff'.decode()\n",
        Told(EXCEPTION, "UnicodeDecodeError", 2, "utf-8", "encoding=", (2,)),
    ),
    "an interrupt": Case(
        "\nraise KeyboardInterrupt\n",
        Told(SIGNAL, "KeyboardInterrupt", 2, "interrupted", "", (2,)),
    ),
    "JSON": Case(
        "import json\njson.loads('{bad')\n",
        Told(EXCEPTION, "json.decoder.JSONDecodeError", 2, "not JSON", "Print the text", (2,)),
    ),
    "its own exception": Case(
        "class MyError(Exception): pass\ndef g():\n    raise MyError('a\\nb')\ng()\n",
        Told(EXCEPTION, "MyError", 3, "MyError", "line 3", (4, 3)),
    ),
    "an exception from another": Case(
        "try:\n    1/0\nexcept Exception as e:\n    raise ValueError('bad') from e\n",
        Told(EXCEPTION, "ValueError", 4, "value", "", (4,)),
    ),
    "a group": Case(
        "\nraise ExceptionGroup('eg', [ValueError('a')])\n",
        Told(EXCEPTION, "ExceptionGroup", 2, "Several", "", (2,)),
    ),
    "an exception in a pool of threads": Case(
        "from concurrent.futures import ThreadPoolExecutor\ndef f(x):\n    return 1/x\n"
        "with ThreadPoolExecutor() as e:\n    list(e.map(f, [0]))\n",
        Told(EXCEPTION, "ZeroDivisionError", 3, "zero", "", (5, 3), 13),
    ),
    "a colon": Case(
        "x = 1\nif x\n    pass\n", Told(SYNTAX, "SyntaxError", 2, "colon", "`:`", (), 5)
    ),
    "a bracket": Case(
        "\nx = (1,\n", Told(SYNTAX, "SyntaxError", 2, "never closed", "bracket", (), 5)
    ),
    "a quote": Case("\nx = 'abc\n", Told(SYNTAX, "SyntaxError", 2, "not closed", "quote", (), 5)),
    "Python 2": Case(
        "\nprint 'hello'\n", Told(SYNTAX, "SyntaxError", 2, "Python 2", "print(...)", (), 1)
    ),
    "no block": Case(
        "def f():\npass\n", Told(SYNTAX, "IndentationError", 2, "block", "Indent", (), 1)
    ),
    "too much of an indent": Case(
        "x = 1\n  y = 2\n", Told(SYNTAX, "IndentationError", 2, "further in", "back")
    ),
    "tabs and spaces": Case(
        "if 1:\n\tx = 1\n        y = 2\n", Told(SYNTAX, "TabError", 3, "mixes", "four spaces")
    ),
    "a module that nobody has": Case(
        "\nimport requets\n",
        Told(IMPORT, "ModuleNotFoundError", 2, "no module `requets`", "`files`", (2,)),
    ),
    "a name that a module has not": Case(
        "\nfrom os import foo\n",
        Told(IMPORT, "ImportError", 2, "nothing called `foo`", "dir()", (2,)),
    ),
    "a host name": Case(
        "import urllib.request\nurllib.request.urlopen('http://example.com')\n",
        Told(RESTRICTION, "urllib.error.URLError", 2, "no network", "network=true", (2,)),
    ),
    "an address": Case(
        "import socket\nsocket.create_connection(('192.0.2.1', 80))\n",
        Told(RESTRICTION, "OSError", 2, "no network", "`files`", (2,)),
    ),
    "a port that nobody listens on": Case(
        "import socket\nsocket.create_connection(('127.0.0.1', 80))\n",
        Told(
            EXCEPTION, "ConnectionRefusedError", 2, "loopback of its own", "Start the server", (2,)
        ),
    ),
    "a place that is read-only": Case(
        "\nopen('/etc/x', 'w')\n",
        Told(RESTRICTION, "OSError", 2, "`/etc/x`", "read_only=false", (2,)),
    ),
    "a file of the system's": Case(
        "\nopen('/etc/shadow')\n",
        Told(RESTRICTION, "PermissionError", 2, "`/etc/shadow`", "/tmp", (2,)),
    ),
    "a file without its mode": Case(
        "import os\nos.close(os.open('f', os.O_CREAT, 0))\nopen('f')\n",
        Told(EXCEPTION, "PermissionError", 3, "own mode", "os.chmod", (3,)),
    ),
    "a raw socket": Case(
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\n",
        Told(RESTRICTION, "PermissionError", 2, "denies", "", (2,)),
    ),
    "another kind of socket": Case(
        "import socket\nsocket.socket(socket.AF_PACKET)\n",
        Told(RESTRICTION, "OSError", 2, "unix, IPv4 and IPv6", "", (2,)),
    ),
    "another user": Case(
        "import os\nos.setuid(0)\n", Told(RESTRICTION, "OSError", 2, "one user", "", (2,))
    ),
    "processes": Case(
        "import os, signal\nwhile True:\n    if os.fork() == 0: signal.pause()\n",
        Told(RESTRICTION, "BlockingIOError", 3, "which is 100", "limits.pids", (3,), 8),
    ),
    "threads": Case(
        "import threading\nevent = threading.Event()\nwhile True:\n"
        "    threading.Thread(target=event.wait, daemon=True).start()\n",
        Told(RESTRICTION, "RuntimeError", 4, "which is 100", "pool", (4,)),
    ),
    "space": Case(
        "with open('big', 'wb', buffering=0) as f:\n    while True: f.write(bytes(1 << 20))\n",
        Told(RESTRICTION, "OSError", 2, "192 MiB", "limits.tmp", (2,)),
    ),
    "open files": Case(
        "files = []\nwhile True: files.append(open('/dev/null'))\n",
        Told(RESTRICTION, "OSError", 2, "open", "Close each", (2,)),
    ),
    "memory at once": Case(
        "\nx = ' ' * (1 << 60)\n",
        Told(MEMORY, "MemoryError", 2, "512 MiB", "limits.memory", (2,), 9),
    ),
    "memory bit by bit": Case(
        "x = []\nwhile True: x.append(bytes(range(256)) * 4096)\n",
        Told(MEMORY, "", None, "512 MiB", "piece by piece"),
    ),
    "time": Case(
        "print('step 1')\nprint('step 2')\nwhile True: pass\n",
        Told(Category.TIMEOUT, "", None, '"step 2"', "after line 2"),
        limits=Limits(timeout=0.5),
    ),
    "output": Case(
        "while True: print('x' * 1000)\n",
        Told(Category.OUTPUT_LIMIT, "", None, "9.8 KiB", "limits.output"),
        limits=Limits(output=10_000),
    ),
    "a fault": Case(
        "import ctypes\nctypes.string_at(0)\n", Told(SIGNAL, "SIGSEGV", None, "SIGSEGV", "ctypes")
    ),
    "an abort": Case("import os\nos.abort()\n", Told(SIGNAL, "SIGABRT", None, "aborted itself")),
    "a text at the exit": Case(
        "import sys\nsys.exit('bad input')\n", Told(EXIT, "", None, "exit code 1", "line 2")
    ),
    "an exit code": Case(
        "import sys\nsys.exit(3)\n", Told(EXIT, "", None, "exit code 3", "line 2")
    ),
    "arguments": Case(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('file')\np.parse_args()\n",
        Told(EXIT, "", None, "arguments are required: file", "`args`"),
    ),
    "an endless recursion": Case(
        "def f(n):\n    return f(n + 1)\nf(0)\n",
        Told(
            EXCEPTION, "RecursionError", 2, "calls itself", "ends the recursion", (3, 2, 2, 2), 12
        ),
    ),
    "nothing": Case("print('fine')\n", Told(Category.SUCCESS, "", None, "nothing failed")),
}

JAVASCRIPT = {
    "a name misspelt": Case(
        "const total = 1;\n\nconsole.log(totl);\n",
        Told(EXCEPTION, "ReferenceError", 3, "`totl`", "Did you mean `total`?", (3,), 13),
    ),
    "a property of undefined": Case(
        "const o = {};\nfunction f() {\n  return o.a.b;\n}\nf();\n",
        Told(EXCEPTION, "TypeError", 3, "`.b`", "`?.`", (5, 3), 14),
    ),
    "a function": Case(
        "const o = {};\no.foo();\n", Told(EXCEPTION, "TypeError", 2, "`o.foo`", "spelling", (2,), 3)
    ),
    "a constant": Case(
        "const a = 1;\na = 2;\n", Told(EXCEPTION, "TypeError", 2, "const", "let", (2,), 3)
    ),
    "a variable too early": Case(
        "console.log(a);\nlet a = 1;\n",
        Told(EXCEPTION, "ReferenceError", 1, "further down", "", (1,), 13),
    ),
    "a browser": Case(
        "\ndocument.title;\n",
        Told(EXCEPTION, "ReferenceError", 2, "browsers", "console.log", (2,), 1),
    ),
    "a length": Case(
        "\nnew Array(-1);\n", Told(EXCEPTION, "RangeError", 2, "outside", "", (2,), 1)
    ),
    "an endless recursion": Case(
        "function f() {\n  return f();\n}\nf();\n",
        Told(EXCEPTION, "RangeError", 2, "calls itself", "recursion", (2,) * 10),
    ),
    "a rejection": Case(
        "async function f() {\n  throw new Error('no');\n}\nf();\n",
        Told(EXCEPTION, "Error", 2, "raised Error", "line 2", (4, 2), 9),
    ),
    "a rejection without an error": Case(
        "\nPromise.reject('just text');\n",
        Told(EXCEPTION, "UnhandledPromiseRejection", None, "rejected", ".catch()"),
    ),
    "an error in a timer": Case(
        "setTimeout(() => {\n  undefined.x;\n}, 1);\n",
        Told(EXCEPTION, "TypeError", 2, "`.x`", "", (2,), 13),
    ),
    "a text thrown": Case("\nthrow 'text';\n", Told(EXCEPTION, "", 2, "no error", "", (), 1)),
    "its own error": Case(
        "class MyError extends Error {}\nthrow new MyError('mine');\n",
        Told(EXCEPTION, "MyError", 2, "MyError", "", (2,), 7),
    ),
    "JSON": Case(
        "\nJSON.parse('{bad');\n", Told(EXCEPTION, "SyntaxError", 2, "not JSON", "Print", (2,), 6)
    ),
    "a file": Case(
        "\nrequire('fs').readFileSync('data.txt');\n",
        Told(EXCEPTION, "Error", 2, "`data.txt`", "`files`", (2,), 15),
    ),
    "a command": Case(
        "\nrequire('child_process').spawn('ffmpeg');\n",
        Told(EXCEPTION, "Error", None, "no command `ffmpeg`", "Node's own"),
    ),
    "an assertion": Case(
        "\nrequire('assert').strictEqual(1, 2);\n",
        Told(EXCEPTION, "AssertionError", 2, "did not hold", "", (2,), 19),
    ),
    "a comma": Case(
        "const x = {\n  a: 1\n  b: 2\n};\n", Told(SYNTAX, "SyntaxError", 3, "comma", "", (), 3)
    ),
    "a parenthesis": Case(
        "function f() {\n  console.log('x'\n}\n",
        Told(SYNTAX, "SyntaxError", 2, "not closed", "`)`", (), 15),
    ),
    "a brace": Case(
        "function f() {\n  return 1;\n", Told(SYNTAX, "SyntaxError", 2, "never closed")
    ),
    "a variable twice": Case(
        "let a = 1;\nlet a = 2;\n", Told(SYNTAX, "SyntaxError", 2, "twice", "", (), 5)
    ),
    "a module with an error": Case(
        "import fs from 'fs';\nconst x = {\n  a 1\n};\n",
        Told(SYNTAX, "SyntaxError", 3, "not valid JavaScript", "line 3", (), 5),
    ),
    "a name in a module": Case(
        "import fs from 'fs';\n\nfoo();\n",
        Told(EXCEPTION, "ReferenceError", 3, "`foo`", "Declare", (3,), 1),
    ),
    "a package": Case(
        "\nconst axios = require('axios');\n",
        Told(IMPORT, "Error", 2, "no module `axios`", "nothing can be installed", (2,), 15),
    ),
    "a package of a module": Case(
        "\nimport axios from 'axios';\n", Told(IMPORT, "Error", 2, "no module `axios`", "operator")
    ),
    "a file as a module": Case(
        "\nrequire('./util');\n", Told(IMPORT, "Error", 2, "file `./util`", "`files`", (2,), 1)
    ),
    "a name that a module has not": Case(
        "import { foo } from 'fs';\nfoo();\n",
        Told(IMPORT, "SyntaxError", 1, "exports nothing called `foo`", "", (), 10),
    ),
    "a host name": Case(
        "await fetch('http://example.com');\n",
        Told(RESTRICTION, "TypeError", 1, "no network", "network=true", (1,), 1),
    ),
    "an address": Case(
        "\nrequire('net').connect(80, '192.0.2.1');\n",
        Told(RESTRICTION, "Error", None, "no network", "`files`"),
    ),
    "a place that is read-only": Case(
        "\nrequire('fs').writeFileSync('/etc/x', 'y');\n",
        Told(RESTRICTION, "Error", 2, "`/etc/x`", "/tmp", (2,), 15),
    ),
    "space": Case(
        "const fs = require('fs');\nconst b = Buffer.alloc(1 << 20);\n"
        "while (true) fs.appendFileSync('big', b);\n",
        Told(RESTRICTION, "Error", 3, "192 MiB", "limits.tmp", (3,), 17),
    ),
    "processes": Case(
        "const { spawn } = require('child_process');\n"
        "for (let i = 0; i < 150; i++) spawn('sleep', ['30']);\n",
        Told(RESTRICTION, "Error", None, "which is 100", "limits.pids"),
    ),
    "an abort": Case("process.abort();\n", Told(SIGNAL, "SIGABRT", None, "aborted itself")),
    "an exit code": Case("\nprocess.exit(3);\n", Told(EXIT, "", None, "exit code 3", "line 2")),
    "time": Case(
        "console.log('working');\nwhile (true) {}\n",
        Told(Category.TIMEOUT, "", None, '"working"', "loop of line 2"),
        limits=Limits(timeout=0.5),
    ),
    "nothing": Case("console.log('fine')\n", Told(Category.SUCCESS, "", None, "nothing failed")),
}

RUBY = {
    "a name misspelt": Case(
        "total = 1\n\nputs totl\n",
        Told(EXCEPTION, "NameError", 3, "`totl`", "Did you mean `total`?", (3,), 6),
    ),
    "a constant": Case(
        "\nFoo.new\n", Told(EXCEPTION, "NameError", 2, "no class or module `Foo`", "", (2,), 1)
    ),
    "a library not loaded": Case(
        "\nJSON.parse('1')\n", Told(EXCEPTION, "NameError", 2, "library `json`", "require", (2,), 1)
    ),
    "nil": Case(
        "def f(x)\n  x.upcase\nend\nf(nil)\n",
        Told(EXCEPTION, "NoMethodError", 2, "on nil", "`&.`", (4, 2), 4),
    ),
    "no stdin": Case(
        "\nx = gets.chomp\n", Told(EXCEPTION, "NoMethodError", 2, "stdin", "`stdin`", (2,), 9)
    ),
    "a method misspelt": Case(
        "\n'abc'.upcas\n", Told(EXCEPTION, "NoMethodError", 2, "`upcas`", "`upcase`?", (2,), 6)
    ),
    "a division": Case(
        "def f(x)\n  1 / x\nend\nf(0)\n",
        Told(EXCEPTION, "ZeroDivisionError", 2, "zero", "divisor", (4, 2, 2)),
    ),
    "an argument": Case(
        "def f(a)\nend\nf\n", Told(EXCEPTION, "ArgumentError", 1, "given 0, expected 1", "", (3, 1))
    ),
    "a number": Case(
        "\nInteger('abc')\n", Told(EXCEPTION, "ArgumentError", 2, '"abc"', "to_i", (2, 2))
    ),
    "a key": Case(
        "\n{a: 1}.fetch(:b)\n", Told(EXCEPTION, "KeyError", 2, "no key :b", "symbol", (2, 2))
    ),
    "an index": Case("\n[1].fetch(5)\n", Told(EXCEPTION, "IndexError", 2, "outside", "", (2, 2))),
    "types": Case("\n'a' + 1\n", Told(EXCEPTION, "TypeError", 2, "Integer", "to_s", (2, 2))),
    "a frozen string": Case(
        "\n'a'.freeze << 'b'\n", Told(EXCEPTION, "FrozenError", 2, "frozen", "dup", (2,))
    ),
    "its own exception": Case(
        'class MyError < StandardError; end\ndef g\n  raise MyError, "a\\nb"\nend\ng\n',
        Told(EXCEPTION, "MyError", 3, "MyError", "line 3", (5, 3)),
    ),
    "an exception from another": Case(
        "begin\n  1/0\nrescue\n  raise ArgumentError, 'outer'\nend\n",
        Told(EXCEPTION, "ArgumentError", 4, "ArgumentError", "line 4", (1, 4)),
    ),
    "a file": Case(
        "\nFile.read('data.txt')\n",
        Told(EXCEPTION, "Errno::ENOENT", 2, "`data.txt`", "`files`", (2, 2)),
    ),
    "a command": Case(
        "\nexec('ffmpeg', '-version')\n",
        Told(EXCEPTION, "Errno::ENOENT", 2, "command `ffmpeg`", "", (2, 2)),
    ),
    "JSON": Case(
        "require 'json'\nJSON.parse('{bad')\n",
        Told(EXCEPTION, "JSON::ParserError", 2, "not JSON", "", (2,)),
    ),
    "an end missing": Case("def f\n  puts 'x'\n", Told(SYNTAX, "SyntaxError", 2, "`end`", "Add")),
    "an end too many": Case("if 1\nend\nend\n", Told(SYNTAX, "SyntaxError", 3, "too many")),
    "a quote": Case("x = 1\ny = 'abc\n", Told(SYNTAX, "SyntaxError", 2, "not closed")),
    "a library": Case(
        "\nrequire 'nokogiri'\n",
        Told(IMPORT, "LoadError", 2, "no module `nokogiri`", "operator", (2,)),
    ),
    "a file as a library": Case(
        "\nrequire_relative 'util'\n",
        Told(IMPORT, "LoadError", 2, "`./util.rb`", "`files`", (2, 2)),
    ),
    "a host name": Case(
        "require 'net/http'\nNet::HTTP.get(URI('http://example.com'))\n",
        Told(RESTRICTION, "SocketError", 2, "no network", "network=true", (2,)),
    ),
    "a place that is read-only": Case(
        "\nFile.write('/etc/x', 'y')\n",
        Told(RESTRICTION, "Errno::EROFS", 2, "`/etc/x`", "/tmp", (2, 2)),
    ),
    "threads": Case(
        "loop { Thread.new { sleep } }\n",
        Told(RESTRICTION, "ThreadError", 1, "which is 100", "", (1,) * 5),
    ),
    "memory at once": Case(
        "\n'a' * (1 << 62)\n", Told(MEMORY, "NoMemoryError", None, "512 MiB", "piece by piece")
    ),
    "an interrupt": Case("\nraise Interrupt\n", Told(SIGNAL, "Interrupt", 2, "SIGINT", "", (2,))),
    "a text at the exit": Case(
        "\nabort 'bad input'\n", Told(EXIT, "", None, "exit code 1", "line 2")
    ),
    "an endless recursion": Case(
        "def f\n  f\nend\nf\n",
        Told(EXCEPTION, "SystemStackError", 2, "calls itself", "recursion", (4, *(2,) * 12)),
    ),
}

BASH = {
    "a command": Case(
        "echo a\nnosuchcommand --x\n",
        Told(EXCEPTION, "command not found", 2, "The image has the shell", "spelling"),
    ),
    "a command misspelt": Case(
        "\ngrpe x\n", Told(EXCEPTION, "command not found", 2, "`grpe`", "Did you mean `grep`?")
    ),
    "a package manager": Case(
        "\npip install requests\n", Told(EXCEPTION, "command not found", 2, "installed", "operator")
    ),
    "spaces": Case("\nx = 5\n", Told(EXCEPTION, "command not found", 2, "`x`", "no spaces around")),
    "a fi missing": Case(
        "if true; then\n  echo\n", Told(SYNTAX, "syntax error", 2, "not closed", "fi")
    ),
    "a token": Case("\necho (b)\n", Told(SYNTAX, "syntax error", 2, "stands where", "Quote")),
    "a quote": Case("\necho 'abc\n", Told(SYNTAX, "syntax error", 2, "never closed", "Close it")),
    "a variable": Case(
        "set -u\necho $foo\n", Told(EXCEPTION, "unbound variable", 2, "`foo`", "${foo:-}")
    ),
    "a variable that must be": Case(
        "\n: ${FOO:?must be set}\n", Told(EXCEPTION, "error", 2, "must be set")
    ),
    "a division": Case(
        "\necho $((1/0))\n", Told(EXCEPTION, "arithmetic error", 2, "divides by zero")
    ),
    "a test": Case("\n[ abc -eq 1 ]\n", Told(EXCEPTION, "bad test", 2, "no number", "-eq")),
    "a file": Case(
        "\nread x < data.txt\n",
        Told(EXCEPTION, "no such file or directory", 2, "/sandbox", "`files`"),
    ),
    "a file of a command": Case(
        "\ncat data.txt\n", Told(EXIT, "", 2, "`cat` found no `data.txt`", "`files`")
    ),
    "an option of a command": Case(
        "\nls --foo\n", Told(EXIT, "", 2, "one of its options", "--help")
    ),
    "a file without its mode": Case(
        "echo echo > s.sh\n./s.sh\n",
        Told(EXCEPTION, "permission denied", 2, "may not be run", "chmod +x"),
    ),
    "a file of the system's": Case(
        "\ncat /etc/shadow\n", Told(RESTRICTION, "", 2, "`/etc/shadow`", "/tmp")
    ),
    "space": Case(
        "\nhead -c 1G /dev/zero > big\n", Told(RESTRICTION, "", 2, "192 MiB", "limits.tmp")
    ),
    "a signal": Case(
        "\nkill -SEGV $$\n", Told(SIGNAL, "SIGSEGV", None, "The program was ended by")
    ),
    "an exit code": Case("\nexit 3\n", Told(EXIT, "", None, "exit code 3", "line 2")),
    "a command that found nothing": Case(
        "set -e\ngrep x /dev/null\n", Told(EXIT, "", None, "grep and diff", "set -x")
    ),
    "time": Case(
        "echo working\nsleep 60\n",
        Told(Category.TIMEOUT, "", None, '"working"', "line 2 sleeps"),
        limits=Limits(timeout=0.5),
    ),
    "a place that is read-only": Case(
        "\ntouch /usr/x\n", Told(RESTRICTION, "", 2, "`/usr/x`", "read_only=false")
    ),
}

ONLY_BASH = {
    "carriage returns": Case(
        "ls\r\n", Told(EXCEPTION, "command not found", 1, "Windows", "newlines")
    ),
    "a line that eval counts": Case(
        "\neval 'echo ('\n", Told(SYNTAX, "syntax error", None, "stands")
    ),
    "an address": Case(
        "\nexec 3<>/dev/tcp/192.0.2.1/80\n", Told(RESTRICTION, "no connection", 2, "no network")
    ),
    "a signal by its line": Case(
        "echo\nbash -c 'kill -ABRT $$'\n", Told(SIGNAL, "SIGABRT", 2, "aborted itself")
    ),
}

ONLY_SH = {
    "a signal of a command": Case(
        "\nsh -c 'kill -SEGV $$'\n", Told(SIGNAL, "SIGSEGV", None, "The last command")
    ),
    "bash": Case(
        "\nset -o pipefail\n", Told(EXCEPTION, "illegal option", 2, "fewer than bash", "bash")
    ),
    "an array": Case("\na=(1 2)\n", Told(SYNTAX, "syntax error", 2, "`(` stands", "Quote")),
    "processes": Case(
        "i=0\nwhile [ $i -lt 150 ]; do sleep 20 & i=$((i+1)); done\n",
        Told(RESTRICTION, "cannot fork", None, "which is 100", "limits.pids"),
    ),
}

_MAIN = "package main\n\n"

GO = {
    "a name misspelt": Case(
        _MAIN + "func main() {\n\ttotal := 1\n\tprintln(totl, total)\n}\n",
        Told(COMPILE, "compile error", 5, "`totl`", "Did you mean `total`?", (), 10),
    ),
    "a package not imported": Case(
        _MAIN + "func main() {\n\tfmt.Println()\n}\n",
        Told(COMPILE, "compile error", 4, "not imported", 'import "fmt"', (), 2),
    ),
    "an import": Case(
        _MAIN + 'import "os"\n\nfunc main() {}\n',
        Told(COMPILE, "compile error", 3, "`os`", "Remove the import", (), 8),
    ),
    "a variable": Case(
        _MAIN + "func main() {\n\tx := 1\n}\n",
        Told(COMPILE, "compile error", 4, "`x`", "_ = x", (), 2),
    ),
    "types": Case(
        _MAIN + "func main() {\n\ty, z := 1, 1.5\n\tprintln(y + z)\n}\n",
        Told(COMPILE, "compile error", 5, "int and float64", "Convert", (), 10),
    ),
    "a type": Case(
        _MAIN + 'func main() {\n\tvar x int = "é"\n\t_ = x\n}\n',
        Told(COMPILE, "compile error", 4, "where int is needed", "Convert", (), 14),
    ),
    "several errors": Case(
        _MAIN + "func main() {\n\ta()\n\tb()\n}\n",
        Told(COMPILE, "compile error", 4, "1 more: line 5"),
    ),
    "a return": Case(
        _MAIN + "func f() int {\n}\n\nfunc main() { f() }\n",
        Told(COMPILE, "compile error", 4, "without a return", "", (), 1),
    ),
    "a brace": Case(
        _MAIN + "func main()\n{\n}\n",
        Told(SYNTAX, "syntax error", 4, "line of its own", "`{`", (), 1),
    ),
    "a brace missing": Case(_MAIN + "func main() {\n", Told(SYNTAX, "syntax error", 3, "closed")),
    "another package": Case(
        "package foo\n\nfunc main() {}\n",
        Told(COMPILE, "link error", 1, "another name", "package main"),
    ),
    "no main": Case(_MAIN + "func f() {}\n", Told(COMPILE, "link error", 1, "no function `main`")),
    "a package that nobody has": Case(
        _MAIN + 'import "github.com/a/b"\n\nfunc main() { b.C() }\n',
        Told(IMPORT, "compile error", 3, "no module `github.com/a/b`", "installed", (), 8),
    ),
    "a panic": Case(
        _MAIN + 'func f() {\n\tpanic("boom")\n}\n\nfunc main() {\n\tf()\n}\n',
        Told(EXCEPTION, "panic", 4, "panicked", "innermost", (8, 4)),
    ),
    "an index": Case(
        _MAIN + "func main() {\n\ta, i := []int{1}, 5\n\tprintln(a[i])\n}\n",
        Told(EXCEPTION, "runtime error", 5, "index 5", "len()", (5,)),
    ),
    "a nil map": Case(
        _MAIN + "func main() {\n\tvar m map[int]int\n\tm[1] = 1\n}\n",
        Told(EXCEPTION, "panic", 5, "never made", "make()", (5,)),
    ),
    "a nil pointer": Case(
        _MAIN + "func main() {\n\tvar p *int\n\tprintln(*p)\n}\n",
        Told(EXCEPTION, "runtime error", 5, "nil pointer", "Check for nil", (5,)),
    ),
    "a type assertion": Case(
        _MAIN + "func main() {\n\tvar x any = 1\n\tprintln(x.(string))\n}\n",
        Told(EXCEPTION, "panic", 5, "is int, not string", "v, ok", (5,)),
    ),
    "a deadlock": Case(
        _MAIN + "func main() {\n\tc := make(chan int)\n\t<-c\n}\n",
        Told(EXCEPTION, "fatal error", 5, "waits for another", "channel", (5,)),
    ),
    "a panic of a goroutine": Case(
        _MAIN + 'func work() {\n\tpanic("boom")\n}\n\nfunc main() {\n\tgo work()\n\tselect {}\n}\n',
        Told(EXCEPTION, "panic", 4, "panicked", "", (8, 4)),
    ),
    "a command": Case(
        _MAIN + 'import "os/exec"\n\nfunc main() {\n\tpanic(exec.Command("ffmpeg").Run())\n}\n',
        Told(EXCEPTION, "panic", 6, "command `ffmpeg`", "own library", (6,)),
    ),
    "a file": Case(
        _MAIN + 'import "os"\n\nfunc main() {\n\t_, err := os.Open("a.txt")\n\tpanic(err)\n}\n',
        Told(EXCEPTION, "panic", 7, "`a.txt`", "`files`", (7,)),
    ),
    "a host name": Case(
        _MAIN + 'import (\n\t"log"\n\t"net"\n)\n\nfunc main() {\n'
        '\t_, err := net.Dial("tcp", "example.com:80")\n\tlog.Fatal(err)\n}\n',
        Told(RESTRICTION, "", None, "no network", "network=true"),
    ),
    "a place that is read-only": Case(
        _MAIN + 'import "os"\n\nfunc main() {\n\tpanic(os.WriteFile("/etc/x", nil, 0o644))\n}\n',
        Told(RESTRICTION, "panic", 6, "`/etc/x`", "/tmp", (6,)),
    ),
    "an exit code": Case(
        _MAIN + 'import "os"\n\nfunc main() {\n\tos.Exit(3)\n}\n',
        Told(EXIT, "", None, "code 3", "line 6"),
    ),
}

PROGRAMS = {
    "python": PYTHON,
    "javascript": JAVASCRIPT,
    "ruby": RUBY,
    "bash": BASH | ONLY_BASH,
    "sh": BASH | ONLY_SH,
    "go": GO,
}


@pytest.mark.parametrize(
    ("language", "case"),
    [
        pytest.param(language, case, id=f"{language}: {what}")
        for language, cases in PROGRAMS.items()
        for what, case in cases.items()
    ],
)
def test_a_failure_is_read_placed_and_explained(client: Client, language: str, case: Case) -> None:
    report = diagnose(client.run(language, case.code, limits=case.limits), case)
    told, place = case.told, report.location
    assert (report.category, report.error_type) == (told.category, told.error_type), report
    assert told.says in report.explanation
    assert any(told.suggests in each for each in report.suggestions or [""]), report.suggestions
    assert (place.line if place else None) == told.line
    if told.column is not None:
        assert place
        assert place.column == told.column
    own = [frame for frame in report.frames if place and frame.file == place.file]
    assert tuple(frame.line for frame in own) == told.trace
    lines = [line.strip() for line in case.code.split("\n")]
    assert all(frame.source == lines[frame.line - 1] for frame in own)
    shown = [line for line in report.snippet.split("\n") if line.startswith(">")]
    marked = [line.partition("|")[2].strip() for line in shown]
    assert marked == ([lines[told.line - 1]] if told.line else [])


def test_a_module_of_another_profile_is_found_there(client: Client) -> None:
    case = Case("import pandas\n", Told(IMPORT, "ModuleNotFoundError", 1, "pandas"))
    result = client.run("python", case.code)
    report = diagnose(result, case, modules=("numpy",), profiles_with={"pandas": "data"})
    assert report.suggestions[0] == 'Run it with profile="data", which has `pandas`.'


def diagnose(result: RunResult, case: Case, **known: object) -> DebugReport:
    """The report of a run, with the limits that it had."""
    facts: dict[str, object] = {
        "phase": result.error.phase if result.error else "run",
        "timeout": case.limits.timeout or 30.0,
        "duration": result.duration,
        "memory_limit": 512 << 20,
        "memory_peak": result.usage.memory_peak,
        "pids_limit": 100,
        "output_limit": case.limits.output or 1 << 20,
        "tmp_limit": 192 << 20,
    }
    return report_of(
        Facts(
            language=result.language,
            code=case.code,
            status=result.status,
            exit_code=result.exit_code,
            signal=result.signal,
            stdout=text(result.stdout),
            stderr=text(result.stderr),
            **facts | known,  # type: ignore[arg-type]
        )
    )


def text(stream: Blob | None) -> str:
    return stream if isinstance(stream, str) else ""
