"""What a run may use: asked for, within the operator's maximum, else the default. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sandboxd.config import LimitsConfig, LimitValues
from sandboxd.engine.port import Resources
from sandboxd.errors import InvalidLimitsError
from sandboxd.languages import Language
from sandboxd_client.protocol import EffectiveLimits, Limits, parse_size

_SIZES = {"memory", "output", "files_total", "tmp"}
_LEAST: dict[str, float] = {
    "timeout": 0.001,
    "memory": 16 * 1024 * 1024,
    "cpus": 0.01,
    "cpu_shares": 2,
    "pids": 1,
    "output": 0,
    "files_total": 0,
    "tmp": 64 * 1024,
}
"""Below these an engine refuses, or nothing could run."""


def default_limits(
    config: LimitsConfig, overrides: Mapping[str, Any] | None = None
) -> EffectiveLimits:
    """The operator's defaults, with a profile's own on top. Raises InvalidLimitsError."""
    asked = msgspec.convert(dict(overrides or {}), Limits)
    return resolve(asked, to_limits(config.default), config.max)


def to_limits(values: LimitValues) -> EffectiveLimits:
    """Sizes of the configuration as the plain numbers that the wire has."""
    plain = {
        name: int(value) if isinstance(value, int) else value
        for name, value in msgspec.structs.asdict(values).items()
    }
    return EffectiveLimits(**plain)


def unbounded(usual: EffectiveLimits, most: LimitValues) -> EffectiveLimits:
    """Limits for a run whose output nobody keeps: it may print as much as any."""
    return msgspec.structs.replace(usual, output=int(most.output))


def resolve(asked: Limits, default: EffectiveLimits, most: LimitValues) -> EffectiveLimits:
    """Every limit of a run. Raises InvalidLimitsError, which names the limit and the
    maximum: what is asked for is refused rather than clamped."""
    values = {name: _one(name, asked, default, most) for name in EffectiveLimits.__struct_fields__}
    memory, tmp = values["memory"], values["tmp"]
    if tmp * 2 >= memory:
        # Files are memory too: a program that fills its tmpfs must still run.
        if asked.tmp is not None:
            raise InvalidLimitsError(
                f"limits.tmp is {tmp} bytes; it must be less than half of the memory, "
                f"which is {memory}",
                limit="tmp",
                max=(memory - 1) // 2,
            )
        values["tmp"] = int(memory * 3 // 8)
    return msgspec.convert(values, EffectiveLimits)


def _one(name: str, asked: Limits, default: EffectiveLimits, most: LimitValues) -> float:
    value = getattr(asked, name)
    if value is None:
        usual: float = getattr(default, name)
        return usual
    if name in _SIZES:
        try:
            value = parse_size(value)
        except ValueError as error:
            raise InvalidLimitsError(f"limits.{name}: {error}", limit=name) from None
    least, greatest = _LEAST[name], getattr(to_limits(most), name)
    if not least <= value <= greatest:
        raise InvalidLimitsError(
            f"limits.{name} is {value}; it must be at least {least} and at most {greatest}",
            limit=name,
            max=greatest,
        )
    number: float = value
    return number


def to_resources(limits: EffectiveLimits, language: Language) -> Resources:
    """The part of the limits that the container's cgroup enforces."""
    return Resources(
        memory=limits.memory,
        cpus=limits.cpus,
        cpu_shares=limits.cpu_shares,
        pids=limits.pids + language.guest_processes,
    )
