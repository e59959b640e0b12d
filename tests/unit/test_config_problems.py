"""What is said of a configuration that is wrong: all of it, where, and what may be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.cli import main
from sandboxd.config import load
from sandboxd.config_sources import locate
from sandboxd.errors import ConfigError
from sandboxd.units import config_example


def told(path: Path, text: str, **environment: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, environment)
    return [line.removeprefix(f"configuration {path}") for line in str(caught.value).splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sandboxd.toml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[pool]\nmin = 0\nstart = 4",
            ":3: pool.start: there is no such key; did you mean starts?",
        ),
        ("[pools]", ":1: pools: there is no such key; did you mean pool or profiles?"),
        (
            "\n[limits]\nmemory = 1",
            ":3: limits.memory: there is no such key here; it is one of [limits.default] or",
        ),
        (
            "[admin]\nxyzzy = 1",
            ":2: admin.xyzzy: there is no such key; there are socket",
        ),
        (
            "[languages.go]\nmni = 1",
            ":2: languages.go.mni: there is no such key; did you mean min?",
        ),
        ("[pool]\nmax = 'x'", ":2: pool.max: 'x' will not do: expected `int`, got `str`"),
        ("\npool = 5", ":2: pool: this is a table, and cannot be 5"),
        ("[languages]\ngo = 5", ":2: languages.go: this is a table, and cannot be 5"),
        ("[profiles.a]\nmin = 1", ":1: profiles.a: the key `language` is missing"),
        (
            "[history]\noutput = '1 elephant'",
            ":2: history.output: '1 elephant' will not do: not a size: '1 elephant'; write bytes",
        ),
    ],
)
def test_a_problem_is_told_with_its_line_and_what_would_be_right(
    file: Path, text: str, words: str
) -> None:
    (line,) = told(file, text)
    assert line.startswith(words)


def test_all_problems_are_told_at_once(file: Path) -> None:
    lines = told(file, "[pool]\nmaxx = 4\nmin = 'one'\n[logs]\nlevel = 'info'")
    assert [line.split(" ")[0] for line in lines] == [":2:", ":3:", ":4:"]


def test_a_variable_is_named_that_is_wrong(file: Path) -> None:
    (line,) = told(file, "[pool]\nmax = 4", SANDBOXD_POOL__MAX="many")
    assert "$SANDBOXD_POOL__MAX: pool.max: 'many' will not do" in line
    (line,) = told(file, "", SANDBOXD_POOL__MAXX="4")
    assert "$SANDBOXD_POOL__MAXX: pool.maxx: there is no such key; did you mean max" in line


def test_check_config_tells_them(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("[pool]\n" + "# a comment\n" * 100 + "maxx = 4")
    assert main(["--config", str(file), "check-config"]) == 1
    assert f"{file}:102: pool.maxx: there is no such key; did you mean" in capsys.readouterr().err
    file.write_text("[pool]\nmax = 4")
    assert main(["--config", str(file), "check-config"]) == 0


# --- lines ---


def test_a_key_is_found_in_whatever_form_it_is_written() -> None:
    text = '''# [pool]
pool.min = 1

[limits]  # about limits
capture = "8MiB"
default = { timeout = 5,  memory = "1GiB" }
[limits.max]
timeout = """
# this is no comment
[nor = "a table"]
"""
"quoted key" = [
    1,  # one

    2,
]
last = 1'''
    assert locate(text) == {
        ("pool",): 2,
        ("pool", "min"): 2,
        ("limits",): 4,
        ("limits", "capture"): 5,
        ("limits", "default"): 6,
        ("limits", "default", "timeout"): 6,
        ("limits", "default", "memory"): 6,
        ("limits", "max"): 7,
        ("limits", "max", "timeout"): 8,
        ("limits", "max", "quoted key"): 12,
        ("limits", "max", "last"): 17,
    }


@given(st.lists(st.sampled_from(["", "# x", "a = 1", "b = [\n1]", "[t]", "c = '''\n#\n'''"])))
def test_each_key_is_in_the_line_that_begins_with_its_name(pieces: list[str]) -> None:
    pieces = [piece for at, piece in enumerate(pieces) if piece not in pieces[:at] or not piece]
    text = "\n".join(pieces)
    lines = text.split("\n")
    for key, number in locate(text).items():
        assert lines[number - 1].lstrip("[").startswith(key[-1])


def test_in_the_example_every_table_is_found() -> None:
    tables = [line[1:-1] for line in config_example().splitlines() if line.startswith("[")]
    assert len(tables) > 5
    assert {".".join(key) for key in locate(config_example())} >= set(tables)
