"""Profiles: every language is one, the operator declares more, and a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandboxd.config import (
    Config,
    LanguageConfig,
    NetworkConfig,
    PoolConfig,
    ProfileConfig,
)
from sandboxd.errors import ConfigError
from sandboxd.guest.frames import Command, FrameReader
from sandboxd.languages import load
from sandboxd.run.profiles import Profile, encode_warmup, make_profiles

LANGUAGES = load(Path("/nowhere"))


def profiles(**parts: Any) -> dict[str, Profile]:
    return make_profiles(Config(pool=PoolConfig(min=1, max=4), **parts), LANGUAGES)


def declared(**fields: Any) -> Profile:
    return profiles(profiles={"data": ProfileConfig(**fields)})["data"]


def refused(**fields: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        declared(**fields)
    return str(caught.value)


def test_every_language_is_a_profile_under_its_own_name() -> None:
    made = profiles()
    assert set(made) == set(LANGUAGES.by_name)
    for name, profile in made.items():
        assert profile.name == profile.language.name == name
        assert (profile.pool_min, profile.pool_max) == (int(profile.language.standard), 4)
        assert not profile.network


def test_a_languages_own_settings_override_the_pools() -> None:
    own = {"python": LanguageConfig(min=0, max=9, preload=["json"], warmup="pass")}
    python = profiles(languages=own)["python"]
    assert (python.pool_min, python.pool_max) == (0, 9)
    assert python.preload == ("json",)
    assert python.warmup == "pass"


def test_a_declared_profile_has_its_language_limits_and_packages() -> None:
    profile = declared(
        language="py", packages=["numpy"], preload=["numpy"], limits={"timeout": 5}, min=2
    )
    assert profile.language.name == "python"
    assert profile.limits.timeout == 5
    assert profile.limits.pids == 100
    assert profile.packages == profile.preload == ("numpy",)
    assert (profile.pool_min, profile.pool_max) == (2, 4)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"language": "cobol"}, "cobol"),
        ({"language": "python", "limits": {"timeout": 1000}}, "timeout"),
        ({"language": "python", "limits": {"timout": 5}}, "timout"),
        ({"language": "python", "limits": {"pids": "many"}}, "pids"),
        ({"language": "python", "network": True}, "[network] allow"),
        ({"language": "ruby", "preload": ["json"]}, "ruby"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_with_its_name(
    fields: dict[str, Any], told: str
) -> None:
    message = refused(**fields)
    assert "[profiles.data]" in message
    assert told in message


def test_a_profile_cannot_have_the_name_of_a_language() -> None:
    with pytest.raises(ConfigError, match=r"\[profiles.python\]"):
        profiles(profiles={"python": ProfileConfig(language="ruby")})


def test_a_profile_may_have_the_network_where_the_operator_allows_it() -> None:
    made = profiles(
        network=NetworkConfig(allow=True),
        profiles={"web": ProfileConfig(language="python", network=True)},
    )
    assert made["web"].network
    assert not made["python"].network


def test_a_language_without_a_template_cannot_preload() -> None:
    with pytest.raises(ConfigError, match="ruby"):
        profiles(languages={"ruby": LanguageConfig(preload=["json"])})


def test_a_warm_up_is_a_run_that_keeps_no_output() -> None:
    assert encode_warmup(declared(language="python")) is None
    frames = encode_warmup(declared(language="python", warmup="import numpy"))
    assert frames is not None
    kinds = dict(FrameReader().feed(frames))
    assert bytes(kinds[Command.CODE]) == b"import numpy"
    assert list(kinds) == [Command.CODE, Command.MESSAGE, Command.GO]
