"""Which profile a program gets by what it imports."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sandboxd.config import Config, ProfileConfig
from sandboxd.languages import BUILTIN, load
from sandboxd.run.imports import fitting
from sandboxd.run.profiles import make_profiles

PROFILES = make_profiles(
    Config(
        profiles={
            "small": ProfileConfig(language="python", packages=["six==1.16.0"]),
            "large": ProfileConfig(language="python", packages=["six", "Python-Dateutil"]),
            "js": ProfileConfig(language="javascript", packages=["@scope/thing@1"]),
        }
    ),
    load(BUILTIN),
)
KNOWN = {"small": frozenset({"six"}), "large": frozenset({"six", "dateutil"})}


def name_of(code: str, modules: Mapping[str, frozenset[str]], language: str = "python") -> str:
    own = [profile for profile in PROFILES.values() if profile.language.name == language]
    profile = fitting(language, code, own, modules)
    return profile.name if profile else language


@pytest.mark.parametrize(
    ("code", "profile"),
    [
        ("import six", "small"),
        ("import dateutil.parser", "large"),
        ("import six\nfrom dateutil import tz", "large"),
        ("import six, numpy", "small"),
        ("import json", "python"),
        ("import six ***", "python"),
    ],
)
def test_a_program_gets_the_smallest_profile_that_covers_its_imports(
    code: str, profile: str
) -> None:
    assert name_of(code, KNOWN) == profile


@pytest.mark.parametrize(
    ("language", "code", "profile"),
    [
        ("python", "import six", "small"),
        ("python", "import python_dateutil", "large"),
        ("javascript", "require('@scope/thing')", "js"),
    ],
)
def test_until_an_image_is_there_its_packages_names_tell(
    language: str, code: str, profile: str
) -> None:
    assert name_of(code, {}, language) == profile
    if language == "python":
        assert name_of("import dateutil", {}) == "python", "found once the image is there"
