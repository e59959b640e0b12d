"""What Go's compiler, linker and runtime report."""

from __future__ import annotations

import pytest

from sandboxd_client.protocol import Category, DebugReport, Location
from tests.unit.test_diagnose import failed, marked

CODE = 'package main\n\nfunc main() {\n\ttotal := "é" + x\n\tuse(total)\n}\n'


def compiled(*errors: str) -> DebugReport:
    stderr = "".join(f"/sandbox/main.go:{each}\n" for each in errors)
    return failed("go", CODE, stderr, phase="compile")


def panicked(first: str, *more: str) -> DebugReport:
    stderr = "\n".join(
        [first, *more, "", "goroutine 1 [running]:", "main.main()", "\t/sandbox/main.go:5 +0x25"]
    )
    return failed("go", CODE, stderr + "\n", exit_code=2)


def test_columns_count_characters_though_the_compiler_counts_bytes() -> None:
    told = compiled("4:18: undefined: x")
    assert told.location == Location("main.go", 4, 17)
    assert (told.category, told.error_type) == (Category.COMPILE_ERROR, "compile error")
    shown, caret = told.snippet.splitlines()[2:4]
    assert caret.index("^") == shown.index("x")


def test_of_several_errors_the_first_is_told_and_the_others_are_named() -> None:
    told = compiled(
        "4:2: total declared and not used", "5:2: undefined: use", "5:2: too many errors"
    )
    assert told.message == "total declared and not used"
    assert "1 more: line 5: undefined: use." in told.explanation


@pytest.mark.parametrize(
    ("error", "category", "says", "suggests"),
    [
        ("undefined: totl", Category.COMPILE_ERROR, "`totl`", "Did you mean `total`?"),
        ("undefined: fmt", Category.COMPILE_ERROR, "not imported", 'import "fmt"'),
        ("undefined: strings.Foo", Category.COMPILE_ERROR, "`strings`", "capital"),
        ('"os" imported and not used', Category.COMPILE_ERROR, "`os`", "Remove the import"),
        ("x declared and not used", Category.COMPILE_ERROR, "`x`", "_ = x"),
        ("declared and not used: x", Category.COMPILE_ERROR, "`x`", "_ = x"),
        (
            'invalid operation: 1 + "a" (mismatched types int and string)',
            Category.COMPILE_ERROR,
            "int and string",
            "Convert",
        ),
        (
            'cannot use "a" (untyped string constant) as int value in variable declaration',
            Category.COMPILE_ERROR,
            "where int is needed",
            "Convert",
        ),
        (
            (
                "cannot use T{} (value of type T) as I value in variable declaration: T does not "
                "implement I (missing method F)"
            ),
            Category.COMPILE_ERROR,
            "no method `F`",
            "Add the method",
        ),
        ("not enough arguments in call to f", Category.COMPILE_ERROR, "`f`", "definition"),
        (
            "assignment mismatch: 1 variable but f returns 2 values",
            Category.COMPILE_ERROR,
            "f returns 2 values",
            "value, err",
        ),
        ("missing return", Category.COMPILE_ERROR, "without a return", "Add a return"),
        (
            "T{}.Bar undefined (type T has no field or method Bar)",
            Category.COMPILE_ERROR,
            "`Bar`",
            "case count",
        ),
        (
            "syntax error: unexpected semicolon or newline before {",
            Category.SYNTAX_ERROR,
            "line of its own",
            "`{`",
        ),
        (
            "syntax error: package statement must be first",
            Category.SYNTAX_ERROR,
            "begins with its package",
            "package main",
        ),
        ("syntax error: unexpected EOF, expected }", Category.SYNTAX_ERROR, "closed", "`}`"),
        ("syntax error: unexpected }", Category.SYNTAX_ERROR, "not valid Go", "line 4"),
        ("something new", Category.COMPILE_ERROR, "did not compile", "line 4"),
        (
            "could not import fmtt (open : no such file or directory)",
            Category.IMPORT_ERROR,
            "no module `fmtt`",
            "`fmt`?",
        ),
        (
            "could not import github.com/a/b (open : no such file or directory)",
            Category.IMPORT_ERROR,
            "no module `github.com/a/b`",
            "standard library",
        ),
    ],
)
def test_an_error_of_the_compiler_is_explained(
    error: str, category: Category, says: str, suggests: str
) -> None:
    told = compiled(f"4:2: {error}")
    assert told.category is category
    assert says in told.explanation
    assert any(suggests in each for each in told.suggestions), told.suggestions
    assert marked(told) == 'total := "é" + x'


@pytest.mark.parametrize(
    ("stderr", "says"),
    [
        ("/usr/lib/go-1.21/pkg/tool/linux_amd64/link: /tmp/main.a: not package main", "`main`"),
        (
            "runtime.main_main·f: function main is undeclared in the main package",
            "no function `main`",
        ),
    ],
)
def test_an_error_of_the_linker_is_placed_on_the_package(stderr: str, says: str) -> None:
    told = failed("go", "// a program\npackage main\n", stderr + "\n", phase="compile")
    assert (told.category, told.error_type) == (Category.COMPILE_ERROR, "link error")
    assert told.location == Location("main.go", 2)
    assert says in told.explanation


