"""Python's tracebacks, in the forms that its versions and its libraries give them."""

from __future__ import annotations

import pytest

from sandboxd_client.protocol import Category, Location
from tests.unit.test_diagnose import failed, marked

MAIN = '  File "/sandbox/main.py", line '


def test_a_traceback_is_read_with_its_levels_and_their_source() -> None:
    code = "def f(x):\n    return 1 / x\n\nf(0)\n"
    told = failed(
        "python",
        code,
        "Traceback (most recent call last):\n"
        f"{MAIN}4, in <module>\n    f(0)\n"
        f"{MAIN}2, in f\n    return 1 / x\n           ~~^~~\n"
        "ZeroDivisionError: division by zero\n",
    )
    assert (told.category, told.error_type) == (Category.EXCEPTION, "ZeroDivisionError")
    assert told.message == "division by zero"
    assert told.location == Location("main.py", 2, 14)
    assert [(each.line, each.function, each.source) for each in told.frames] == [
        (4, "<module>", "f(0)"),
        (2, "f", "return 1 / x"),
    ]
    assert told.snippet == (
        "  1 | def f(x):\n> 2 |     return 1 / x\n    |              ^\n  3 |\n  4 | f(0)"
    )


def test_the_place_is_the_innermost_level_of_the_program_itself() -> None:
    told = failed(
        "python",
        "import json\njson.loads('{bad')\n",
        "Traceback (most recent call last):\n"
        f"{MAIN}2, in <module>\n    json.loads('{{bad')\n"
        '  File "/usr/lib/python3.11/json/decoder.py", line 353, in raw_decode\n'
        "    obj, end = self.scan_once(s, idx)\n               ^^^^^^^^^^^^^^^^^^^^^^\n"
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)\n",
    )
    assert told.location == Location("main.py", 2)
    assert [(each.file, each.source) for each in told.frames] == [
        ("main.py", "json.loads('{bad')"),
        ("/usr/lib/python3.11/json/decoder.py", ""),
    ]
    assert "line 1, column 2" in told.explanation


IN_A_FILE = (
    "Traceback (most recent call last):\n"
    f"{MAIN}2, in <module>\n    util.f()\n"
    '  File "/sandbox/util.py", line 3, in f\n    raise KeyError(1)\n'
    "KeyError: 1\n"
)


def test_the_place_may_be_in_a_file_that_was_sent_along() -> None:
    told = failed("python", "import util\nutil.f()\n", IN_A_FILE)
    assert told.location == Location("util.py", 3)
    assert told.snippet == ""
    assert [(each.file, each.source) for each in told.frames] == [
        ("main.py", "util.f()"),
        ("util.py", "raise KeyError(1)"),
    ]


def test_its_lines_are_shown_where_its_text_is_known() -> None:
    util = "\ndef f():\n    raise KeyError(1)\n"
    told = failed("python", "import util\nutil.f()\n", IN_A_FILE, files={"util.py": util})
    assert "> 3 |     raise KeyError(1)" in told.snippet


@pytest.mark.parametrize(
    "between",
    [
        "The above exception was the direct cause of the following exception:",
        "During handling of the above exception, another exception occurred:",
    ],
)
def test_of_chained_exceptions_the_last_one_ended_the_program(between: str) -> None:
    told = failed(
        "python",
        "try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError('bad') from e\n",
        f"Traceback (most recent call last):\n{MAIN}2, in <module>\n    1 / 0\n    ~~^~~\n"
        f"ZeroDivisionError: division by zero\n\n{between}\n\n"
        f"Traceback (most recent call last):\n{MAIN}4, in <module>\n"
        "    raise ValueError('bad') from e\nValueError: bad\n",
    )
    assert (told.error_type, told.message) == ("ValueError", "bad")
    assert told.location == Location("main.py", 4)


def test_a_restriction_may_stand_in_the_cause() -> None:
    told = failed(
        "python",
        "fetch()\n",
        "Traceback (most recent call last):\n"
        '  File "/usr/lib/python3.11/socket.py", line 836, in create_connection\n'
        "    sock.connect(sa)\nOSError: [Errno 101] Network is unreachable\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        f"Traceback (most recent call last):\n{MAIN}1, in <module>\n    fetch()\n"
        "library.FetchError: could not fetch\n",
    )
    assert (told.category, told.error_type) == (
        Category.SANDBOX_RESTRICTION,
        "library.FetchError",
    )


