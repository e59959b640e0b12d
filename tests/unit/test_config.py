"""The configuration: what is not understood is refused, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandboxd.config import CONFIG_VARIABLE, Config, load
from sandboxd.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sandboxd.toml"


def loaded(file: Path, text: str = "", **environment: str) -> Config:
    file.write_text(text)
    return load(file, environment)


def refused(file: Path, text: str = "", **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text, **environment)
    return str(caught.value)


def test_an_empty_file_is_the_default_configuration(file: Path) -> None:
    assert loaded(file) == Config()


def test_the_defaults_are_those_of_the_contract(file: Path) -> None:
    limits = loaded(file).limits
    assert (limits.default.timeout, limits.default.output) == (30.0, 2**20)
    default = limits.default
    assert (default.memory, default.cpus, default.pids) == (512 * 2**20, 1.0, 100)
    assert loaded(file).rpc.max_line == 16 * 2**20


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("sockets = '/x'", "sockets"),
        ("[pools]", "pools"),
        ("[pool]\nmaximum = 4", "maximum"),
        ("[limits.default]\nmemroy = 4", "memroy"),
        ("[limits]\nmemory = 4", "memory"),
        ("[profiles.a]\nlanguage = 'python'\npackage = []", "package"),
        ("[languages.python]\nmaxi = 4", "maxi"),
    ],
)
def test_an_unknown_key_is_refused_with_its_name(file: Path, text: str, place: str) -> None:
    message = refused(file, text)
    assert place in message
    assert str(file) in message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[pool]\nmax = 'many'", ".toml:2: pool.max"),
        ("[pool]\nreuse = 'sometimes'", ".toml:2: pool.reuse"),
        ("[limits.max]\nmemory = '1 elephant'", ".toml:2: limits.max.memory"),
        ("[limits.default]\nmemory = -1", ".toml:2: limits.default.memory"),
        ("[profiles.a]\npackages = []", ".toml:1: profiles.a"),
        ("[languages.python]\nenabled = 1", ".toml:2: languages.python.enabled"),
        ("pool = 5", ".toml:1: pool"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(file: Path, text: str, place: str) -> None:
    assert place in refused(file, text)


@pytest.mark.parametrize(
    ("written", "meant"), [("1024", 1024), ("'64KiB'", 2**16), ("'1.5 GB'", 1_500_000_000)]
)
def test_a_size_is_bytes_or_text(file: Path, written: str, meant: int) -> None:
    assert loaded(file, f"[limits]\ncapture = {written}").limits.capture == meant


def test_the_environment_overrides_the_file(file: Path) -> None:
    config = loaded(
        file,
        "socket = '/from/file'\n[pool]\nmin = 2\nmax = 3",
        SANDBOXD_POOL__MAX="7",
        SANDBOXD_SOCKET="/from/environment",
        SANDBOXD_LIMITS__CAPTURE="1GiB",
        SANDBOXD_LOG__LEVEL="debug",
        SANDBOXD_LANGUAGES__RUBY__ENABLED="false",
    )
    assert (config.pool.min, config.pool.max) == (2, 7)
    assert config.socket == "/from/environment"
    assert config.limits.capture == 2**30
    assert config.log.level == "debug"
    assert config.languages["ruby"].enabled is False


def test_an_unknown_key_in_the_environment_is_refused(file: Path) -> None:
    assert "maximum" in refused(file, SANDBOXD_POOL__MAXIMUM="7")


def test_a_variable_of_another_program_is_passed_over(file: Path) -> None:
    assert loaded(file, SANDBOXD_HOME="/opt", SANDBOX__POOL="x", PATH="/bin") == Config()


def test_an_environment_that_contradicts_the_file_is_a_configuration_error(file: Path) -> None:
    assert "pool" in refused(file, "pool = 5", SANDBOXD_POOL__MAX="7")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[limits.default]\ntmp = '256MiB'\n[limits.max]\ntmp = '256MiB'", "half of memory"),
        ("[limits.max]\ntimeout = 10", "[limits.max] timeout"),
        ("[limits.max]\noutput = 1", "[limits.max] output"),
        ("[limits.default]\npids = 1000", "[limits.max] pids"),
        ("[limits.default]\nmemory = '100GiB'", "[limits.max] memory"),
        ("[pool]\nmin = 5\nmax = 4", "min must not exceed max"),
        ("[pool]\nmin = 0\nmax = 0", "at least 1"),
        ("[pool]\nstarts = 0", "starts"),
    ],
)
def test_values_that_cannot_be_together_are_refused(file: Path, text: str, told: str) -> None:
    assert told in refused(file, text)


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none", {})


def test_the_default_file_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandboxd.config.default_path", lambda: tmp_path / "none")
    assert load(None, {}) == Config()


def test_the_file_may_be_named_in_the_environment(file: Path) -> None:
    file.write_text("[pool]\nmin = 3\nmax = 3")
    assert load(None, {CONFIG_VARIABLE: str(file)}).pool.min == 3


@pytest.mark.parametrize("content", [b"pool = ", b"\xff\xfe", b"[pool\n"])
def test_a_file_that_is_no_toml_is_a_configuration_error(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"sandboxd\.toml"):
        load(file, {})