def test_a_panic_is_placed_and_its_levels_turned_round() -> None:
    told = failed(
        "go",
        "package main\n\nfunc (t *T) set() {\n\tt.m[1] = 1\n}\n\nfunc main() {\n\tt.set()\n}\n",
        "panic: assignment to entry in nil map\n\ngoroutine 1 [running]:\n"
        "main.(*T).set(0xc000012345, {0x1?, 0x2?})\n\t/sandbox/main.go:4 +0x1d\n"
        "main.main()\n\t/sandbox/main.go:8 +0x29\n"
        "runtime.main()\n\truntime/proc.go:267 +0x2bb\n"
        "\ngoroutine 2 [force gc (idle)]:\nruntime.gopark()\n\truntime/proc.go:398 +0xce\n",
        exit_code=2,
    )
    assert (told.category, told.error_type) == (Category.EXCEPTION, "panic")
    assert told.location == Location("main.go", 4)
    assert [(each.line, each.function, each.source) for each in told.frames] == [
        (8, "main.main", "t.set()"),
        (4, "main.(*T).set", "t.m[1] = 1"),
    ]


def test_a_goroutine_says_where_it_was_started() -> None:
    told = failed(
        "go",
        CODE,
        "panic: boom\n\ngoroutine 5 [running]:\nmain.work()\n\t/sandbox/main.go:4 +0x25\n"
        "created by main.main in goroutine 1\n\t/sandbox/main.go:5 +0x1a\n",
        exit_code=2,
    )
    assert [each.function for each in told.frames] == ["main.main", "main.work"]


def test_of_panics_in_panics_the_last_one_ended_the_program() -> None:
    told = panicked("panic: first [recovered]", "\tpanic: again: first")
    assert told.message == "again: first"


@pytest.mark.parametrize(
    ("first", "error_type", "says"),
    [
        (
            "panic: runtime error: index out of range [5] with length 1",
            "runtime error",
            "index 5",
        ),
        ("panic: runtime error: slice bounds out of range [:5]", "runtime error", "past its end"),
        (
            "panic: runtime error: invalid memory address or nil pointer dereference",
            "runtime error",
            "nil pointer",
        ),
        ("panic: runtime error: integer divide by zero", "runtime error", "by zero"),
        ("panic: assignment to entry in nil map", "panic", "never made"),
        (
            "panic: interface conversion: interface {} is int, not string",
            "panic",
            "int, not string",
        ),
        ("panic: send on closed channel", "panic", "send on closed"),
        ('panic: exec: "git": executable file not found in $PATH', "panic", "command `git`"),
        ("panic: open data.txt: no such file or directory", "panic", "`data.txt`"),
        ("panic: EOF", "panic", "input"),
        ('panic: strconv.Atoi: parsing "x": invalid syntax', "panic", 'Atoi was given "x"'),
        ("fatal error: all goroutines are asleep - deadlock!", "fatal error", "waits"),
        ("fatal error: concurrent map writes", "fatal error", "one map"),
        ("panic: boom", "panic", "panicked"),
    ],
)
def test_a_panic_is_explained(first: str, error_type: str, says: str) -> None:
    told = panicked(first, "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0]")
    assert (told.category, told.error_type) == (Category.EXCEPTION, error_type)
    assert says in told.explanation
    assert told.suggestions
    assert marked(told) == "use(total)"


def test_threads_that_cannot_be_started_are_a_restriction() -> None:
    told = failed(
        "go",
        CODE,
        "runtime: failed to create new OS thread (have 102 already; errno=11)\n"
        "fatal error: newosproc\n\nruntime stack:\nruntime.throw()\n\truntime/panic.go:1 +0x5c\n",
        exit_code=2,
        pids_limit=100,
    )
    assert told.category is Category.SANDBOX_RESTRICTION
    assert "which is 100" in told.explanation


def test_a_signal_that_the_runtime_reports_is_a_signal() -> None:
    told = failed(
        "go",
        CODE,
        "SIGSEGV: segmentation violation\nPC=0x1 m=0\n\ngoroutine 1 [running]:\n"
        "main.main()\n\t/sandbox/main.go:5 +0x46\n",
        exit_code=2,
    )
    assert (told.category, told.error_type) == (Category.SIGNAL, "SIGSEGV")
    assert told.location == Location("main.go", 5)


def test_a_name_that_cannot_be_looked_up_is_a_restriction_without_any_trace() -> None:
    told = failed(
        "go",
        CODE,
        '2026/01/02 03:04:05 Get "http://example.com": dial tcp: lookup example.com on [::1]:53: '
        "read udp [::1]:40971->[::1]:53: read: connection refused\n",
    )
    assert told.category is Category.SANDBOX_RESTRICTION
