"""A program of several files is built of all of them, and leaves nothing of ours beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import Struct

from sandboxd_client import Base64, Client
from tests.support.daemon import RunningDaemon

pytestmark = pytest.mark.timeout(900)  # images that are missing are made first

Files = dict[str, str | Base64]

GO_ADD = "package main\n\nfunc add(a, b int) int { return a + b }\n"
GO_MAIN = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(add(1, 2)) }\n'
GO_MODULE = "module example.com/app\n\ngo 1.21\n"
GO_EMBEDS = """package main

import (
	_ "embed"
	"fmt"
)

//go:embed words.txt
var words string

func main() { fmt.Print(words) }
"""
C_MAIN = '#include <stdio.h>\n#include "util.h"\nint main(void) { printf("%d\\n", add(1, 2)); }\n'
C_HEADER = '#ifdef __cplusplus\nextern "C"\n#endif\nint add(int a, int b);\n'
C_ADD = '#include "util.h"\nint add(int a, int b) { return a + b; }\n'
CPP_MAIN = (
    '#include <iostream>\n#include "util.h"\nint main() { std::cout << add(1, 2) << "\\n"; }\n'
)
JAVA_MAIN = (
    "class Main { public static void main(String[] args) {"
    " System.out.println(Util.add(1, 2) + util.End.END); } }\n"
)


class Case(Struct):
    language: str
    code: str
    files: Files
    stdout: str = "3\n"


CASES = {
    "go: files of package main": Case("go", GO_MAIN, {"util.go": GO_ADD}),
    "go: packages of a module": Case(
        "go",
        'package main\n\nimport (\n\t"fmt"\n\n\t"example.com/app/util"\n)\n\n'
        "func main() { fmt.Println(util.Add(1, 2)) }\n",
        {
            "go.mod": GO_MODULE,
            "util/util.go": "package util\n\nfunc Add(a, b int) int { return a + b }\n",
        },
    ),
    "go: a file that is embedded": Case("go", GO_EMBEDS, {"words.txt": "words\n"}, "words\n"),
    "go: files that are not built": Case(
        "go",
        GO_MAIN,
        {
            "util.go": GO_ADD,
            "util_test.go": "package main\n\nfunc TestAdd() { nosuch }\n",
            "util_windows.go": "package main\n\nfunc add(a, b int) int { return 0 }\n",
            "other.go": "//go:build ignore\n\npackage main\n\nfunc main() {}\n",
        },
    ),
    "c: a source beside": Case("c", C_MAIN, {"util.h": C_HEADER, "util.c": C_ADD}),
    "c: sources in folders": Case(
        "c", C_MAIN, {"include/util.h": C_HEADER, "src/a b/util.c": C_ADD}
    ),
    "c: a source that is included": Case(
        "c",
        C_MAIN.replace("util.h", "src/util.c"),
        {"src/util.h": C_HEADER, "src/util.c": C_ADD},
    ),
    "c: a source in C++": Case(
        "c", C_MAIN, {"util.h": C_HEADER, "util.cpp": f"#include <vector>\n{C_ADD}"}
    ),
    "cpp: a source beside": Case("cpp", CPP_MAIN, {"util.h": C_HEADER, "src/util.cc": C_ADD}),
    "cpp: a source in C": Case(
        "cpp",
        CPP_MAIN,
        {
            "util.h": C_HEADER,
            "util.c": C_ADD.replace("return a", "int class = a; return class"),
            "other.cpp": "int other() { return 0; }\n",
        },
    ),
    "java: classes, packages and resources": Case(
        "java",
        JAVA_MAIN,
        {
            "helpers.java": "class Util { static int add(int a, int b) { return a + b; } }\n"
            "class Other { public static void main(String[] args) {} }\n",
            "util/End.java": "package util;\n\npublic class End { public static String END ="
            ' new java.util.Scanner(End.class.getResourceAsStream("/end.txt")).next(); }\n',
            "end.txt": ".",
        },
        "3.\n",
    ),
    "java: a source that is not used": Case(
        "java",
        JAVA_MAIN.replace("util.End.END", '""'),
        {
            "Util.java": "class Util { static int add(int a, int b) { return a + b; } }\n",
            "UtilTest.java": "import org.junit.Test;\n\nclass UtilTest {}\n",
        },
    ),
    "rust: modules": Case(
        "rust",
        "mod util;\nmod deep;\n"
        'fn main() { println!("{}{}", util::add(1, deep::two::TWO), include_str!("end.txt")); }\n',
        {
            "util.rs": "pub fn add(a: i32, b: i32) -> i32 { a + b }\n",
            "deep/mod.rs": "pub mod two;\n",
            "deep/two.rs": "pub const TWO: i32 = 2;\n",
            "end.txt": ".",
        },
        "3.\n",
    ),
}


@pytest.fixture
def client(more_languages: RunningDaemon) -> Iterator[Client]:
    with more_languages.client() as connected:
        yield connected


@pytest.mark.parametrize("name", CASES)
def test_all_files_of_a_program_are_built(client: Client, name: str) -> None:
    case = CASES[name]
    result = client.run(case.language, case.code, files=case.files, outputs=["**"])
    assert (result.stdout, result.stderr) == (case.stdout, "")
    assert {file.path for file in result.files} == set(case.files)


@pytest.mark.parametrize(
    ("language", "code", "files", "words"),
    [
        ("go", GO_MAIN, {"util.go": GO_ADD.replace("a +", "c +")}, "./util.go:3:33: undefined: c"),
        ("go", GO_EMBEDS, {"other.txt": ""}, "pattern words.txt: no matching files found"),
        ("c", C_MAIN, {"util.h": C_HEADER}, "undefined reference to `add'"),
        (
            "cpp",
            CPP_MAIN,
            {"util.h": C_HEADER, "src/util.cpp": C_ADD.replace("a +", "c +")},
            "/sandbox/src/util.cpp:2:32: error: \u2018c\u2019 was not declared",
        ),
        (
            "java",
            JAVA_MAIN,
            {"util/End.java": "package util;\n\nclass End { int x = nosuch; }"},
            "/sandbox/util/End.java:3: error: cannot find symbol",
        ),
        ("rust", "mod util;\nfn main() {}", {"util.rs": "nosuch"}, "--> /sandbox/util.rs:1:1"),
    ],
)
def test_an_error_in_another_file_names_that(
    client: Client, language: str, code: str, files: Files, words: str
) -> None:
    result = client.run(language, code, files=files, outputs=["**"])
    assert result.error is not None
    assert result.error.phase == "compile"
    assert isinstance(result.stderr, str)
    assert words in result.stderr
    assert {file.path for file in result.files} == set(files)
