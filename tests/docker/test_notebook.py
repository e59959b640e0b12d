"""Python in a session is what it is in a notebook, and a run never ends the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxd_client import Client, Limits, RunResult, Session, State


@pytest.fixture
def session(client: Client) -> Iterator[Session]:
    with client.session("python") as session:
        yield session


def words(result: RunResult) -> str:
    """The last line that it said on stderr."""
    return str(result.stderr).rstrip("\n").rpartition("\n")[2]


# --- tasks and await ---

TASK = "import asyncio\nasync def w(): return 5\nt = asyncio.create_task(w())"


def test_tasks_and_await_in_one_run(session: Session) -> None:
    result = session.run(f"{TASK}\nawait t")
    assert (result.value, result.stderr) == ("5", "")


def test_a_task_goes_on_with_the_next_run_that_awaits(session: Session) -> None:
    code = "import asyncio\ngo = asyncio.Event()\nt = asyncio.create_task(go.wait())"
    assert session.run(code).stderr == ""
    assert session.run("t.done()").value == "False"
    assert session.run("go.set()\nawait t").value == "True"


@pytest.mark.parametrize(
    "code",
    [
        "asyncio.run(w())",
        "loop = asyncio.new_event_loop()\nloop.run_until_complete(loop.create_task(w()))",
        "async def main():\n    return await asyncio.create_task(w())\nasyncio.run(main())",
        "async with asyncio.TaskGroup() as group: t = group.create_task(w())\nt.result()",
        "[await w() for _ in range(1)][0]",
    ],
)
def test_programs_bring_a_loop_of_their_own_or_use_the_sessions(
    session: Session, code: str
) -> None:
    session.run(TASK)
    for _ in range(2):
        result = session.run(code)
        assert (result.value, result.stderr) == ("5", "")


def test_context_variables_are_the_sessions(session: Session) -> None:
    session.run("import asyncio, contextvars; v = contextvars.ContextVar('v'); v.set(1);")
    assert session.run("v.set(v.get() + 1); await asyncio.sleep(0); v.get()").value == "2"
    assert session.run("v.get()").value == "2"


def test_what_an_await_ends_by_leaves_the_loop_as_it_was(session: Session) -> None:
    session.run(TASK)
    late = session.run("await asyncio.sleep(100)", limits=Limits(timeout=0.5))
    assert (late.status, late.state) == ("timeout", State.KEPT)
    assert session.run("async def bad(): raise SystemExit(3)\nawait bad()").exit_code == 3
    result = session.run("await t")
    assert (result.value, result.stderr) == ("5", "")


# --- idioms ---


@pytest.mark.parametrize(
    ("code", "stdout", "value"),
    [
        ("display(6 * 7, 'text')", "42\ntext\n", None),
        ("%matplotlib inline\n1", "", "1"),
        ("x = 'py'\n!echo {x} $x $HOME {1+1} $((1+1))", "py py /sandbox {1+1} 2\n", None),
        ("for i in range(2):\n    !echo {i}", "0\n1\n", None),
        ("lines = !printf 'a\\nb\\n'\nlines", "", "['a', 'b']"),
        ("!exit 3\n_exit_code", "", "3"),
        ("%%bash -s word\nread x <<<two; echo $1 $x", "word two\n", None),
        ("%%sh\necho $0", "sh\n", None),
        ("%%writefile f.txt\none\n", "Writing f.txt\n", None),
        ("%cd /tmp\n%pwd", "/tmp\n", "'/tmp'"),
        ("%env A=b\nimport os; os.environ['A']", "env: A=b\n", "'b'"),
        ("%env A=b\n%env A", "env: A=b\n", "'b'"),
        ("x = 1; y = 2\n%who_ls", "", "['x', 'y']"),
        ("open('m.py', 'w').write('import sys; z = sys.argv[1:], __name__');\n%run m.py a\nz", "",
         "(['a'], '__main__')"),
        ("%ls /sandboxd/session", "_notebook\n", None),
        ("%load_ext autoreload\n%autoreload 2", "", None),
    ],
)  # fmt: skip
def test_what_notebooks_write_works_as_there(
    session: Session, code: str, stdout: str, value: str | None
) -> None:
    result = session.run(code)
    assert (result.stderr, result.stdout, result.value) == ("", stdout, value)


@pytest.mark.parametrize(
    ("code", "told", "value"),
    [
        ("%timeit -n 2 -r 3 pass", "per loop (mean ± std. dev. of 3 runs, 2 loops each)", None),
        ("%%timeit -n 1 -r 1 x = 1\ny = x", "of 1 run, 1 loop each)", None),
        ("%time 6 * 7", "Wall time: ", "42"),
        ("import asyncio\n%time await asyncio.sleep(0, 5)", "Wall time: ", "5"),
        ("%time x = 1", "Wall time: ", None),
        ("%%time\nimport asyncio\nawait asyncio.sleep(0, 5)", "Wall time: ", "5"),
        ("print?", "Help on built-in function print", None),
    ],
)
def test_what_is_timed_is_told(session: Session, code: str, told: str, value: str | None) -> None:
    result = session.run(code)
    assert (result.stderr, result.value) == ("", value)
    assert told in str(result.stdout)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("%pip install six", "name them when the session is opened"),
        ("!pip install six", "name them when the session is opened"),
        ("!python3 -m pip install six", "name them when the session is opened"),
        ("%prun f()", "cProfile"),
        ("%nosuch", "%nosuch is not there; there are %cd,"),
        ("%%nosuch\nx", "%%nosuch is not there; there are %%bash,"),
        ("%%capture out\nx", "redirect_stdout"),
        ("x = 1\n%%bash\nls", "in the first line"),
        ("%%bash\nexit 3", "returned non-zero exit status 3"),
    ],
)
def test_what_does_not_work_says_what_to_write_instead(
    session: Session, code: str, told: str
) -> None:
    result = session.run(code)
    assert (result.exit_code, result.state) == (1, State.KEPT)
    assert told in words(result)
    assert "_notebook" not in str(result.stderr)


def test_a_cell_that_is_python_is_not_looked_at(session: Session) -> None:
    code = 'x = """\n%pwd\n!ls\n"""\ny = (7\n% 4)\nx, y'
    assert session.run(code).value == repr(("\n%pwd\n!ls\n", 3))


def test_rich_forms_of_what_is_displayed_are_files(session: Session) -> None:
    result = session.run("class Rich:\n    def _repr_html_(self): return 'b'\ndisplay(Rich())")
    assert [(each.path, each.content) for each in result.files] == [("display-1.html", b"b")]


# --- as the program finds itself ---


def test_a_program_finds_its_main_and_nothing_of_the_driver(session: Session) -> None:
    assert session.run("if __name__ == '__main__': print(__file__)").stdout == "/sandbox/main.py\n"
    assert session.run("import sys; sys.modules['__main__'].__dict__ is globals()").value == "True"
    session.run("!true\ndel _exit_code, sys")
    names = session.run("sorted(name for name in globals() if not name.startswith('__'))")
    assert names.value == "[]"
    assert "ModuleNotFoundError" in str(session.run("import notebook").stderr)


def test_no_frame_of_the_driver_shows_in_an_error(session: Session) -> None:
    for code in (
        "def f(): 1 / 0\nf()",
        "import asyncio\nasync def f(): 1 / 0\nawait f()",
        "import asyncio\nasync def f(): 1 / 0\nawait asyncio.create_task(f())",
        "try: 1 / 0\nexcept Exception as error: raise ValueError from error",
        "%run nosuch.py",
        "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    ):
        told = str(session.run(code).stderr)
        assert "Error" in told
        assert "/sandboxd" not in told
        assert "main.py" not in told


# --- a run never ends a session ---


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("exit()", 0),
        ("quit(3)", 3),
        ("import sys; sys.exit('words')", 1),
        ("raise SystemExit(4)", 4),
        ("import nosuch", 1),
        ("def f(): f()\nf()", 1),
        ("bytearray(1 << 60)", 1),
        ("raise KeyboardInterrupt", 130),
        ("import sys; sys.stdout.close(); sys.stderr.close(); sys.stdin.close()", 0),
        ("import os; os.close(0); os.close(1); os.close(2)", 0),
        ("import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.detach())", 0),
        ("import sys; sys.stdin.detach(); sys.stderr.detach()", 0),
        ("import sys; sys.excepthook = None; 1 / 0", 1),
        ("class Bad(Exception):\n    def __str__(self): 1 / 0\nraise Bad", 1),
        ("class Bad:\n    def __repr__(self): 1 / 0\nBad()", 1),
        ("import builtins; del builtins.print; del builtins.display", 0),
        ("import os, shutil; shutil.rmtree('/sandbox', ignore_errors=True)", 0),
    ],
)
def test_nothing_that_a_run_does_by_the_way_ends_its_session(
    session: Session, code: str, exit_code: int
) -> None:
    session.run("kept = 1")
    result = session.run(code)
    assert (result.exit_code, result.state) == (exit_code, State.KEPT)
    after = session.run("import sys; sys.stdout.write('on'); kept")
    assert (after.stdout, after.value, after.stderr) == ("on", "1", "")
