"""What bash, dash and busybox say, and the commands that they run."""

from __future__ import annotations

import pytest

from sandboxd_client.protocol import Category, Location
from tests.unit.test_diagnose import failed, marked

BASH, DASH, BUSYBOX = "/sandbox/main.sh: line {}: ", "/sandbox/main.sh: {}: ", "main.sh: line {}: "


@pytest.mark.parametrize(
    "stderr",
    [
        "/sandbox/main.sh: line 2: nosuch: command not found\n",
        "/sandbox/main.sh: 2: nosuch: not found\n",
        "/sandbox/main.sh: line 2: nosuch: not found\n",
    ],
)
def test_a_command_that_is_not_there_is_placed_and_the_image_described(stderr: str) -> None:
    told = failed("bash", "echo a\nnosuch --x\n", "warming up\n" + stderr, exit_code=127)
    assert (told.category, told.error_type) == (Category.EXCEPTION, "command not found")
    assert told.location == Location("main.sh", 2)
    assert marked(told) == "nosuch --x"
    assert "The image has the shell" in told.explanation


def test_a_command_misspelt_is_put_right() -> None:
    told = failed("bash", "grpe x\n", BASH.format(1) + "grpe: command not found\n", exit_code=127)
    assert told.suggestions[0] == "Did you mean `grep`?"


@pytest.mark.parametrize(
    ("command", "says", "suggests"),
    [
        ("apt-get", "nothing can be installed", "operator"),
        ("pip", "nothing can be installed", "operator"),
        ("wget", "no `wget` here", "`files`"),
        ("python3", "no `python3`", "language `python3`"),
        ("./run.sh", "no file `./run.sh`", "`files`"),
        ("[1", "`[`", "spaces around the brackets"),
        ("$'ls\\r'", "Windows", "plain newlines"),
        ("x", "no command or function `x`", "no spaces around its `=`"),
    ],
)
def test_a_command_that_is_not_there_is_explained(command: str, says: str, suggests: str) -> None:
    told = failed("bash", "x\n", BASH.format(1) + command + ": command not found\n", exit_code=127)
    assert says in told.explanation
    assert any(suggests in each for each in told.suggestions), told.suggestions


@pytest.mark.parametrize(
    ("stderr", "line", "says"),
    [
        (BASH.format(4) + "syntax error: unexpected end of file\n", 3, "not closed"),
        (
            DASH.format(4) + 'Syntax error: end of file unexpected (expecting "fi")\n',
            3,
            "not closed",
        ),
        (
            BASH.format(2) + "syntax error near unexpected token `b'\n"
            "/sandbox/main.sh: line 2: `echo (b)'\n",
            2,
            "`b` stands",
        ),
        (DASH.format(3) + 'Syntax error: "done" unexpected\n', 3, "`done` stands"),
        (DASH.format(2) + 'Syntax error: word unexpected (expecting ")")\n', 2, "`word`"),
        (BASH.format(1) + "unexpected EOF while looking for matching `''\n", 1, "never closed"),
        (DASH.format(2) + "Syntax error: Unterminated quoted string\n", 2, "never closed"),
        (BUSYBOX.format(2) + "syntax error: unterminated quoted string\n", 2, "never closed"),
    ],
)
def test_a_syntax_error_is_placed_and_explained(stderr: str, line: int, says: str) -> None:
    told = failed("sh", "echo a\nif true; then\n  echo b\n", stderr, exit_code=2)
    assert (told.category, told.error_type) == (Category.SYNTAX_ERROR, "syntax error")
    assert told.location == Location("main.sh", line)
    assert says in told.explanation


