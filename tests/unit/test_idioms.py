"""What notebooks write that is not Python becomes Python; what is Python stays as it is."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

idioms: Any = importlib.import_module("sandboxd.languages.session._notebook.idioms")

PYTHON = [
    "x = 5\ny = (x\n% 3)\nz = x \\\n% 3\n",
    's = """\n%time\n!ls\n"""\n',
    "f'''\n!{1}\n%cd\n'''\n",
    "a = [\n1,\n# !ls\n]\n",
    "# %matplotlib inline\nawait f()\n",
    "x = '!ls'; y = '%d' % 3\n",
    "x != 3\n",
]


@pytest.mark.parametrize("source", PYTHON)
def test_python_is_left_as_it_is(source: str) -> None:
    assert idioms.translate(source) == (source, None)


@pytest.mark.parametrize("source", PYTHON)
def test_python_beside_an_idiom_is_left_as_it_is_too(source: str) -> None:
    translated, _ = idioms.translate(f"!true\n{source}%pwd")
    assert translated == f"__notebook__.shell('true')\n{source}__notebook__.line('pwd', '')"


@pytest.mark.parametrize(
    ("source", "python"),
    [
        ("!ls -l | wc", "__notebook__.shell('ls -l | wc')"),
        ("for x in y:\n    !echo {x}\n", "for x in y:\n    __notebook__.shell('echo {x}')\n"),
        ("a = !ls", "a = __notebook__.lines('ls')"),
        ("!!ls", "__notebook__.lines('ls')"),
        ("a.b, c[0] = !ls", "a.b, c[0] = __notebook__.lines('ls')"),
        ("d = %pwd", "d = __notebook__.line('pwd', '')"),
        ("%matplotlib inline", "__notebook__.line('matplotlib', 'inline')"),
        ("%time await f(1)", "__notebook__.timed(__notebook__.clock(), (await f(1)))"),
        ("%time x = 1", "__notebook__.line('time', 'x = 1')"),
        ("x = 1\n%%bash", "x = 1\n__notebook__.misplaced('bash')"),
        ("print?", "help(print)"),
        ("??a.b", "help(a.b)"),
        ("\n%%bash -e\nls\n", "__notebook__.cell('bash', '-e', 'ls\\n')"),
        ("%%time\n!ls\n", "\n__notebook__.shell('ls')\n"),
    ],
)
def test_an_idiom_becomes_a_call_in_the_same_line(source: str, python: str) -> None:
    assert idioms.translate(source)[0] == python


def test_a_cell_under_time_is_run_as_it_would_be_without() -> None:
    assert idioms.translate("%%time\nx = 1\nx") == ("\nx = 1\nx", "time")
    assert idioms.translate("x = 1")[1] is None


@pytest.mark.parametrize("source", ["1 +", "x = (\n!ls", "'''\n%pwd", "print 1\n", "\0", "x = %"])
def test_what_is_neither_is_left_to_the_compiler(source: str) -> None:
    translated, _ = idioms.translate(source)
    with pytest.raises((SyntaxError, ValueError)):
        ast.parse(translated)


def test_all_of_a_library_is_left_as_it_is() -> None:
    specification = importlib.util.find_spec("asyncio")
    assert specification is not None
    assert specification.origin is not None
    for path in Path(specification.origin).parent.glob("*.py"):
        source = path.read_text()
        assert idioms.translate(source) == (source, None)
        assert idioms.translate(f"{source}\n!ls")[0].startswith(source)


@given(st.text(st.sampled_from("%!?=()[]'\"\\#\n \tax1"), max_size=60))
def test_whatever_a_cell_is_its_lines_stay_where_they_are(source: str) -> None:
    translated, _ = idioms.translate(source)
    if not translated.startswith("__notebook__.cell("):
        assert translated.count("\n") == source.count("\n")
    if idioms.is_python(source):
        assert translated == source
