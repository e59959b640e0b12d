"""Profiles: ways to run a language, each with a pool of its own. Pure.

Every language is a profile under its own name; the operator declares more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from sandboxd.config import Config, LanguageConfig
from sandboxd.errors import ConfigError, InvalidParamsError, SandboxdError
from sandboxd.guest import frames
from sandboxd.guest.frames import Command
from sandboxd.languages import Language, Languages
from sandboxd.run.limits import default_limits
from sandboxd_client.protocol import EffectiveLimits

_PACKAGE = re.compile(
    r"(@?[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?)"  # npm's may have a scope
    r"(?:(?:[=<>!~]=?|@)[A-Za-z0-9.*+!^~<>=,_-]+)?"
)
"""A name, and perhaps a version in the manner of pip or of npm."""


_PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Profile(Struct, frozen=True, kw_only=True):
    """What all runs of a profile have in common."""

    name: str
    language: Language
    limits: EffectiveLimits
    pool_min: int
    pool_max: int
    preload: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    network: bool = False
    warmup: str | None = None

    def with_packages(self, packages: Iterable[str]) -> Profile:
        """The same with more packages, and a pool that holds nothing ready."""
        more = tuple(sorted({*self.packages, *packages}))
        digest = hashlib.sha256("\0".join(more).encode()).hexdigest()[:10]
        return msgspec.structs.replace(
            self, name=f"{self.name}.{digest}", packages=more, pool_min=0
        )


def package_name(wanted: str) -> str:
    """The name in "pandas==2.2". Raises InvalidParamsError for what is none: an option,
    a path or an address never gets as far as an installer."""
    match = _PACKAGE.fullmatch(wanted)
    if match is None:
        raise InvalidParamsError(f"not a package: {wanted[:80]!r}; write one such as numpy==1.26")
    return match[1].lower()


def make_profiles(config: Config, languages: Languages) -> dict[str, Profile]:
    """All profiles by name. Raises ConfigError."""
    profiles = {
        name: _of_language(config, language) for name, language in languages.by_name.items()
    }
    for name in config.profiles:
        if name in profiles:
            raise ConfigError(f"[profiles.{name}] has the name of a language")
        try:
            profiles[name] = _declared(config, name, languages)
        except (SandboxdError, ValueError) as error:
            raise ConfigError(f"[profiles.{name}] {error}") from None
    return profiles


def _of_language(config: Config, language: Language) -> Profile:
    own = config.languages.get(language.name, LanguageConfig())
    return Profile(
        name=language.name,
        language=language,
        limits=default_limits(config.limits),
        pool_min=own.min if own.min is not None else config.pool.min if language.standard else 0,
        pool_max=config.pool.max if own.max is None else own.max,
        preload=_preload(language, own.preload),
        warmup=own.warmup,
    )


def _declared(config: Config, name: str, languages: Languages) -> Profile:
    own = config.profiles[name]
    language = languages.find(own.language)
    if not _PROFILE_NAME.fullmatch(name):
        raise ConfigError("a profile's name has letters, digits, - and _ only")
    for wanted in own.packages:
        package_name(wanted)
    if own.network and not config.network.allow:
        raise ConfigError("network is true, but [network] allow is not")
    return Profile(
        name=name,
        language=language,
        limits=default_limits(config.limits, own.limits),
        pool_min=config.pool.min if own.min is None else own.min,
        pool_max=config.pool.max if own.max is None else own.max,
        preload=_preload(language, own.preload),
        packages=tuple(own.packages),
        network=own.network,
        warmup=own.warmup,
    )


def _preload(language: Language, names: list[str]) -> tuple[str, ...]:
    if names and not language.template:
        raise ConfigError(f"{language.name} has no template that could preload {names[0]}")
    return tuple(names)


def encode_warmup(profile: Profile) -> bytes | None:
    """The frames of the profile's warm-up run, if it has one."""
    if profile.warmup is None:
        return None
    return b"".join(
        (
            frames.encode_data(Command.CODE, profile.warmup.encode()),
            frames.encode_data(Command.MESSAGE, profile.language.encode_message([], {})),
            frames.encode_go(profile.limits.timeout, 0, stdin=False),
        )
    )
