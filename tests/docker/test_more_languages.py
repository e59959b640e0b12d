"""What is particular to a language whose image is made on demand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxd_client import Base64, Client, Limits
from tests.support.daemon import RunningDaemon
from tests.support.programs import MORE, text

pytestmark = pytest.mark.timeout(900)  # images that are missing are made first


BROKEN = {
    "typescript": ("\n\nconst x: number = 'a';", "/sandbox/main.ts:3:7 - error TS2322"),
    "java": ("class Main {\n\n  int x = nosuch;\n}", "/sandbox/main.java:3: error: cannot find"),
    "c": (
        "int main(void) {\n\n    nosuch;\n}",
        "/sandbox/main.c:3:5: error: \u2018nosuch\u2019 undeclared",
    ),
    "cpp": (
        "int main() {\n\n    nosuch;\n}",
        "/sandbox/main.cpp:3:5: error: \u2018nosuch\u2019 was",
    ),
    "rust": ("fn main() {\n\n    nosuch;\n}", "--> /sandbox/main.rs:3:5"),
}
"""For compiled languages, a program that does not compile and the compiler's words."""

each_compiled = pytest.mark.parametrize("language", BROKEN)


@pytest.fixture
def client(more_languages: RunningDaemon) -> Iterator[Client]:
    with more_languages.client() as connected:
        yield connected


def test_languages_tell_what_their_images_have(client: Client) -> None:
    versions = {each.name: each.version for each in client.languages()}
    for language, version in {
        "perl": "perl v5.",
        "php": "PHP 8.",
        "lua": "Lua 5.4",
        "r": "R version 4.",
        "sqlite": "SQLite 3.",
        "typescript": "TypeScript Version 4.",
        "java": "openjdk 17.",
        "c": "gcc 12.",
        "cpp": "g++ 12.",
        "rust": "rustc 1.",
    }.items():
        assert versions[language].startswith(version)


# --- compilers ---


@each_compiled
def test_a_program_that_does_not_compile_fails_in_that_phase(client: Client, language: str) -> None:
    code, words = BROKEN[language]
    result = client.run(language, code)
    assert (result.status, result.exit_code) == ("error", 1)
    assert result.error is not None
    assert result.error.phase == "compile"
    assert words in text(result)
    assert "/sandboxd" not in text(result)


@each_compiled
def test_a_program_that_fails_does_not_fail_in_the_compile_phase(
    client: Client, language: str
) -> None:
    assert client.run(language, MORE[language].fails).error is None


def test_a_compiler_that_takes_for_ever_is_ended_by_the_runs_limits(client: Client) -> None:
    endless = (
        "template <int N, unsigned long M> struct T {\n"
        "    static constexpr long v = T<N - 1, 2 * M>::v + T<N - 1, 2 * M + 1>::v;\n};\n"
        "template <unsigned long M> struct T<0, M> { static constexpr long v = M; };\n"
        "int main() { return T<60, 1>::v; }"
    )
    result = client.run("cpp", endless, limits=Limits(timeout=1.5))
    assert result.status in ("timeout", "oom")
    assert client.run("cpp", MORE["cpp"].hello).stdout == "hello\n"


def test_a_compiler_that_takes_all_memory_is_ended_by_the_runs_limits(client: Client) -> None:
    result = client.run("c", '#include "/dev/zero"\nint main(void) {}')
    assert (result.status, result.exit_code) == ("oom", 137)
    assert client.run("c", MORE["c"].hello).stdout == "hello\n"


# --- what is particular to one ---


def test_perl_sees_its_own_name_and_data(client: Client) -> None:
    code = "print $0 eq __FILE__ ? 'same' : 'other', ' ', scalar(@INC), <DATA>;\n__END__\n!\n"
    plain = client.run("bash", "perl -e 'print scalar(@INC)'")
    assert isinstance(plain.stdout, str)
    result = client.run("perl", code)
    assert result.stdout == f"same {plain.stdout}!\n"


def test_php_has_no_variables_but_its_own(client: Client) -> None:
    code = "<?php echo get_included_files()[0], ' ', implode(',', array_keys(get_defined_vars()));"
    result = client.run("php", code)
    assert isinstance(result.stdout, str)
    file, variables = result.stdout.split()
    assert file == "/sandbox/main.php"
    assert set(variables.split(",")) == {
        *("_GET", "_POST", "_COOKIE", "_FILES", "_SERVER"),
        *("argv", "argc"),
    }


