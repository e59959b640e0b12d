"""Languages without a module of their own, on what their own tools wrote."""

# ruff: noqa: RUF001 - the quotes are those of the compilers

from __future__ import annotations

import pytest

from sandboxd_client.protocol import Category, Location
from tests.unit.test_diagnose import failed

CODE = "one\ntwo\nthree three three three\nfour four four four\nfive\n"

GCC = """main.c: In function ‘main’:
main.c:3:11: error: ‘foo’ undeclared (first use in this function)
    3 |   int x = foo;
      |           ^~~
main.c:3:11: note: each undeclared identifier is reported only once for each function
main.c:4:14: error: expected ‘;’ before ‘return’
"""
RUSTC = """error[E0425]: cannot find value `y` in this scope
 --> /sandbox/main.rs:3:20
  |
3 |     println!("{}", y);
  |                    ^

error[E0308]: mismatched types
 --> /sandbox/main.rs:2:1

error: aborting due to 2 previous errors
"""
RUST_PANIC = """
thread 'main' (19798) panicked at /sandbox/main.rs:1:3:
index out of bounds: the len is 1 but the index is 5
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""
JAVAC = """main.java:3: error: incompatible types: String cannot be converted to int
    int x = "a";
            ^
1 error
"""
JAVA = """Exception in thread "main" java.lang.ArithmeticException: / by zero
\tat Main.f(main.java:2)
\tat Main.main(main.java:4)
"""
PERL = "boom at /sandbox/main.pl line 2.\n"
PERL_SYNTAX = """syntax error at /sandbox/main.pl line 3, near "my "
Execution of /sandbox/main.pl aborted due to compilation errors.
"""
PHP = """PHP Fatal error:  Uncaught DivisionByZeroError: Division by zero in /sandbox/main.php:3
Stack trace:
#0 /sandbox/main.php(4): f()
#1 {main}
  thrown in /sandbox/main.php on line 3
"""
PHP_SYNTAX = 'PHP Parse error:  syntax error, unexpected token "}" in /sandbox/main.php on line 4\n'
LUA = """lua: /sandbox/main.lua:3: attempt to index a nil value (local 'x')
stack traceback:
\t/sandbox/main.lua:3: in local 'f'
\t/sandbox/main.lua:5: in main chunk
\t[C]: in ?
"""
LUA_SYNTAX = "lua5.4: /sandbox/main.lua:3: '=' expected near 'x'\n"
TSC = "main.ts(3,5): error TS2304: Cannot find name 'foo'.\n"
SQLITE = "Parse error near line 2: no such table: nope\n"
R = "Error in f(0) : object 'y' not found\nCalls: f\nExecution halted\n"
R_SYNTAX = "Error: unexpected ')' in:\n\"x; f(1)\ny <- f(2))\"\nExecution halted\n"


@pytest.mark.parametrize(
    ("language", "stderr", "category", "error_type", "location", "says"),
    [
        ("c", GCC, Category.COMPILE_ERROR, "error", Location("main.c", 3, 11), "declared nowhere"),
        ("rust", RUSTC, Category.COMPILE_ERROR, "E0425", Location("main.rs", 3, 20), "nowhere"),
        ("rust", RUST_PANIC, Category.EXCEPTION, "panic", Location("main.rs", 1, 3), "the array"),
        ("java", JAVAC, Category.COMPILE_ERROR, "error", Location("main.java", 3), "another type"),
        (
            "java",
            JAVA,
            Category.EXCEPTION,
            "java.lang.ArithmeticException",
            Location("main.java", 2),
            "divides by zero",
        ),
        ("perl", PERL, Category.EXCEPTION, "error", Location("main.pl", 2), "did not catch"),
        ("perl", PERL_SYNTAX, Category.SYNTAX_ERROR, "syntax error", Location("main.pl", 3), ""),
        (
            "php",
            PHP,
            Category.EXCEPTION,
            "DivisionByZeroError",
            Location("main.php", 3),
            "divides by zero",
        ),
        ("php", PHP_SYNTAX, Category.SYNTAX_ERROR, "Parse error", Location("main.php", 4), ""),
        ("lua", LUA, Category.EXCEPTION, "error", Location("main.lua", 3), "not there"),
        ("lua", LUA_SYNTAX, Category.SYNTAX_ERROR, "syntax error", Location("main.lua", 3), ""),
        ("typescript", TSC, Category.COMPILE_ERROR, "TS2304", Location("main.ts", 3, 5), "nowhere"),
        ("sql", SQLITE, Category.EXCEPTION, "Parse error", Location("main.sql", 2), "`nope`"),
        ("r", R, Category.EXCEPTION, "error", None, "did not catch"),
        ("r", R_SYNTAX, Category.SYNTAX_ERROR, "syntax error", None, ""),
    ],
)
def test_an_error_is_read_by_its_form(
    language: str,
    stderr: str,
    category: Category,
    error_type: str,
    location: Location | None,
    says: str,
) -> None:
    told = failed(language, CODE, stderr)
    assert (told.category, told.error_type, told.location) == (category, error_type, location)
    assert says in told.explanation
    assert told.suggestions


def test_further_errors_of_a_compiler_are_named() -> None:
    assert "1 more: line 4: expected" in failed("c", CODE, GCC).explanation


@pytest.mark.parametrize(("language", "stderr"), [("java", JAVA), ("lua", LUA)])
def test_a_trace_is_turned_round(language: str, stderr: str) -> None:
    lines = [each.line for each in failed(language, CODE, stderr).frames]
    assert lines in ([4, 2], [5, 3])


@pytest.mark.parametrize(
    ("language", "stderr", "module"),
    [
        ("perl", "Can't locate Foo/Bar.pm in @INC (you may) at /sandbox/main.pl line 1.\n", "Foo"),
        ("lua", "lua: /sandbox/main.lua:1: module 'socket' not found:\n", "socket"),
        ("r", "Error in library(dplyr) : there is no package called 'dplyr'\n", "dplyr"),
        ("java", "main.java:1: error: package org.x does not exist\n", "org"),
        ("typescript", "main.ts(1,8): error TS2307: Cannot find module 'axios' or its\n", "axios"),
    ],
)
def test_a_module_that_is_not_there_is_an_import_error(
    language: str, stderr: str, module: str
) -> None:
    told = failed(language, CODE, stderr)
    assert told.category is Category.IMPORT_ERROR
    assert f"no module `{module}`" in told.explanation


def test_errors_on_stdout_are_read_where_stderr_has_none() -> None:
    told = failed("php", CODE, "", stdout=PHP.removeprefix("PHP "), exit_code=255)
    assert told.location == Location("main.php", 3)


def test_an_error_while_compiling_is_an_error_of_the_compiler_in_whatever_form() -> None:
    told = failed("odd", CODE, "/sandbox/main.odd:2:3: what is this\n", phase="compile")
    assert (told.category, told.location) == (Category.COMPILE_ERROR, Location("main.odd", 2, 3))