def test_an_exception_that_ended_a_thread_is_not_what_ended_the_program() -> None:
    of_thread = (
        "Exception in thread Thread-1 (w):\nTraceback (most recent call last):\n"
        f"{MAIN}3, in w\n    1/0\n    ~^~\nZeroDivisionError: division by zero\n"
    )
    of_program = f"Traceback (most recent call last):\n{MAIN}1, in <module>\n    x\nKeyError: 'k'\n"
    for stderr in (of_program + of_thread, of_thread + of_program):
        told = failed("python", "x\n\n1/0\n", stderr)
        assert (told.error_type, told.message) == ("KeyError", "'k'")
    assert failed("python", "x\n\n1/0\n", of_thread).error_type == "ZeroDivisionError"


def test_a_group_is_read_with_the_errors_in_it() -> None:
    told = failed(
        "python",
        "run()\n",
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "/sandbox/main.py", line 1, in <module>\n  |     run()\n'
        "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | Traceback (most recent call last):\n"
        '    |   File "/usr/lib/python3.11/socket.py", line 836, in create_connection\n'
        "    |     sock.connect(sa)\n"
        "    | OSError: [Errno 101] Network is unreachable\n"
        "    +------------------------------------\n",
    )
    assert told.error_type == "ExceptionGroup"
    assert told.location == Location("main.py", 1)
    assert told.category is Category.SANDBOX_RESTRICTION


def test_a_message_of_several_lines_is_kept_and_notes_with_it() -> None:
    told = failed(
        "python",
        "x\n",
        f"Traceback (most recent call last):\n{MAIN}1, in <module>\n    x\n"
        "f.<locals>.MyError: boom\nsecond line\na note\n\n"
        "Exception ignored in: <function f>\n",
    )
    assert told.error_type == "f.<locals>.MyError"
    assert told.message == "boom\nsecond line\na note"


def test_of_an_endless_recursion_both_ends_are_kept() -> None:
    level = f"{MAIN}2, in a\n    return b(n)\n           ^^^^\n"
    told = failed(
        "python",
        "def a(n):\n    return b(n)\na(1)\n",
        f"Traceback (most recent call last):\n{MAIN}3, in <module>\n    a(1)\n"
        + level * 995
        + "RecursionError: maximum recursion depth exceeded\n",
    )
    assert len(told.frames) == 50
    assert told.frames[0].line == 3
    assert told.frames[-1].line == 2


@pytest.mark.parametrize(
    ("code", "stderr", "error_type", "column"),
    [
        (
            "if x\n    pass\n",
            f"{MAIN}1\n    if x\n        ^\nSyntaxError: expected ':'\n",
            "SyntaxError",
            5,
        ),
        (
            "if x:\n    y = (1\n",
            f"{MAIN}2\n    y = (1\n        ^\nSyntaxError: '(' was never closed\n",
            "SyntaxError",
            9,
        ),
        (
            "x = 1\n  y = 2\n",
            f"{MAIN}2\n    y = 2\nIndentationError: unexpected indent\n",
            "IndentationError",
            None,
        ),
        (
            "if True:\n\tx = 1\n        y = 2\n",
            f"{MAIN}3\n    y = 2\nTabError: inconsistent use of tabs and spaces in indentation\n",
            "TabError",
            None,
        ),
    ],
)
def test_a_syntax_error_has_a_place_and_no_levels(
    code: str, stderr: str, error_type: str, column: int | None
) -> None:
    told = failed("python", code, stderr)
    assert (told.category, told.error_type) == (Category.SYNTAX_ERROR, error_type)
    assert told.frames == []
    assert told.location is not None
    assert told.location.column == column


def test_a_syntax_error_in_a_text_that_the_program_compiles_is_an_exception() -> None:
    told = failed(
        "python",
        "exec('x = (')\n",
        f"Traceback (most recent call last):\n{MAIN}1, in <module>\n    exec('x = (')\n"
        "  File \"<string>\", line 1\n    x = (\n        ^\nSyntaxError: '(' was never closed\n",
    )
    assert told.category is Category.EXCEPTION
    assert told.location == Location("main.py", 1)


