"""The languages: found by any of their names, and what they are given reaches the program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandboxd.errors import ConfigError, InvalidParamsError, UnknownLanguageError
from sandboxd.languages import BUILTIN, Language, Languages, load

LUA = """
name = "lua"
aliases = ["luajit"]
extension = "lua"
start = ["lua", "/sandboxd/lua.lua"]
message = "fields"
[image]
base = "lua:5"
version = ["lua", "-v"]
"""

NASTY = [
    "",
    " ",
    "-n",
    "--",
    "a b",
    "a\nb\n",
    "\t",
    "'",
    '"',
    "\\",
    "\\n",
    "'\\''",
    "$HOME",
    "$(echo no)",
    "`echo no`",
    "*",
    "~",
    "!!",
    "a;b|c&d>e<f",
    "#no comment",
    "é€😀",
    "\x01\x1b[0m\x7f",
    "\u2028",
]


@pytest.fixture
def builtin(tmp_path: Path) -> Languages:
    return load(tmp_path)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("python", "python"),
        ("py", "python"),
        ("Python3", "python"),
        ("js", "javascript"),
        ("node", "javascript"),
        ("golang", "go"),
        ("rb", "ruby"),
        ("sh", "sh"),
        ("BASH", "bash"),
    ],
)
def test_a_language_is_found_by_its_name_or_an_alias_in_any_case(
    builtin: Languages, asked: str, name: str
) -> None:
    assert builtin.find(asked).name == name


def test_an_unknown_language_is_refused_with_the_names_of_those_that_exist(
    builtin: Languages,
) -> None:
    with pytest.raises(UnknownLanguageError) as caught:
        builtin.find("cobol")
    for name in ("cobol", *builtin.by_name):
        assert name in str(caught.value)


def test_every_builtin_language_has_its_runner_and_names_of_its_own(builtin: Languages) -> None:
    standard = {name for name, each in builtin.by_name.items() if each.standard}
    assert standard == {"python", "javascript", "bash", "sh", "go", "ruby"}
    names = [
        name for language in builtin.by_name.values() for name in (language.name, *language.aliases)
    ]
    assert len(names) == len(set(names))
    for language in builtin.by_name.values():
        assert language.runner is not None
        assert (BUILTIN / language.runner).is_file()


def test_a_file_in_the_operators_folder_adds_a_language(tmp_path: Path) -> None:
    (tmp_path / "lua.toml").write_text(LUA)
    languages = load(tmp_path)
    assert languages.find("luajit").folder == tmp_path
    assert languages.find("python").folder == BUILTIN


def test_a_file_in_the_operators_folder_replaces_a_language_of_the_same_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.toml").write_text(LUA.replace('"lua"', '"python"'))
    languages = load(tmp_path)
    assert languages.find("python").image.base == "lua:5"
    with pytest.raises(UnknownLanguageError):
        languages.find("py")


def test_a_name_with_capitals_in_the_operators_folder_can_be_found(tmp_path: Path) -> None:
    (tmp_path / "lua.toml").write_text(
        LUA.replace('name = "lua"', 'name = "Lua"').replace("luajit", "LuaJIT")
    )
    languages = load(tmp_path)
    for asked in ("Lua", "lua", "luajit", "LuaJIT"):
        assert languages.find(asked).extension == "lua"


def test_an_alias_never_hides_another_language(tmp_path: Path) -> None:
    (tmp_path / "lua.toml").write_text(LUA.replace("luajit", "python"))
    assert load(tmp_path).find("python").name == "python"


def test_a_disabled_language_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownLanguageError):
        load(tmp_path, ["python"]).find("py")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "lua.toml"),
        (LUA + "extra = 1", "extra"),
        (LUA.replace('message = "fields"', 'message = "xml"'), "$.message"),
        (LUA.replace('"lua"\n', '"lua"\nrunner = "none.lua"\n', 1), "none.lua"),
        (LUA.replace('name = "lua"', ""), "name"),
    ],
)
def test_a_language_that_is_wrong_is_refused_with_its_file_and_place(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "lua.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert "lua.toml" in str(caught.value)
    assert told in str(caught.value)


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(words), st.dictionaries(words.filter(lambda name: name and "=" not in name), words))
def test_fields_hold_the_arguments_and_the_environment(
    args: list[str], env: dict[str, str]
) -> None:
    count, *fields, last = PYTHON.encode_message(args, env).decode().split("\0")
    assert fields[: int(count)] == args
    assert dict(pair.split("=", 1) for pair in fields[int(count) :]) == env
    assert last == ""


@pytest.mark.parametrize("name", ["python", "sh"])
@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["a\0b"], {}),
        ([], {"A": "a\0b"}),
        ([], {"A\0B": ""}),
        ([], {"": "x"}),
        ([], {"A=B": "x"}),
    ],
)
def test_what_no_process_can_be_given_is_refused(
    builtin: Languages, name: str, args: list[str], env: dict[str, str]
) -> None:
    with pytest.raises(InvalidParamsError):
        builtin.find(name).encode_message(args, env)


@pytest.mark.parametrize("variable", ["1A", "A-B", "A B", "A.B", "É", "A;B", "A\nB"])
def test_a_shell_refuses_variables_that_it_cannot_export(builtin: Languages, variable: str) -> None:
    with pytest.raises(InvalidParamsError, match="environment variable"):
        builtin.find("sh").encode_message([], {variable: "x"})


PYTHON = load(Path("/nowhere")).find("python")
SHELL = load(Path("/nowhere")).find("sh")
PRINT = 'printf "%s\\0" "$@"; printf "%s\\0" "$VALUE"\n'


def through(shell: str, language: Language, args: list[str], value: str) -> list[bytes]:
    """What a real shell, with words of its own before, makes of the message."""
    message = language.encode_message(args, {"VALUE": value})
    program = b"set -- old words\n" + message + PRINT.encode()
    ran = subprocess.run([shell], input=program, capture_output=True, check=True)
    assert ran.stderr == b""
    *words, last = ran.stdout.split(b"\0")
    assert last == b""
    return words


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_real_shell_gets_nasty_words_as_they_are(shell: str) -> None:
    assert shutil.which(shell)
    expected = [word.encode() for word in NASTY]
    assert through(shell, SHELL, NASTY, "last") == [*expected, b"last"]
    for word in NASTY:
        assert through(shell, SHELL, ["one"], word) == [b"one", word.encode()]


def test_no_arguments_leave_a_real_shell_none() -> None:
    program = b"set -- old words\n" + SHELL.encode_message([], {}) + b'echo "$#"\n'
    assert subprocess.run(["sh"], input=program, capture_output=True, check=True).stdout == b"0\n"


@settings(max_examples=25)
@given(st.lists(words, max_size=5), words)
def test_a_real_shell_gets_any_words_as_they_are(args: list[str], value: str) -> None:
    expected = [word.encode() for word in (*args, value)]
    found = through("sh", SHELL, args, value)
    assert found == (expected if args else [b"", *expected])  # printf prints at least once
