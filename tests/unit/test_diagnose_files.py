"""Errors in programs of several files, in the words of compilers and interpreters."""

from __future__ import annotations

import pytest

from sandboxd_client.protocol import Category, Location
from tests.unit.test_diagnose import failed

COMPILE, IMPORT = Category.COMPILE_ERROR, Category.IMPORT_ERROR


@pytest.mark.parametrize(
    ("language", "stderr", "place"),
    [
        ("c", "/sandbox/util.c:3:5: error: 'x' undeclared\n", Location("util.c", 3, 5)),
        ("c", "src/util.c:3:5: error: 'x' undeclared\n", Location("src/util.c", 3, 5)),
        ("cpp", "/sandbox/util.hpp:3:5: error: no\n", Location("util.hpp", 3, 5)),
        ("c", "/sandbox/util.c:3: error: undefined reference to 'f'\n", Location("util.c", 3)),
        ("rust", "error[E0425]: no\n --> /sandbox/util.rs:2:3\n", Location("util.rs", 2, 3)),
        ("perl", "no at H.pm line 2.\n", Location("H.pm", 2)),
        ("lua", "lua5.4: ./h.lua:2: no\n", Location("h.lua", 2)),
        ("typescript", "/sandbox/h.ts:1:9 - error TS2322: no\n", Location("h.ts", 1, 9)),
        ("php", "Fatal error: no in /sandbox/h.php on line 2\n", Location("h.php", 2)),
        ("go", "/sandbox/util/util.go:4:2: undefined: x\n", Location("util/util.go", 4, 2)),
        (
            "go",
            "panic: no\n\ngoroutine 1 [running]:\nmain.f()\n\t/sandbox/f.go:3 +0x1\n",
            Location("f.go", 3),
        ),
    ],
)
def test_the_place_is_in_the_file_that_is_named(
    language: str, stderr: str, place: Location
) -> None:
    assert failed(language, "x\n", stderr).location == place


def test_an_error_within_a_library_is_placed_in_no_file() -> None:
    stderr = "/usr/include/c++/12/bits/x.h:3:5: error: no\nmain.cpp:2:1: error: no\n"
    assert failed("cpp", "x\ny\n", stderr).location == Location("main.cpp", 2, 1)


@pytest.mark.parametrize(
    ("language", "stderr", "says", "suggests"),
    [
        (
            "c",
            "ld: /tmp/x.o: in function `main':\nmain.c:(.text+0xe): undefined reference to `add'\n",
            "`add` is declared and used",
            "along in `files`",
        ),
        ("c", "x: undefined reference to 'main'\n", "no function `main`", "int main"),
        (
            "c",
            "ld: /tmp/b.o:(.data): multiple definition of `x'; /tmp/a.o:(.data): first defined\n",
            "`x` is defined more than once",
            "`extern`",
        ),
        ("go", "/sandbox/b.go:2:6: f redeclared in this block\n", "declared twice", "rename"),
        (
            "go",
            "found packages main (main.go) and other (b.go) in /sandbox\n",
            "main (main.go) and other (b.go)",
            "folder of its own",
        ),
        ("go", "package me/a\n\timports me/b: import cycle not allowed\n", "circle", "third"),
        ("go", "go: go.mod requires go >= 1.99 (running go 1.21)\n", "1.99", "go.mod"),
        ("go", "main.go:3:12: pattern a.txt: no matching files found\n", "`a.txt`", "`files`"),
        (
            "rust",
            "error[E0583]: file not found for module `u`\n --> main.rs:1:1\n",
            "module `u`",
            "`u.rs`",
        ),
    ],
)
def test_files_that_do_not_fit_together_are_explained(
    language: str, stderr: str, says: str, suggests: str
) -> None:
    told = failed(language, "x\n", stderr, phase="compile")
    assert told.category is COMPILE
    assert says in told.explanation
    assert any(suggests in each for each in told.suggestions), told.suggestions


@pytest.mark.parametrize(
    "stderr",
    [
        "/sandbox/main.go:2:8: could not import me/util (open : no such file or directory)\n",
        "main.go:2:8: package me/util is not in std (/usr/lib/go-1.21/src/me/util)\n",
        "main.go:2:8: no required module provides package me/util; to add it:\n\tgo get me/util\n",
        "main.go:2:8: no required module provides package me/util: go.mod file not found\n",
    ],
)
def test_a_package_of_ones_own_may_be_meant(stderr: str) -> None:
    told = failed("go", "package main\n", stderr, phase="compile")
    assert told.category is IMPORT
    assert "go.mod" in told.suggestions[-1]
    assert "`me/util` is a package of your own" in told.suggestions[-1]


def test_of_several_errors_of_a_linker_the_others_are_listed() -> None:
    lines = "".join(f"main.c:(.text): undefined reference to `{name}'\n" for name in "fgh")
    told = failed("c", "x\n", lines, phase="compile")
    assert told.message == "undefined reference to `f'"
    assert "2 more: undefined reference to `g'; undefined reference to `h'" in told.explanation
