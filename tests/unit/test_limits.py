"""What a run may use: refused past the operator's maximum, never silently less."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from sandboxd.config import LimitsConfig, MaximumValues, Size
from sandboxd.engine.port import Resources
from sandboxd.errors import InvalidLimitsError
from sandboxd.languages import BUILTIN, load
from sandboxd.run.limits import default_limits, resolve, to_limits, to_resources
from sandboxd_client.protocol import EffectiveLimits, Limits

MIB = 2**20
CONFIG = LimitsConfig(
    max=MaximumValues(
        timeout=60.0,
        memory=Size(1024 * MIB),
        cpus=2.0,
        cpu_shares=2048,
        pids=200,
        output=Size(64 * MIB),
        files_total=Size(128 * MIB),
        tmp=Size(400 * MIB),
    )
)
DEFAULT = to_limits(CONFIG.default)


def resolved(**asked: object) -> EffectiveLimits:
    return resolve(Limits(**asked), DEFAULT, CONFIG.max)  # type: ignore[arg-type]


def refused(**asked: object) -> InvalidLimitsError:
    with pytest.raises(InvalidLimitsError) as caught:
        resolved(**asked)
    return caught.value


def test_what_is_not_asked_for_is_the_operators_default() -> None:
    assert resolved() == DEFAULT
    assert resolved(timeout=5) == replace(DEFAULT, timeout=5)


@pytest.mark.parametrize(
    ("limit", "asked", "given_value"),
    [
        ("timeout", 60, 60.0),
        ("memory", "1GiB", 1024 * MIB),
        ("cpus", 0.5, 0.5),
        ("cpu_shares", 2, 2),
        ("pids", 200, 200),
        ("output", 0, 0),
        ("output", "64MiB", 64 * MIB),
        ("files_total", "1 MB", 1_000_000),
        ("tmp", "100MiB", 100 * MIB),
    ],
)
def test_what_is_asked_for_within_the_maximum_is_given(
    limit: str, asked: object, given_value: float
) -> None:
    assert getattr(resolved(**{limit: asked}), limit) == given_value


@pytest.mark.parametrize(
    ("limit", "asked", "most"),
    [
        ("timeout", 60.5, 60.0),
        ("timeout", 0, 60.0),
        ("timeout", -1, 60.0),
        ("timeout", 1e300, 60.0),
        ("memory", "1025MiB", 1024 * MIB),
        ("memory", 1, 1024 * MIB),
        ("cpus", 2.1, 2.0),
        ("cpus", 0, 2.0),
        ("cpu_shares", 4096, 2048),
        ("cpu_shares", 1, 2048),
        ("pids", 201, 200),
        ("pids", 0, 200),
        ("output", "65MiB", 64 * MIB),
        ("files_total", 2**62, 128 * MIB),
        ("tmp", "401MiB", 400 * MIB),
        ("tmp", 1, 400 * MIB),
    ],
)
def test_what_is_asked_for_past_the_maximum_is_refused_with_it(
    limit: str, asked: object, most: float
) -> None:
    error = refused(**{limit: asked})
    assert error.data == {"limit": limit, "max": most}
    assert f"limits.{limit}" in str(error)
    msgspec.json.encode(error.data)  # it goes over the wire


@pytest.mark.parametrize("limit", ["memory", "output", "files_total", "tmp"])
@pytest.mark.parametrize("size", ["much", -1, "-1", "", "9" * 400])
def test_what_is_no_size_is_refused(limit: str, size: object) -> None:
    assert refused(**{limit: size}).data["limit"] == limit


def test_files_may_take_less_than_half_of_the_memory() -> None:
    error = refused(memory="100MiB", tmp="50MiB")
    assert error.data == {"limit": "tmp", "max": 50 * MIB - 1}
    assert resolved(memory="100MiB", tmp=50 * MIB - 1).tmp == 50 * MIB - 1


def test_less_memory_leaves_less_for_files_where_nothing_was_said_of_them() -> None:
    small = resolved(memory="100MiB")
    assert small.tmp * 2 < small.memory
    assert small.tmp > 0


numbers = st.none() | st.integers(-1, 2**40) | st.floats(allow_nan=False, allow_infinity=False)
sizes = numbers.filter(lambda number: not isinstance(number, float)) | st.text(max_size=8)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("timeout", "cpus"), numbers),
            **dict.fromkeys(("cpu_shares", "pids"), st.none() | st.integers()),
            **dict.fromkeys(("memory", "output", "files_total", "tmp"), sizes),
        },
    )
)
def test_whatever_is_asked_for_is_within_the_maximum_or_refused(asked: dict[str, object]) -> None:
    try:
        limits = resolved(**asked)
    except InvalidLimitsError as error:
        msgspec.json.encode(error.data)
        return
    for name, value in asdict(limits).items():
        assert 0 <= value <= getattr(CONFIG.max, name)
    assert limits.tmp * 2 < limits.memory
    msgspec.json.encode(limits)


def test_a_profiles_own_defaults_are_within_the_maximum_as_well() -> None:
    assert default_limits(CONFIG, {"memory": "1GiB", "timeout": 5}).memory == 1024 * MIB
    with pytest.raises(InvalidLimitsError, match="memory"):
        default_limits(CONFIG, {"memory": "2GiB"})


def test_the_cgroups_part_counts_the_guests_own_processes() -> None:
    languages = load(BUILTIN / "none")
    limits = resolved(pids=10, memory="64MiB", cpus=0.5, cpu_shares=7)
    plain = to_resources(limits, languages.find("ruby"))
    assert plain == Resources(memory=64 * MIB, cpus=0.5, cpu_shares=7, pids=12)
    assert to_resources(limits, languages.find("python")).pids == 13  # and its template
