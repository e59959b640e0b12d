"""The languages whose images are made on demand run programs as the standard ones do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from sandboxd_client import Base64, Client, Limits, Output, RunResult
from tests.support.daemon import RunningDaemon

pytestmark = pytest.mark.timeout(900)  # the first test makes the images that are missing


class Programs(NamedTuple):
    """The same small programs in one language."""

    hello: str
    arguments: str
    """Prints its arguments, a line each."""
    environment: str
    """Prints the variable GREETING."""
    stdin: str
    """Prints all of stdin."""
    fails: str
    """Exits with 7 after writing to both streams."""
    crashes: str
    """Fails on line 3 in a way that the language reports."""
    place: str
    """How the language names that line."""
    converses: str
    """Prints "one", waits for a line of stdin, prints "two"."""


PROGRAMS = {
    "perl": Programs(
        hello='print "hello\\n";',
        arguments='print "$_\\n" for @ARGV;',
        environment='print "$ENV{GREETING}\\n";',
        stdin="print while <STDIN>;",
        fails='print "out\\n"; print STDERR "err\\n"; exit 7;',
        crashes="sub f {\n    my $x = shift;\n    die 'no';\n}\nf(1);",
        place="/sandbox/main.pl line 3.",
        converses='$| = 1; print "one\\n"; <STDIN>; print "two\\n";',
    ),
    "php": Programs(
        hello='<?php echo "hello\\n";',
        arguments='<?php foreach (array_slice($argv, 1) as $each) echo $each, "\\n";',
        environment='<?php echo getenv("GREETING"), "\\n";',
        stdin="<?php fpassthru(STDIN);",
        fails='<?php echo "out\\n"; fwrite(STDERR, "err\\n"); exit(7);',
        crashes='<?php\nfunction f() {\n    throw new Exception("no");\n}\nf();',
        place="/sandbox/main.php:3",
        converses='<?php echo "one\\n"; fgets(STDIN); echo "two\\n";',
    ),
    "lua": Programs(
        hello='print("hello")',
        arguments="for _, each in ipairs(arg) do print(each) end",
        environment='print(os.getenv("GREETING"))',
        stdin='io.write(io.read("a"))',
        fails='print("out") io.stderr:write("err\\n") os.exit(7)',
        crashes="local function f(x)\n    local y = x\n    return y.z\nend\nf()",
        place="lua: /sandbox/main.lua:3:",
        converses='io.stdout:setvbuf("no") print("one") io.read() print("two")',
    ),
    "r": Programs(
        hello='cat("hello\\n")',
        arguments='cat(paste0(commandArgs(trailingOnly = TRUE), "\\n"), sep = "")',
        environment='cat(Sys.getenv("GREETING"), "\\n", sep = "")',
        stdin='writeLines(readLines(file("stdin")))',
        fails='cat("out\\n"); message("err"); quit(status = 7)',
        crashes='f <- function(x) {\n    y <- x\n    y + "a"\n}\nf(1)',
        place="/sandbox/main.R#3",
        converses='cat("one\\n"); invisible(readLines(file("stdin"), n = 1)); cat("two\\n")',
    ),
    "sqlite": Programs(
        hello=".print hello",
        arguments=(
            ".headers off\nSELECT value FROM temp.sqlite_parameters "
            "ORDER BY CAST(substr(key, 2) AS INTEGER);"
        ),
        environment=".shell printenv GREETING",
        stdin=(
            ".headers off\nCREATE TABLE lines(line);\n.import /dev/stdin lines\n"
            "SELECT line FROM lines;"
        ),
        fails=".print out\n.shell echo err >&2\n.exit 7",
        crashes="SELECT 1;\n\nSELECT nosuch;",
        place="near line 3: no such column: nosuch",
        converses=".print one\n.shell read -r line\n.print two",
    ),
    "typescript": Programs(
        hello='const word: string = "hello"; console.log(word);',
        arguments='console.log(process.argv.slice(2).join("\\n"));',
        environment="console.log(process.env.GREETING);",
        stdin="process.stdin.pipe(process.stdout);",
        fails='console.log("out"); console.error("err"); process.exitCode = 7;',
        crashes=(
            "interface Box { word?: string }\nfunction f(box: Box): number {\n"
            "  return (box.word as string).length;\n}\nf({});"
        ),
        place="/sandbox/main.ts:3",
        converses=(
            'console.log("one"); process.stdin.once("data", () => {'
            ' console.log("two"); process.exit(); });'
        ),
    ),
    "java": Programs(
        hello=(
            "public class Hello { public static void main(String[] args) {"
            ' System.out.println("hello"); } }'
        ),
        arguments=(
            "class Main { public static void main(String... args) {"
            " for (String each : args) System.out.println(each); } }"
        ),
        environment=(
            "class Main { public static void main(String[] args) {"
            ' System.out.println(System.getenv("GREETING")); } }'
        ),
        stdin=(
            "class Main { public static void main(String[] args) throws java.io.IOException {"
            " System.in.transferTo(System.out); } }"
        ),
        fails=(
            "class Main { public static void main(String[] args) {"
            ' System.out.println("out"); System.err.println("err"); System.exit(7); } }'
        ),
        crashes=(
            "class Main {\n  static int f(int[] x) {\n    return x[1];\n  }\n"
            "  public static void main(String[] args) { f(new int[1]); }\n}"
        ),
        place="at Main.f(main.java:3)",
        converses=(
            "class Main { public static void main(String[] args) throws java.io.IOException {"
            ' System.out.println("one"); System.in.read(); System.out.println("two"); } }'
        ),
    ),
    "c": Programs(
        hello='#include <stdio.h>\nint main(void) { puts("hello"); }',
        arguments=(
            "#include <stdio.h>\nint main(int argc, char **argv) {"
            " for (int i = 1; i < argc; i++) puts(argv[i]); }"
        ),
        environment=(
            '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts(getenv("GREETING")); }'
        ),
        stdin=(
            "#include <stdio.h>\n"
            "int main(void) { for (int c; (c = getchar()) != EOF;) putchar(c); }"
        ),
        fails=(
            '#include <stdio.h>\nint main(void) { puts("out"); fputs("err\\n", stderr); return 7; }'
        ),
        crashes="#include <assert.h>\nint main(void) {\n    assert(1 > 2);\n}",
        place="main: /sandbox/main.c:3: main: Assertion",
        converses=(
            '#include <stdio.h>\nint main(void) { setvbuf(stdout, 0, _IONBF, 0); puts("one");'
            ' getchar(); puts("two"); }'
        ),
    ),
    "cpp": Programs(
        hello='#include <iostream>\nint main() { std::cout << "hello" << std::endl; }',
        arguments=(
            "#include <bits/stdc++.h>\nint main(int argc, char **argv) {"
            " for (std::string each : std::vector<std::string>(argv + 1, argv + argc))"
            ' std::cout << each << "\\n"; }'
        ),
        environment=(
            "#include <cstdlib>\n#include <iostream>\n"
            'int main() { std::cout << std::getenv("GREETING") << "\\n"; }'
        ),
        stdin="#include <iostream>\nint main() { std::cout << std::cin.rdbuf(); }",
        fails=(
            '#include <iostream>\nint main() { std::cout << "out\\n"; std::cerr << "err\\n";'
            " return 7; }"
        ),
        crashes="#include <cassert>\nint main() {\n    assert(1 > 2);\n}",
        place="main: /sandbox/main.cpp:3: int main(): Assertion",
        converses=(
            "#include <iostream>\n#include <string>\n"
            'int main() { std::cout << "one" << std::endl; std::string line;'
            ' std::getline(std::cin, line); std::cout << "two" << std::endl; }'
        ),
    ),
    "rust": Programs(
        hello='fn main() { println!("hello"); }',
        arguments='fn main() { for each in std::env::args().skip(1) { println!("{}", each); } }',
        environment='fn main() { println!("{}", std::env::var("GREETING").unwrap()); }',
        stdin=(
            "use std::io;\nfn main() { io::copy(&mut io::stdin(), &mut io::stdout()).unwrap(); }"
        ),
        fails='fn main() { println!("out"); eprintln!("err"); std::process::exit(7); }',
        crashes='fn main() {\n    let v: Vec<i32> = Vec::new();\n    println!("{}", v[3]);\n}',
        place="/sandbox/main.rs:3:",
        converses=(
            'fn main() { println!("one"); let mut line = String::new();'
            ' std::io::stdin().read_line(&mut line).unwrap(); println!("two"); }'
        ),
    ),
}

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

ALIASES = {
    "pl": "perl",
    "rscript": "r",
    "sql": "sqlite",
    "ts": "typescript",
    "c++": "cpp",
    "cxx": "cpp",
    "rs": "rust",
}

NASTY = ["", "a b", "it's", '"', "$HOME", "`id`", "\\", "é\n\t", "-c", "--", "*"]

each_language = pytest.mark.parametrize("language", PROGRAMS)
each_compiled = pytest.mark.parametrize("language", BROKEN)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """With the images that are needed here, made one after the other."""
    running = RunningDaemon(tmp_path_factory.mktemp("more"))
    running.config.write_text("[pool]\nmin = 0\n")
    command = [sys.executable, "-m", "sandboxd", "--config", str(running.config)]
    for language in PROGRAMS:
        built = subprocess.run(
            [*command, "images", "build", language], capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr
    with running:
        yield running


@each_language
def test_hello_succeeds_and_nothing_else_is_printed(client: Client, language: str) -> None:
    result = client.run(language, PROGRAMS[language].hello)
    assert (result.stdout, result.stderr) == ("hello\n", "")
    assert (result.status, result.exit_code, result.signal) == ("ok", 0, None)


@each_language
def test_arguments_arrive_as_they_were_given(client: Client, language: str) -> None:
    result = client.run(language, PROGRAMS[language].arguments, args=NASTY)
    assert result.stdout == "".join(argument + "\n" for argument in NASTY)


@each_language
def test_environment_arrives_as_it_was_given(client: Client, language: str) -> None:
    greeting = 'it\'s $HOME `id` "é"'
    result = client.run(language, PROGRAMS[language].environment, env={"GREETING": greeting})
    assert result.stdout == greeting + "\n"


@each_language
def test_stdin_arrives_whole(client: Client, language: str) -> None:
    given = "line é\n" * 100_000
    result = client.run(language, PROGRAMS[language].stdin, stdin=given)
    assert result.stdout == given


@each_language
def test_a_failure_keeps_its_exit_code_and_both_streams(client: Client, language: str) -> None:
    result = client.run(language, PROGRAMS[language].fails)
    assert (result.status, result.exit_code) == ("error", 7)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


@each_language
def test_an_error_names_the_programs_file_and_line_and_nothing_of_the_runner(
    client: Client, language: str
) -> None:
    result = client.run(language, PROGRAMS[language].crashes)
    assert result.exit_code != 0
    words = text(result)
    assert PROGRAMS[language].place in words
    assert "/sandboxd" not in words
    assert "Runner" not in words


@each_language
def test_output_arrives_before_the_program_goes_on(client: Client, language: str) -> None:
    """The second line is printed only once the first has been seen here."""
    with client.stream(language, PROGRAMS[language].converses, stdin=()) as run:
        seen = b""
        for event in run:
            if isinstance(event, Output):
                if not seen:
                    run.send_stdin(b"go on\n")
                seen += event.data
                assert event.stream == "stdout"
    assert seen == b"one\ntwo\n"
    assert run.result.stdout == "one\ntwo\n"


@pytest.mark.parametrize(("alias", "language"), ALIASES.items())
def test_aliases_mean_their_language(client: Client, alias: str, language: str) -> None:
    assert client.run(alias, PROGRAMS[language].hello).language == language


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
    assert client.run(language, PROGRAMS[language].fails).error is None


def test_a_compiler_that_takes_for_ever_is_ended_by_the_runs_limits(client: Client) -> None:
    endless = (
        "template <int N, unsigned long M> struct T {\n"
        "    static constexpr long v = T<N - 1, 2 * M>::v + T<N - 1, 2 * M + 1>::v;\n};\n"
        "template <unsigned long M> struct T<0, M> { static constexpr long v = M; };\n"
        "int main() { return T<60, 1>::v; }"
    )
    result = client.run("cpp", endless, limits=Limits(timeout=1.5))
    assert result.status in ("timeout", "oom")
    assert client.run("cpp", PROGRAMS["cpp"].hello).stdout == "hello\n"


def test_a_compiler_that_takes_all_memory_is_ended_by_the_runs_limits(client: Client) -> None:
    result = client.run("c", '#include "/dev/zero"\nint main(void) {}')
    assert (result.status, result.exit_code) == ("oom", 137)
    assert client.run("c", PROGRAMS["c"].hello).stdout == "hello\n"


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


def test_r_shows_where_a_program_cannot_be_parsed(client: Client) -> None:
    result = client.run("r", "x <- 1\nif x\n")
    assert result.exit_code == 1
    assert "/sandbox/main.R:2:4: unexpected symbol" in text(result)


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
    assert (result.stdout, result.stderr) == ("a|b\n2|it's\n", "")


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


def text(result: RunResult) -> str:
    assert isinstance(result.stdout, str)
    assert isinstance(result.stderr, str)
    return result.stdout + result.stderr