@pytest.mark.parametrize(
    ("error", "says", "suggests"),
    [
        ("NameError: name 'totl' is not defined", "`totl`", "Did you mean `total`?"),
        (
            "NameError: name 'json' is not defined. Did you forget to import 'json'?",
            "standard library",
            "Add `import json`",
        ),
        ("NameError: name 'np' is not defined", "imported as", "import numpy as np"),
        (
            "AttributeError: 'A' object has no attribute 'valu'. Did you mean: 'value'?",
            "`valu`",
            "Did you mean `value`?",
        ),
        ("AttributeError: 'NoneType' object has no attribute 'foo'", "None", "why it is None"),
        ("AttributeError: module 'math' has no attribute 'sqr'", "`math`", "dir(math)"),
        ("KeyError: 'total_'", "no key `total_`", "Did you mean `total`?"),
        ("KeyError: 3", "no key 3", "1 and '1'"),
        ("IndexError: list index out of range", "length less 1", "Print the index"),
        ("TypeError: f() missing 1 required positional argument: 'a'", "'a'", "Pass 'a'"),
        ("TypeError: f() takes 1 positional argument but 2 were given", "`f`", "`self`"),
        ("TypeError: can only concatenate str", "this operator", "str(x)"),
        ("TypeError: 'int' object is not callable", "`int`", "hides it"),
        ("TypeError: 'NoneType' object is not subscriptable", "None", "sort()"),
        ("TypeError: unhashable type: 'list'", "'list'", "tuple"),
        ("TypeError: Object of type set is not JSON serializable", "`set`", "default=str"),
        ("TypeError: wholly new", "of a type", "types of the values"),
        ("ValueError: invalid literal for int() with base 10: 'abc'", "'abc'", "Strip"),
        ("ValueError: not enough values to unpack (expected 2, got 1)", "number of", "star"),
        ("ZeroDivisionError: division by zero", "divides by zero", "Check the divisor"),
        ("UnicodeDecodeError: 'utf-8' codec can't decode", "utf-8", "encoding="),
        ("AssertionError", "did not hold", "before the assertion"),
        ("EOFError: EOF when reading a line", "stdin", "`stdin`"),
        ("RecursionError: maximum recursion depth exceeded", "calls itself", "ends the recursion"),
        ("KeyboardInterrupt", "interrupted", "SIGINT"),
        ("FileNotFoundError: [Errno 2] No such file: 'a.csv'", "`a.csv`", "`files`"),
        ("PermissionError: [Errno 13] Permission denied: 'f'", "own mode", "os.chmod"),
        ("StopIteration", "nothing was left", "next(it, default)"),
        ("RuntimeError: dictionary changed size during iteration", "while a loop", "copy"),
        (
            "subprocess.CalledProcessError: Command 'x' returned non-zero exit status 1.",
            "",
            "stderr",
        ),
        ("mine.OddError: odd", "raised mine.OddError", "line 2"),
    ],
)
def test_an_exception_is_explained(error: str, says: str, suggests: str) -> None:
    told = failed(
        "python",
        "total = {}\nuse(total)\n",
        f"Traceback (most recent call last):\n{MAIN}2, in <module>\n    use(total)\n{error}\n",
    )
    assert told.category is Category.EXCEPTION
    assert says in told.explanation
    assert any(suggests in each for each in told.suggestions), told.suggestions
    assert marked(told) == "use(total)"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("'(' was never closed", "`(`"),
        ("unmatched ')'", "closes nothing"),
        ("unterminated string literal (detected at line 1)", "not closed"),
        ("unterminated f-string literal (detected at line 1)", "not closed"),
        ("expected ':'", "no colon"),
        ("Missing parentheses in call to 'print'. Did you mean print(...)?", "Python 2"),
        ("invalid syntax. Maybe you meant '==' or ':=' instead of '='?", "`=`"),
        ("cannot assign to function call here.", "`=`"),
        ("'return' outside function", "`return`"),
        ("'break' outside loop", "within a loop"),
        ("invalid character '“' (U+201C)", "typographic"),
        ("invalid syntax", "not valid Python"),
    ],
)
def test_a_syntax_error_is_explained(error: str, says: str) -> None:
    told = failed("python", "x\n", f"{MAIN}1\n    x\n    ^\nSyntaxError: {error}\n")
    assert says in told.explanation
    assert told.suggestions


def test_a_command_that_is_not_there_is_told_from_a_file() -> None:
    told = failed(
        "python",
        "import subprocess\nsubprocess.run(['git'])\n",
        f"Traceback (most recent call last):\n{MAIN}2, in <module>\n"
        "    subprocess.run(['git'])\n"
        '  File "/usr/lib/python3.11/subprocess.py", line 1901, in _execute_child\n'
        "    raise child_exception_type(errno_num, err_msg, err_filename)\n"
        "FileNotFoundError: [Errno 2] No such file or directory: 'git'\n",
    )
    assert "no command `git`" in told.explanation


def test_arguments_that_argparse_refuses_are_no_crash() -> None:
    told = failed(
        "python",
        "parser.parse_args()\n",
        "usage: main.py [-h] file\nmain.py: error: the following arguments are required: file\n",
        exit_code=2,
    )
    assert told.category is Category.NONZERO_EXIT
    assert "arguments are required: file" in told.explanation
    assert "`args`" in told.suggestions[0]


def test_code_that_cannot_be_read_at_all_is_a_syntax_error() -> None:
    told = failed("python", "x\0", "ValueError: source code string cannot contain null bytes\n")
    assert (told.category, told.location) == (Category.SYNTAX_ERROR, None)
    assert "NUL" in told.explanation
