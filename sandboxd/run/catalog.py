"""What can be run, by one reading of the configuration. Pure but for the languages' files."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from sandboxd.config import Config
from sandboxd.languages import Languages
from sandboxd.languages import load as load_languages
from sandboxd.run.profiles import Profile, make_profiles


class Catalog(Struct, frozen=True):
    """A reload replaces it as a whole."""

    config: Config
    languages: Languages
    """Those that are not disabled."""
    profiles: dict[str, Profile]
    """One under each language's own name, and those that the operator declares."""


def read_catalog(config: Config) -> Catalog:
    """Raises ConfigError, also for a language's file."""
    disabled = [name for name, each in config.languages.items() if not each.enabled]
    languages = load_languages(Path(config.languages_path), disabled)
    return Catalog(config, languages, make_profiles(config, languages))
