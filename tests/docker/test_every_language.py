"""What every language promises: it is run as its own interpreter would run it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxd_client import Client, Output, UnknownLanguageError
from tests.support.daemon import RunningDaemon
from tests.support.programs import MORE, STANDARD, text

pytestmark = pytest.mark.timeout(900)  # images that are missing are made first

PROGRAMS = {**STANDARD, **MORE}
NASTY = ["", "a b", "it's", '"', "$HOME", "`id`", "\\", "é\n\t", "-c", "--", "*"]
ALIASES = {
    "py": "python",
    "python3": "python",
    "Python": "python",
    "js": "javascript",
    "node": "javascript",
    "nodejs": "javascript",
    "shell": "sh",
    "rb": "ruby",
    "golang": "go",
    "pl": "perl",
    "rscript": "r",
    "sql": "sqlite",
    "ts": "typescript",
    "c++": "cpp",
    "cxx": "cpp",
    "rs": "rust",
}

each_language = pytest.mark.parametrize("language", PROGRAMS)


@pytest.fixture
def client(
    language: str, daemon: RunningDaemon, request: pytest.FixtureRequest
) -> Iterator[Client]:
    running = daemon
    if language in MORE:
        running = request.getfixturevalue("more_languages")
    with running.client() as connected:
        yield connected


@each_language
def test_hello_succeeds_and_nothing_else_is_printed(client: Client, language: str) -> None:
    result = client.run(language, PROGRAMS[language].hello)
    assert (result.stdout, result.stderr) == ("hello\n", "")
    assert (result.status, result.exit_code, result.signal) == ("ok", 0, None)


@each_language
def test_arguments_arrive_as_they_were_given(client: Client, language: str) -> None:
    result = client.run(language, PROGRAMS[language].arguments, args=NASTY)
    assert result.stdout == "".join(argument + "\n" for argument in NASTY)


@each_language
def test_environment_arrives_as_it_was_given(client: Client, language: str) -> None:
    greeting = 'it\'s $HOME `id` "é"'
    result = client.run(language, PROGRAMS[language].environment, env={"GREETING": greeting})
    assert result.stdout == greeting + "\n"


@each_language
def test_stdin_arrives_whole(client: Client, language: str) -> None:
    given = "line é\n" * 100_000
    result = client.run(language, PROGRAMS[language].stdin, stdin=given)
    assert result.stdout == given


@each_language
def test_a_failure_keeps_its_exit_code_and_both_streams(client: Client, language: str) -> None:
    result = client.run(language, PROGRAMS[language].fails)
    assert (result.status, result.exit_code) == ("error", 7)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


@each_language
def test_an_error_names_the_programs_file_and_line_and_nothing_of_the_runner(
    client: Client, language: str
) -> None:
    result = client.run(language, PROGRAMS[language].crashes)
    assert result.exit_code != 0
    words = text(result)
    assert PROGRAMS[language].place in words
    assert "/sandboxd" not in words
    assert "Runner" not in words


@each_language
def test_output_arrives_before_the_program_goes_on(client: Client, language: str) -> None:
    """The second line is printed only once the first has been seen here."""
    with client.stream(language, PROGRAMS[language].converses, stdin=()) as run:
        seen = b""
        for event in run:
            if isinstance(event, Output):
                if not seen:
                    run.send_stdin(b"go on\n")
                seen += event.data
                assert event.stream == "stdout"
    assert seen == b"one\ntwo\n"
    assert run.result.stdout == "one\ntwo\n"


@pytest.mark.parametrize(("alias", "language"), ALIASES.items())
def test_aliases_mean_their_language(client: Client, alias: str, language: str) -> None:
    assert client.run(alias, PROGRAMS[language].hello).language == language


def test_an_unknown_language_is_refused_with_those_that_there_are(daemon: RunningDaemon) -> None:
    with (
        daemon.client() as client,
        pytest.raises(
            UnknownLanguageError, match=r"there is no language .cobol.; there are bash,.* ruby"
        ),
    ):
        client.run("cobol", "")
