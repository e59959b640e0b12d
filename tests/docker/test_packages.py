"""Packages are laid into images ahead of time, and found by what a program imports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxd_client import Client, ImageUnavailableError, InvalidParamsError, NotPermittedError
from tests.support.daemon import RunningDaemon, eventually

CONFIG = """
[pool]
min = 0
queue_timeout = 100
[packages]
allow = ["idna", "six", "nosuchpackage-of-anybody"]
[profiles.text]
language = "python"
packages = ["six==1.16.0", "idna"]
preload = ["six"]
min = 1
[profiles.more]
language = "python"
packages = ["six==1.16.0", "idna", "attrs"]
[profiles.arrays]
language = "python"
packages = ["numpy"]
preload = ["numpy"]
[profiles.numbers]
language = "javascript"
packages = ["is-number@7.0.0"]
"""


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    daemon = RunningDaemon(tmp_path_factory.mktemp("stocked"))
    daemon.config.write_text(CONFIG)
    with daemon, daemon.client() as client:
        eventually(
            lambda: not any(name.startswith("image") for name in client.health().checks),
            "all images are made",
            120.0,
        )
        yield client


SIX = "import sys; print('six' in sys.modules); import six; print(six.__version__)"


def test_a_program_gets_the_profile_that_covers_its_imports(stocked: Client) -> None:
    result = stocked.run("python", SIX)
    assert (result.stdout, result.stderr) == ("True\n1.16.0\n", "")
    assert stocked.history_get(result.run).summary.profile == "text"  # the smallest that does
    wider = stocked.run("python", "import six, attr; print(attr.__name__)")
    assert wider.stdout == "attr\n"
    assert stocked.history_get(wider.run).summary.profile == "more"


def test_a_program_without_such_imports_gets_the_plain_language(stocked: Client) -> None:
    result = stocked.run("python", "import json; print(1)")
    assert stocked.history_get(result.run).summary.profile == "python"


def test_what_is_preloaded_may_have_threads(stocked: Client) -> None:
    code = (
        "import sys; print('numpy' in sys.modules); import numpy\n"
        "ones = numpy.ones((300, 300)); print((ones @ ones).sum())"
    )
    for _ in range(3):
        result = stocked.run("python", code)
        assert (result.stdout, result.stderr) == ("True\n27000000.0\n", "")


def test_packages_of_javascript_are_found_by_require_and_import(stocked: Client) -> None:
    for code in (
        'console.log(require("is-number")(5))',
        'import isNumber from "is-number"; console.log(isNumber(5))',
    ):
        result = stocked.run("javascript", code)
        assert (result.stdout, result.stderr) == ("true\n", "")


def test_languages_tell_their_packages_and_profiles(stocked: Client) -> None:
    python = next(each for each in stocked.languages() if each.name == "python")
    assert "six==1.16.0" in python.packages
    assert python.profiles == ["python", "text", "more", "arrays"]


def test_a_request_may_name_packages_that_the_operator_allows(stocked: Client) -> None:
    result = stocked.run("python", "import idna; print(idna.encode('a'))", packages=["idna"])
    assert result.stdout == "b'a'\n"
    with pytest.raises(
        NotPermittedError, match=r"attrs may not be installed .* allowed: idna, six"
    ):
        stocked.run("python", "pass", packages=["attrs"])


@pytest.mark.parametrize("name", ["--upgrade", "./here", "https://x/y", "a b", "", "-r/etc/passwd"])
def test_what_is_no_package_is_refused(stocked: Client, name: str) -> None:
    with pytest.raises(InvalidParamsError, match="not a package"):
        stocked.run("python", "pass", packages=[name])


def test_a_package_that_cannot_be_had_is_named(stocked: Client) -> None:
    with pytest.raises(ImageUnavailableError, match="nosuchpackage-of-anybody"):
        stocked.run("python", "pass", packages=["nosuchpackage-of-anybody"])
