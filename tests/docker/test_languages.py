"""Each language is run as its own interpreter would run it, and warm."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sandboxd_client import Client, Output, RunResult, UnknownLanguageError


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
    converses: str
    """Prints "one", waits for a line of stdin, prints "two"."""


PROGRAMS = {
    "python": Programs(
        hello='print("hello")',
        arguments='import sys\nprint(*sys.argv[1:], sep="\\n")',
        environment='import os; print(os.environ["GREETING"])',
        stdin="import sys; sys.stdout.write(sys.stdin.read())",
        fails='import sys\nprint("out"); print("err", file=sys.stderr); sys.exit(7)',
        crashes="def f():\n    return (\n        1 / 0)\nf()",
        converses='print("one", flush=True); input(); print("two")',
    ),
    "javascript": Programs(
        hello='console.log("hello")',
        arguments='console.log(process.argv.slice(2).join("\\n"))',
        environment="console.log(process.env.GREETING)",
        stdin="process.stdin.pipe(process.stdout)",
        fails='console.log("out"); console.error("err"); process.exitCode = 7',
        crashes="function f() {\n  return (\n    null.x);\n}\nf();",
        converses=(
            'console.log("one"); process.stdin.once("data", () => {'
            ' console.log("two"); process.exit() })'
        ),
    ),
    "bash": Programs(
        hello="echo hello",
        arguments='printf "%s\\n" "$@"',
        environment='echo "$GREETING"',
        stdin="cat",
        fails="echo out; echo err >&2; exit 7",
        crashes="f() {\n  :\n  nosuchcommand\n}\nf",
        converses="echo one; read -r line; echo two",
    ),
    "sh": Programs(
        hello="echo hello",
        arguments='printf "%s\\n" "$@"',
        environment='echo "$GREETING"',
        stdin="cat",
        fails="echo out; echo err >&2; exit 7",
        crashes=":\n:\nnosuchcommand",
        converses="echo one; read -r line; echo two",
    ),
    "ruby": Programs(
        hello='puts "hello"',
        arguments="puts ARGV",
        environment='puts ENV["GREETING"]',
        stdin="$stdout.write($stdin.read)",
        fails='puts "out"; warn "err"; exit 7',
        crashes='def f\n  _ = 1\n  raise "no"\nend\nf',
        converses='$stdout.sync = true; puts "one"; $stdin.gets; puts "two"',
    ),
    "go": Programs(
        hello='package main\nimport "fmt"\nfunc main() { fmt.Println("hello") }',
        arguments=(
            'package main\nimport ("fmt"; "os")\n'
            "func main() { for _, a := range os.Args[1:] { fmt.Println(a) } }"
        ),
        environment=(
            'package main\nimport ("fmt"; "os")\nfunc main() { fmt.Println(os.Getenv("GREETING")) }'
        ),
        stdin='package main\nimport ("io"; "os")\nfunc main() { io.Copy(os.Stdout, os.Stdin) }',
        fails=(
            'package main\nimport ("fmt"; "os")\n'
            'func main() { fmt.Println("out"); fmt.Fprintln(os.Stderr, "err"); os.Exit(7) }'
        ),
        crashes="package main\nfunc main() {\n\tvar p *int; *p = 1\n}",
        converses=(
            'package main\nimport ("bufio"; "fmt"; "os")\n'
            'func main() { fmt.Println("one"); bufio.NewReader(os.Stdin).ReadString(10); '
            'fmt.Println("two") }'
        ),
    ),
}

EXTENSIONS = {
    "python": "py",
    "javascript": "js",
    "bash": "sh",
    "sh": "sh",
    "ruby": "rb",
    "go": "go",
}

each_language = pytest.mark.parametrize("language", PROGRAMS)

NASTY = ["", "a b", "it's", '"', "$HOME", "`id`", "\\", "é\n\t", "-c", "--", "*"]


@each_language
def test_hello_succeeds_and_nothing_else_is_printed(client: Client, language: str) -> None:
    result = client.run(language, PROGRAMS[language].hello)
    assert (result.status, result.exit_code, result.signal) == ("ok", 0, None)
    assert (result.stdout, result.stderr) == ("hello\n", "")


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
    text = "line é\n" * 100_000
    result = client.run(language, PROGRAMS[language].stdin, stdin=text)
    assert result.stdout == text


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
    file = f"/sandbox/main.{EXTENSIONS[language]}"
    places = [f'{file}", line 3', f"{file}:3", f"{file}: line 3", f"{file}: 3"]
    assert any(place in words for place in places), words
    assert "/sandboxd" not in words


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


@pytest.mark.parametrize(
    ("alias", "language"),
    [
        ("py", "python"),
        ("python3", "python"),
        ("js", "javascript"),
        ("node", "javascript"),
        ("nodejs", "javascript"),
        ("shell", "sh"),
        ("rb", "ruby"),
        ("golang", "go"),
        ("Python", "python"),
    ],
)
def test_aliases_mean_their_language(client: Client, alias: str, language: str) -> None:
    assert client.run(alias, PROGRAMS[language].hello).language == language


def test_an_unknown_language_is_refused_with_those_that_there_are(client: Client) -> None:
    with pytest.raises(
        UnknownLanguageError, match=r"there is no language .cobol.; there are bash,.* ruby"
    ):
        client.run("cobol", "")


def test_languages_tell_what_their_images_have(client: Client) -> None:
    versions = {each.name: each.version for each in client.languages()}
    assert versions["python"].startswith("Python 3.11")
    assert versions["javascript"].startswith("v18.")
    assert "go1.21" in versions["go"]
    assert versions["ruby"].startswith("ruby 3.")


def test_a_go_program_that_does_not_compile_fails_in_that_phase(client: Client) -> None:
    result = client.run("go", "package main\nfunc main() {\n\tundefined_thing()\n}")
    assert result.error is not None
    assert result.error.phase == "compile"
    assert "/sandbox/main.go:3" in text(result)


def test_python_ends_as_python_does(client: Client) -> None:
    """Handlers run, threads are joined, files are flushed, finalizers are called."""
    code = """
