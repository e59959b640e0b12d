"""The terminal asks for more lines where code is not whole yet."""

from __future__ import annotations

import pytest

from sandboxd_client.cli.repl import is_whole

WHOLE = [
    ("python", "x = 1"),
    ("python", "f(\n1)"),
    ("python", "await f()"),
    ("python", "1 +* 2"),
    ("python", "def f():\n    return 1\n"),
    ("bash", "for i in 1 2; do echo $i; done"),
    ("bash", "echo 'if ('"),
    ("ruby", "while x do\n y\nend"),
    ("ruby", "x = 1 if y"),
    ("javascript", "f({\n a: 1,\n})"),
]
PARTS = [
    ("python", "def f():"),
    ("python", "def f():\n    return 1"),
    ("python", "f("),
    ("python", "'''a"),
    ("bash", "for i in 1 2; do"),
    ("bash", "if true; then\necho"),
    ("bash", "echo a \\"),
    ("ruby", "def f"),
    ("ruby", "[1].each do |x|\n p x"),
    ("javascript", "function f() {"),
    ("javascript", "`a"),
]


@pytest.mark.parametrize(("language", "source"), WHOLE)
def test_what_is_whole_is_run(language: str, source: str) -> None:
    assert is_whole(language, source)


@pytest.mark.parametrize(("language", "source"), PARTS)
def test_what_is_not_waits_for_more(language: str, source: str) -> None:
    assert not is_whole(language, source)
