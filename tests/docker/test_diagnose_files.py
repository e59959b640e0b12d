"""Errors in files beside the program: which file, which line, and what it says there."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sandboxd_client import Client
from sandboxd_client.protocol import Category


class Case(NamedTuple):
    code: str
    files: dict[str, str]
    place: tuple[str, int] | None
    category: Category
    says: str = ""
    suggests: str = ""


PYTHON = {
    "an error in a module": Case(
        "import helper\nhelper.run()\n",
        {"helper.py": "def run():\n    return 1 / 0\n"},
        ("helper.py", 2),
        Category.EXCEPTION,
        "divides by zero",
    ),
    "an error in a package": Case(
        "from tools.math import half\nhalf('a')\n",
        {"tools/__init__.py": "", "tools/math.py": "\ndef half(x):\n    return x / 2\n"},
        ("tools/math.py", 3),
        Category.EXCEPTION,
    ),
    "a module that is not Python": Case(
        "import helper\n",
        {"helper.py": "def run(:\n    pass\n"},
        ("helper.py", 1),
        Category.SYNTAX_ERROR,
        "helper.py is not valid",
    ),
    "a module that was not sent": Case(
        "import helper\n",
        {"lib/helper.py": ""},
        ("main.py", 1),
        Category.IMPORT_ERROR,
        "nor beside the program",
        "send it along in `files`",
    ),
    "a part of a folder": Case(
        "from lib import tool\n",
        {"lib/helper.py": ""},
        ("main.py", 1),
        Category.IMPORT_ERROR,
        "no module `tool`",
        "`tool.py`",
    ),
    "a dot without a package": Case(
        "from .helper import run\n",
        {"helper.py": ""},
        ("main.py", 1),
        Category.IMPORT_ERROR,
        "in no package",
        "by its name",
    ),
}

JAVASCRIPT = {
    "an error in a module": Case(
        "require('./h.js')()\n",
        {"h.js": "module.exports = () => {\n  null.x\n}\n"},
        ("h.js", 2),
        Category.EXCEPTION,
        "asked of null",
    ),
    "an error in an ES module": Case(
        "import { f } from './h.mjs'\nf()\n",
        {"h.mjs": "export function f() {\n  null.x\n}\n"},
        ("h.mjs", 2),
        Category.EXCEPTION,
    ),
    "an ES module that is loaded as none": Case(
        "require('./h.js')\n",
        {"h.js": "import fs from 'fs'\n"},
        ("h.js", 1),
        Category.SYNTAX_ERROR,
        "CommonJS",
        '"type": "module"',
    ),
    "an extension that is missing": Case(
        "import { y } from './h'\n",
        {"h.js": "export const y = 1\n", "package.json": '{"type": "module"}'},
        ("main.js", 1),
        Category.IMPORT_ERROR,
        "none of that name",
        "`./h.js`",
    ),
    "JSON without its type": Case(
        "import d from './d.json'\n",
        {"d.json": "{}"},
        None,
        Category.EXCEPTION,
        "its type",
        "with { type: 'json' }",
    ),
    "a name that a module has not": Case(
        "import { y } from './h.mjs'\n",
        {"h.mjs": "export const x = 1\n"},
        ("main.js", 1),
        Category.IMPORT_ERROR,
        "nothing called `y`",
    ),
}

OTHERS = {
    "ruby": Case(
        "require_relative 'h'\nh\n",
        {"h.rb": "def h\n  1 / 0\nend\n"},
        ("h.rb", 2),
        Category.EXCEPTION,
        "divides",
    ),
    "bash": Case(
        "source ./lib.sh\nf\n",
        {"lib.sh": "f() {\n  nosuch\n}\n"},
        ("lib.sh", 2),
        Category.EXCEPTION,
        "no command or function `nosuch`",
    ),
}

CASES = [
    *(("python", what, case) for what, case in PYTHON.items()),
    *(("javascript", what, case) for what, case in JAVASCRIPT.items()),
    *((language, "an error in a file", case) for language, case in OTHERS.items()),
]


@pytest.mark.parametrize(
    ("language", "case"),
    [pytest.param(language, case, id=f"{language}: {what}") for language, what, case in CASES],
)
def test_an_error_is_placed_in_its_file(client: Client, language: str, case: Case) -> None:
    result = client.run(language, case.code, files=case.files)
    report = client.debug_report(result.run, files=case.files)
    assert report.category is case.category, report
    assert case.says in report.explanation
    assert any(case.suggests in each for each in report.suggestions or [""]), report.suggestions
    place = report.location
    assert (place and (place.file, place.line)) == case.place
    if place and place.file in case.files:
        line = case.files[place.file].splitlines()[place.line - 1].strip()
        (marked,) = (each for each in report.snippet.splitlines() if each.startswith(">"))
        assert marked.partition("|")[2].strip() == line


def test_a_file_is_named_where_its_text_is_not_known(client: Client) -> None:
    case = PYTHON["an error in a module"]
    report = client.debug_report(client.run("python", case.code, files=case.files).run)
    assert report.location is not None
    assert (report.location.file, report.location.line) == case.place
    assert report.snippet == ""
    assert [frame.source for frame in report.frames] == ["helper.run()", "return 1 / 0"]