@pytest.mark.parametrize(
    ("said", "error_type", "says"),
    [
        ("foo: unbound variable", "unbound variable", "`foo` has no value"),
        ("foo: parameter not set", "unbound variable", "`foo` has no value"),
        ('1/0: division by 0 (error token is "0")', "arithmetic error", "divides by zero"),
        ('arithmetic expression: expecting primary: "1 + "', "arithmetic error", "understood"),
        ("[: -eq: unary operator expected", "bad test", "empty"),
        ("[: too many arguments", "bad test", "empty"),
        ("${foo.bar}: bad substitution", "bad substitution", "${ and }"),
        ("X: readonly variable", "readonly variable", "read-only"),
        ("/tmp: Is a directory", "is a directory", "folder"),
        ("/bin/echo: Argument list too long", "argument list too long", "too large"),
        ("set: Illegal option -o pipefail", "illegal option", "fewer than bash"),
        ("data.txt: No such file or directory", "no such file or directory", "/sandbox"),
        ("cd: can't cd to /nowhere", "no such file or directory", "/sandbox"),
        ("can't open data.txt: no such file", "no such file or directory", "/sandbox"),
        ("FOO: must be set", "error", "`FOO`: must be set"),
    ],
)
def test_an_error_of_the_shell_has_a_name_and_an_explanation(
    said: str, error_type: str, says: str
) -> None:
    told = failed("bash", "x\n", BASH.format(1) + said + "\n")
    assert (told.category, told.error_type) == (Category.EXCEPTION, error_type)
    assert told.message == said
    assert says in told.explanation
    assert told.location == Location("main.sh", 1)


def test_a_file_without_its_mode_is_no_restriction_of_the_sandbox() -> None:
    told = failed("bash", "./s.sh\n", BASH.format(1) + "./s.sh: Permission denied\n", exit_code=126)
    assert told.category is Category.EXCEPTION
    assert any("chmod +x" in each for each in told.suggestions)


def test_a_command_that_fails_is_placed_where_alone_it_is_called() -> None:
    code = "# cat is a command\necho a\ncat data.txt\n"
    told = failed("bash", code, "cat: data.txt: No such file or directory\n")
    assert (told.category, told.error_type) == (Category.NONZERO_EXIT, "")
    assert told.message == "cat: data.txt: No such file or directory"
    assert told.location == Location("main.sh", 3)
    assert "`cat` found no `data.txt`" in told.explanation


def test_a_command_that_is_called_twice_has_no_place() -> None:
    told = failed("bash", "cat a\ncat b\n", "cat: b: No such file or directory\n")
    assert told.location is None


def test_the_hint_under_a_commands_error_is_not_the_error() -> None:
    stderr = "ls: unrecognized option '--foo'\nTry 'ls --help' for more information.\n"
    told = failed("bash", "ls --foo\n", stderr, exit_code=2)
    assert told.message == "ls: unrecognized option '--foo'"
    assert "`ls --help`" in told.suggestions[0]


def test_what_set_x_shows_is_not_an_error() -> None:
    stderr = "+ cat a\ncat: a: No such file or directory\n+ exit 3\n"
    told = failed("bash", "set -x\ncat a\nexit 3\n", stderr, exit_code=3)
    assert (told.message, told.location) == (
        "cat: a: No such file or directory",
        Location("main.sh", 2),
    )


def test_lines_that_eval_counts_are_not_the_programs() -> None:
    stderr = "/sandbox/main.sh: eval: line 1: syntax error near unexpected token `newline'\n"
    told = failed("bash", "\n\neval 'echo ('\n", stderr, exit_code=2)
    assert (told.category, told.location) == (Category.SYNTAX_ERROR, None)


def test_a_warning_is_not_what_failed() -> None:
    stderr = BASH.format(2) + "warning: here-document at line 1 delimited by end-of-file\n"
    assert failed("bash", "cat <<E\n", stderr, exit_code=3).error_type == ""


def test_a_signal_of_the_last_command_is_told_by_the_exit_code() -> None:
    stderr = "/sandbox/main.sh: line 2:     3 Segmentation fault      ./crash\n"
    told = failed("bash", "echo\n./crash\n", stderr, exit_code=139)
    assert (told.category, told.error_type) == (Category.SIGNAL, "SIGSEGV")
    assert told.location == Location("main.sh", 2)
    assert "The last command" in told.explanation
    assert failed("sh", "./crash\n", "Segmentation fault\n", exit_code=139).error_type == "SIGSEGV"
    assert failed("bash", "yes | head -1\n", "", exit_code=141).error_type == "SIGPIPE"


def test_an_exit_code_of_one_may_be_no_error_at_all() -> None:
    told = failed("bash", "set -e\ngrep x file\n", "")
    assert told.category is Category.NONZERO_EXIT
    assert "grep and diff" in told.explanation
    assert "set -x" in told.suggestions[0]