def test_r_runs_at_top_level_and_prints_what_is_visible(client: Client) -> None:
    code = (
        'if (sys.nframe() == 0) cat("top\\n")\nx <- 2\nx\ninvisible(3)\nls(all.names = TRUE)\n'
        'warning("careful")'
    )
    result = client.run("r", code)
    assert (result.stdout, result.stderr) == (
        'top\n[1] 2\n[1] "x"\n',
        "Warning message:\ncareful \n",
    )


def test_r_runs_what_stands_before_an_error_of_syntax_and_says_what_it_is(client: Client) -> None:
    result = client.run("r", "x <- 1\nx\nif x\n")
    assert (result.stdout, result.exit_code) == ("[1] 1\n", 1)
    assert result.stderr == 'Error: unexpected symbol in "if x"\nExecution halted\n'


def test_sqlite_binds_arguments_and_uses_a_database_that_is_laid(client: Client) -> None:
    made = client.run(
        "sqlite",
        "CREATE TABLE t(a, b);\nINSERT INTO t VALUES (1, 'x'), (2, 'it''s');",
        outputs=["database.db"],
    )
    assert [file.path for file in made.files] == ["database.db"]
    result = client.run(
        "sqlite",
        "SELECT * FROM t WHERE b = ?1;",
        args=["it's"],
        files={"database.db": made.files[0].data},
    )
    assert (result.stdout, result.stderr) == ("2|it's\n", "")


def test_typescript_awaits_at_top_level(client: Client) -> None:
    code = 'import os from "os";\nconsole.log(await Promise.resolve(os.EOL));\nthrow new Error();'
    result = client.run("typescript", code)
    assert result.stdout == "\n\n"
    assert "/sandbox/main.ts:3:7" in text(result)


def test_typescript_imports_what_lies_beside_it_and_has_its_types(client: Client) -> None:
    files: dict[str, str | Base64] = {
        "words.ts": "export const word: string = 'beside';\nthrow new Error(word);"
    }
    result = client.run("typescript", 'import { word } from "./words";\nword;', files=files)
    assert "/sandbox/words.ts:2:7" in text(result)
    wrong = client.run("typescript", 'import { w } from "./words";\nw;', files=files)
    assert "/sandbox/main.ts:1:10 - error TS2305" in text(wrong)


def test_java_finds_classes_and_files_beside_the_program(client: Client) -> None:
    code = (
        "package words; import other.Word; public class Any {"
        " public static void main(String[] args) throws Exception {"
        ' System.out.println(Word.get() + new String(Any.class.getResourceAsStream("/data.txt")'
        ".readAllBytes())); } }"
    )
    files: dict[str, str | Base64] = {
        "other/Word.java": "package other; public class Word { public static String get() {"
        ' return "beside "; } }',
        "data.txt": "data",
    }
    result = client.run("java", code, files=files)
    assert (result.stdout, result.stderr) == ("beside data\n", "")


def test_java_ends_as_java_does(client: Client) -> None:
    """Other threads go on, hooks run, and no trace shows what called the program."""
    code = """
class Main {
    static void f(int depth) { if (depth > 0) f(depth - 1); else throw new Error("no"); }
    public static void main(String[] args) throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        Thread main = Thread.currentThread();
        new Thread(() -> {
            try { main.join(); } catch (InterruptedException error) { }
            System.out.println("thread");
        }).start();
        try { f(1); } catch (Error error) { error.printStackTrace(); }
        java.util.List<byte[]> all = new java.util.ArrayList<>();
        while (true) all.add(new byte[1 << 20]);
    }
}"""
    result = client.run("java", code)
    assert (result.exit_code, result.stdout) == (1, "thread\nhook\n")
    assert result.stderr == (
        "java.lang.Error: no\n"
        "\tat Main.f(main.java:3)\n\tat Main.f(main.java:3)\n\tat Main.main(main.java:11)\n"
        'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n'
        "\tat Main.main(main.java:13)\n"
    )


def test_c_includes_what_lies_beside_it(client: Client) -> None:
    code = '#include <math.h>\n#include "words.h"\nint main(void) { return sqrt(SQUARE); }'
    assert client.run("c", code, files={"words.h": "#define SQUARE 25.0"}).exit_code == 5


def test_rust_checks_its_arithmetic(client: Client) -> None:
    code = (
        "fn main() {\n    let many = std::env::args().count() as u8;\n"
        '    println!("{}", many - 2);\n}'
    )
    result = client.run("rust", code)
    assert result.exit_code == 101
    assert "attempt to subtract with overflow', /sandbox/main.rs:3:20" in text(result)