import atexit, threading, sys
atexit.register(lambda: print("atexit"))
event = threading.Event()
threading.Thread(target=lambda: (event.wait(), print("thread"))).start()
class Last:
    def __del__(self): print("finalizer")
last = Last()
event.set()
sys.stdout.write("no newline")
print()
sys.exit("said on leaving")
"""
    result = client.run("python", code)
    assert result.exit_code == 1
    assert result.stderr == "said on leaving\n"
    assert isinstance(result.stdout, str)
    *before, atexit, finalizer = result.stdout.splitlines()
    assert (sorted(before), atexit, finalizer) == (["no newline", "thread"], "atexit", "finalizer")


def test_a_python_syntax_error_is_shown_with_its_line(client: Client) -> None:
    result = client.run("python", "x = 1\nif x\n    pass\n")
    assert result.stderr == (
        "  File \"/sandbox/main.py\", line 2\n    if x\n        ^\nSyntaxError: expected ':'\n"
    )


def test_python_is_main_in_every_respect(client: Client) -> None:
    code = """
import __main__, sys, inspect, pickle
class Thing: pass
assert __name__ == "__main__" and __main__.Thing is Thing
assert __file__ == sys.argv[0] == "/sandbox/main.py"
assert "class Thing" in inspect.getsource(Thing)
assert type(pickle.loads(pickle.dumps(Thing()))) is Thing
from multiprocessing import Pool
def square(x): return x * x
with Pool(2) as pool: print(pool.map(square, [1, 2, 3]))
"""
    assert client.run("python", code).stdout == "[1, 4, 9]\n"


def test_javascript_modules_run_as_they_are(client: Client) -> None:
    result = client.run("js", 'import os from "os"; console.log(await Promise.resolve(os.EOL))')
    assert (result.stderr, result.stdout) == ("", "\n\n")


def test_ruby_sees_its_own_data(client: Client) -> None:
    assert client.run("ruby", "print DATA.read, __FILE__ == $0\n__END__\nx\n").stdout == "x\ntrue"


def text(result: RunResult) -> str:
    assert isinstance(result.stdout, str)
    assert isinstance(result.stderr, str)
    return result.stdout + result.stderr
