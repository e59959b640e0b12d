"""`sandboxd config show`: every setting, and where its value comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sandboxd.cli import main
from sandboxd.config import Config

TEXT = """
[pool]
min = 2
max = 3

[languages.go]
preload = [
  "x",
]

[profiles.data]
language = "python"
limits = { memory = "1GiB" }
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sandboxd.toml"
    path.write_text(TEXT)
    monkeypatch.setenv("SANDBOXD_POOL__MAX", "7")
    monkeypatch.setenv("SANDBOXD_SOCKET", "/from/environment")
    monkeypatch.setenv("SANDBOXD_QUOTAS__DEFAULT", "{runs = 3}")
    return path


def shown(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["--config", str(file), "config", "show", "--json"]) == 0
    return {each.pop("name"): each for each in json.loads(capsys.readouterr().out)}


def test_a_setting_is_from_a_line_a_variable_or_nowhere(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = shown(file, capsys)
    assert settings["pool.min"] == {"value": 2, "file": str(file), "line": 3}
    assert settings["pool.max"] == {"value": 7, "variable": "SANDBOXD_POOL__MAX"}
    assert settings["pool.max_uses"] == {"value": 1000}
    assert settings["socket"] == {"value": "/from/environment", "variable": "SANDBOXD_SOCKET"}
    assert settings["languages.go.preload"] == {"value": ["x"], "file": str(file), "line": 7}
    assert settings["languages.go.enabled"] == {"value": True}
    assert settings["profiles.data.limits.memory"]["line"] == 13
    assert settings["history.path"] == {"value": None}


def test_a_variable_may_set_a_whole_table(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = shown(file, capsys)
    assert settings["quotas.default.runs"] == {"value": 3, "variable": "SANDBOXD_QUOTAS__DEFAULT"}


def test_every_setting_there_is_is_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = set(shown(file, capsys))
    for field in msgspec.structs.fields(Config):
        value = getattr(Config(), field.name)
        if isinstance(value, msgspec.Struct):
            for below in msgspec.structs.fields(type(value)):
                path = f"{field.name}.{below.name}"
                assert any(name == path or name.startswith(f"{path}.") for name in names)
        elif not isinstance(value, dict):
            assert field.name in names


def test_for_people_it_is_a_line_each(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(file), "config", "show"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["pool.min", "2", f"{file}:3"] in lines
    assert ["pool.max", "7", "$SANDBOXD_POOL__MAX"] in lines
    assert ["limits.default.memory", '"512MiB"', "default"] in lines
    assert ["admin.socket", "(not", "set)", "default"] in lines


def test_a_configuration_that_is_wrong_is_not_shown(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[pool]\nmaxx = 1")
    assert main(["--config", str(file), "config", "show"]) == 1
    assert f"{file}:2: pool.maxx" in capsys.readouterr().err
