"""What is particular to a standard language."""

from __future__ import annotations

from sandboxd_client import Client
from tests.support.programs import text


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
