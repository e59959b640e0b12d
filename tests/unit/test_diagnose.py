"""What holds for a report in whatever language: its parts, and ends without an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.diagnose import Facts, report
from sandboxd.diagnose.dialect import Dialect
from sandboxd.diagnose.evidence import cut
from sandboxd.diagnose.languages import find
from sandboxd.diagnose.meaning import Scene, explain, rule
from sandboxd.diagnose.meanings.sandbox import RESTRICTIONS
from sandboxd.diagnose.names import near
from sandboxd.diagnose.program import Program
from sandboxd.diagnose.snippet import snippet
from sandboxd.diagnose.words import clip, listing, seconds, size
from sandboxd_client.protocol import Category, DebugReport, Location, Status

LANGUAGES = ["python", "javascript", "ruby", "bash", "sh", "go", "c", "cobol"]


def failed(language: str, code: str, stderr: str, **facts: object) -> DebugReport:
    """The report of a program that ended by itself with an error."""
    known: dict[str, object] = {"status": Status.ERROR, "exit_code": 1}
    return report(Facts(language=language, code=code, stderr=stderr, **known | facts))  # type: ignore[arg-type]


def ended(status: Status, **facts: object) -> DebugReport:
    known: dict[str, object] = {"language": "python", "code": "print(1)", "exit_code": 137}
    return report(Facts(status=status, **known | facts))  # type: ignore[arg-type]


def marked(told: DebugReport) -> str:
    """The line that the snippet marks."""
    lines = [line for line in told.snippet.splitlines() if line.startswith(">")]
    assert len(lines) == 1
    return lines[0].partition("|")[2].strip()


# --- the snippet ---


def test_a_snippet_has_two_lines_around_the_place_and_a_caret_under_it() -> None:
    program = Program("".join(f"line {number}\n" for number in range(1, 12)))
    assert snippet(program, Location("main.py", 9, 6)) == (
        "   7 | line 7\n   8 | line 8\n>  9 | line 9\n     |      ^\n  10 | line 10\n  11 | line 11"
    )


def test_a_snippet_without_a_column_has_no_caret() -> None:
    assert snippet(Program("a\n\nb"), Location("main.py", 1)) == "> 1 | a\n  2 |\n  3 | b"


def test_the_caret_stays_under_its_column_behind_tabs() -> None:
    shown = snippet(Program("\tif x:\n\t\tfoo()"), Location("main.py", 2, 3)).splitlines()
    assert shown[1:] == ["> 2 | \t\tfoo()", "    | \t\t^"]


def test_of_a_long_line_the_part_around_the_column_is_shown() -> None:
    program = Program("x" * 500 + "HERE" + "y" * 500)
    marked_line, caret = snippet(program, Location("main.js", 1, 501)).splitlines()
    assert len(marked_line) < 180
    assert marked_line[caret.index("^") :].startswith("HERE")


def test_controls_in_the_code_do_not_reach_a_terminal() -> None:
    assert "\x1b" not in snippet(Program("a\x1b[31mb"), Location("main.py", 1))


# --- places ---


@pytest.mark.parametrize(
    ("path", "line", "column", "place"),
    [
        ("/sandbox/main.py", 2, 3, Location("main.py", 2, 3)),
        ("main.py", 2, None, Location("main.py", 2)),
        ("file:///sandbox/main.js", 1, 1, Location("main.js", 1, 1)),
        ("/sandbox/main.py", 9, 3, Location("main.py", 3)),  # past the end: the last line
        ("/sandbox/main.py", 0, 1, None),
        ("/sandbox/main.py", 2, 99, Location("main.py", 2)),
        ("/sandbox/other.py", 2, 1, Location("other.py", 2, 1)),  # whose text is not known
        ("/sandbox/lib/main.py", 7, 1, Location("lib/main.py", 7, 1)),
        ("/sandbox/known.py", 2, 1, Location("known.py", 1)),
        ("./known.py", 1, 2, Location("known.py", 1, 2)),
        ("/usr/lib/main.py", 2, 1, None),
        ("other.py", 2, 1, None),
        ("<string>", 1, None, None),
    ],
)
def test_a_place_is_in_the_program_or_nowhere(
    path: str, line: int, column: int | None, place: Location | None
) -> None:
    program = Program("one\ntwo\nthree\n", {"known.py": "text"})
    assert program.place(path, line, column) == place


def test_the_snippet_of_a_file_beside_it_is_of_that_file() -> None:
    program = Program("import a\n", {"./a.py": "x = 1\ny = 2\n"})
    assert snippet(program, Location("a.py", 2)) == "  1 | x = 1\n> 2 | y = 2"
    assert snippet(program, Location("b.py", 2)) == ""


def test_a_program_without_a_line_has_no_place() -> None:
    assert Program("").place("main.py", 1) is None


# --- words and names ---


def test_sizes_and_durations_are_written_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 10_000, 512 << 20, 3 << 40)] == [
        "0 bytes",
        "1023 bytes",
        "1 KiB",
        "9.8 KiB",
        "512 MiB",
        "3 TiB",
    ]
    assert [seconds(d) for d in (30.0, 0.25, 1.23456)] == ["30 s", "0.25 s", "1.235 s"]
    assert listing(["a", "b", "c"], 2) == "a, b and 1 more"
    assert clip("x" * 100, 20) == "xxxxxxxxxxxx...xxxxx"


@pytest.mark.parametrize(
    ("name", "candidates", "meant"),
    [
        ("totl", ["total", "print"], ["total"]),
        ("gti", ["cat", "git"], ["git"]),
        ("json", ["JSON"], ["JSON"]),
        ("x", ["y", "xs"], []),
        ("total", ["total"], []),
        ("foo", ["floor", "bar"], []),
    ],
)
def test_names_near_a_name_are_those_that_could_be_meant(
    name: str, candidates: list[str], meant: list[str]
) -> None:
    assert near(name, candidates) == meant


def test_what_a_program_wrote_is_cut_to_what_an_error_can_need() -> None:
    text = cut("first\n" + "x" * 5000 + "\n" + "y\n" * 200_000 + "last\r\n")
    assert len(text) < 140_000
    assert text.startswith("first\n")
    assert text.endswith("last\n")
    assert max(map(len, text.split("\n"))) <= 1000


# --- the tables ---


def dialects() -> list[Dialect]:
    return list({id(find(language)): find(language) for language in LANGUAGES}.values())


@pytest.mark.parametrize("dialect", dialects(), ids=lambda dialect: dialect.title)
def test_every_text_of_a_table_can_be_filled_in(dialect: Dialect) -> None:
    for each in dialect.rules:
        groups = dict.fromkeys(each.pattern.groupindex, "x")
        for text in (each.meaning.explanation, *each.meaning.suggestions):
            assert text.format_map(groups)


def test_every_restriction_can_be_told() -> None:
    values = dict.fromkeys(("path", "pids", "tmp", "memory"), "")
    for each in RESTRICTIONS:
        for text in (each.meaning.explanation, *each.meaning.suggestions):
            assert text.format_map(values)


def test_a_rule_may_ask_for_more_than_the_headline() -> None:
    rules = (rule("^E", "a fork", context=r"\bfork"), rule("^E", "something"))
    assert explain(rules, Scene("E: x", "os.fork()")) == ("a fork", ())
    assert explain(rules, Scene("E: x", "f()")) == ("something", ())
    assert explain(rules, Scene("F", "")) is None


# --- ends without an error of the program's ---


@pytest.mark.parametrize("language", LANGUAGES)
def test_success_says_that_nothing_failed(language: str) -> None:
    told = ended(Status.OK, language=language, exit_code=0)
    assert (told.category, told.status, told.suggestions) == (Category.SUCCESS, Status.OK, [])
    assert "nothing failed" in told.explanation


def test_success_does_not_hide_what_was_written_to_stderr() -> None:
    assert '"careful"' in ended(Status.OK, exit_code=0, stderr="careful\n").explanation


def test_a_timeout_says_the_limit_and_where_the_program_was() -> None:
    told = ended(
        Status.TIMEOUT,
        code='print("step 1")\nprint("step 2")\nwhile True: pass\n',
        stdout="step 1\nstep 2\n",
        timeout=2.5,
    )
    assert told.category is Category.TIMEOUT
    assert told.message == "killed at the time limit of 2.5 s"
    assert '"step 2"' in told.explanation
    assert "after line 2" in told.suggestions[0]
    assert "loop of line 3" in told.suggestions[1]
    assert "limits.timeout" in told.suggestions[-1]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("import time\ntime.sleep(60)", "line 2 sleeps"),
        ("x = 1\nname = input()", "line 2 reads it"),
        ("server.serve_forever()", "server"),
    ],
)
def test_a_timeout_names_lines_that_take_long(code: str, hint: str) -> None:
    assert any(hint in each for each in ended(Status.TIMEOUT, code=code, timeout=1.0).suggestions)


def test_a_timeout_without_output_says_so() -> None:
    assert "printed nothing" in ended(Status.TIMEOUT, timeout=1.0).explanation


def test_a_timeout_tells_of_a_limit_that_held_the_program_up() -> None:
    told = ended(
        Status.TIMEOUT,
        language="bash",
        stderr="/sandbox/main.sh: fork: retry: Resource temporarily unavailable\n",
        pids_limit=100,
    )
    assert told.category is Category.TIMEOUT
    assert "processes and threads" in told.explanation
    assert "Start fewer" in told.suggestions[0]


def test_a_timeout_of_the_compiler_is_told_apart() -> None:
    told = ended(Status.TIMEOUT, language="go", phase="compile", timeout=30.0)
    assert "before the program was compiled" in told.explanation


def test_out_of_memory_says_the_limit_and_the_peak() -> None:
    told = ended(Status.OOM, memory_limit=512 << 20, memory_peak=500 << 20)
    assert told.category is Category.OUT_OF_MEMORY
    assert "512 MiB" in told.explanation
    assert "500 MiB" in told.explanation
    assert "limits.memory" in told.suggestions[-1]


def test_too_much_output_says_the_limit() -> None:
    told = ended(Status.OUTPUT_LIMIT, output_limit=1 << 20)
    assert told.category is Category.OUTPUT_LIMIT
    assert "1 MiB" in told.explanation
    assert "limits.output" in told.suggestions[-1]


def test_a_kill_from_outside_is_not_held_against_the_program() -> None:
    told = ended(Status.KILLED, signal=9, duration=1.5)
    assert (told.category, told.error_type) == (Category.SIGNAL, "SIGKILL")
    assert "from outside after 1.5 s" in told.explanation


@pytest.mark.parametrize(
    ("number", "name", "meaning"),
    [
        (11, "SIGSEGV", "memory that is not its own"),
        (6, "SIGABRT", "aborted itself"),
        (7, "SIGBUS", "mapped memory"),
        (8, "SIGFPE", "divided"),
        (9, "SIGKILL", "Something in the run sent it"),
        (15, "SIGTERM", "asked it to end"),
        (25, "SIGXFSZ", "file larger"),
        (45, "signal 45", "no handler"),
    ],
)
def test_a_signal_is_told_with_what_it_means(number: int, name: str, meaning: str) -> None:
    told = failed("c", "int main;", "", exit_code=128 + number, signal=number)
    assert (told.category, told.error_type) == (Category.SIGNAL, name)
    assert told.message == f"ended by {name}"
    assert meaning in told.explanation


def test_a_kill_with_hardly_any_memory_left_says_so() -> None:
    told = failed(
        "python", "", "", exit_code=137, signal=9, memory_limit=100 << 20, memory_peak=95 << 20
    )
    assert "95 MiB of the 100 MiB" in told.explanation


def test_what_was_said_before_a_signal_is_told() -> None:
    told = failed("c", "int main;", "free(): invalid pointer\n", exit_code=134, signal=6)
    assert '"free(): invalid pointer"' in told.explanation


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_exit_code_without_a_word_asks_for_one(language: str) -> None:
    told = failed(language, "exit(3)", "", exit_code=3)
    assert (told.category, told.error_type) == (Category.NONZERO_EXIT, "")
    assert "exit code 3" in told.explanation
    assert "say on stderr" in told.suggestions[-1]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "import sys\nsys.exit(3)"),
        ("javascript", "let x = 3\nprocess.exit(x)"),
        ("ruby", "x = 3\nexit x"),
        ("bash", "x=3\nexit $x"),
        ("go", "package main\nfunc main() { os.Exit(3) }"),
    ],
)
def test_an_exit_code_of_its_own_leads_to_the_line_that_ends_it(language: str, code: str) -> None:
    assert any("line 2" in each for each in failed(language, code, "", exit_code=3).suggestions)


def test_the_last_line_of_stderr_speaks_for_an_exit_code() -> None:
    told = failed("python", "import sys\nsys.exit('no')", "reading\nbad input\n")
    assert (told.category, told.message) == (Category.NONZERO_EXIT, "bad input")


# --- anything at all ---

_PIECES = st.sampled_from(
    [
        "Traceback (most recent call last):\n",
        '  File "/sandbox/main.py", line 2, in f\n',
        '  File "/sandbox/main.py", line 99999999999999999999\n',
        "    x = 1\n    ~~^~~\n",
        "  + Exception Group Traceback (most recent call last):\n",
        "NameError: name 'x' is not defined\n",
        "SyntaxError: bad\n",
        "/sandbox/main.js:2\nx\n^\n\n",
        "TypeError: x is not a function\n",
        "    at f (/sandbox/main.js:3:400)\n",
        "Node.js v18\n",
        "/sandbox/main.rb:7:in `f': {x} (RuntimeError)\n",
        "\tfrom /sandbox/main.rb:0:in `<main>'\n",
        "/sandbox/main.rb:3: syntax error (SyntaxError)\n",
        "/sandbox/main.sh: line 3: x: command not found\n",
        "/sandbox/main.sh: 40: Syntax error: x\n",
        "/sandbox/main.go:2:900: undefined: x\n",
        "panic: boom\n\ngoroutine 1 [running]:\nmain.f()\n\t/sandbox/main.go:4 +0x1\n",
        "/sandbox/main.c:3:5: error: {0}\n",
        "PHP Fatal error:  Uncaught E: m in /sandbox/main.php:8\n",
        "Segmentation fault\n",
        "Permission denied: '/etc/x'\n",
        "\n",
        " ",
        "{",
        "%s",
        "\r\n",
        "\0",
    ]
)
_TEXTS = st.lists(_PIECES | st.text(max_size=20), max_size=12).map("".join)


@given(
    st.sampled_from(LANGUAGES),
    _TEXTS,
    _TEXTS,
    st.text(max_size=60),
    st.sampled_from(Status),
    st.integers(0, 255),
    st.none() | st.integers(1, 64),
)
def test_there_is_a_report_of_anything_and_its_place_is_in_the_program(
    language: str,
    stderr: str,
    stdout: str,
    code: str,
    status: Status,
    exit_code: int,
    signal: int | None,
) -> None:
    told = report(
        Facts(
            language=language,
            code=code,
            status=status,
            exit_code=exit_code,
            signal=signal,
            stdout=stdout,
            stderr=stderr,
        )
    )
    assert told.explanation
    if told.location is None:
        assert not told.snippet
        return
    if not told.location.file.startswith("main."):  # a file that is not known
        assert not told.snippet
        return
    lines = code.split("\n")
    assert 1 <= told.location.line <= len(lines)
    if told.location.column is not None:
        assert 1 <= told.location.column <= len(lines[told.location.line - 1]) + 1
    assert sum(line.startswith(">") for line in told.snippet.split("\n")) == 1
