"""Versions and the holes that they have."""

from __future__ import annotations

import itertools
import re

import pytest

from sandboxd.doctor.changelog import fixed_by, parse_changelog
from sandboxd.doctor.holes import HOLES, fixed_in, open_holes
from sandboxd.engine.facts import Component
from sandboxd.engine.versions import from_distribution, parse_version

IN_ORDER = [
    "1.0-rc6",
    "1.0.0-rc7",
    "1.0.0~rc93+ds1-5",
    "1.0.0-rc95",
    "1.0.0",
    "1.1.5+ds1-1+deb12u1",
    "1.1.12-0ubuntu2~22.04.1",
    "1.2.0-rc.3",
    "1.2.0",
    "v1.2.8",
    "1.3.0-beta.1",
    "1.3.0-rc.1",
    "1.3.3",
    "1.4.0-rc.3",
    "1.4",
    "18.09.1-ce",
    "19.03.15",
    "20.10.24+dfsg1",
    "29.5.1",
]


@pytest.mark.parametrize(("earlier", "later"), list(itertools.pairwise(IN_ORDER)))
def test_versions_compare_as_they_were_released(earlier: str, later: str) -> None:
    first, second = parse_version(earlier), parse_version(later)
    assert first is not None
    assert second is not None
    assert first < second


def test_what_a_distribution_or_git_adds_changes_no_version() -> None:
    plain = parse_version("1.1.5")
    for text in ("1.1.5+ds1-1+deb12u1", "v1.1.5-0-gf19387a", "1.1.5-1.el9", " 1.1.5\n"):
        assert parse_version(text) == plain


@pytest.mark.parametrize("text", ["", "N/A", "unknown", "dev", "library-import"])
def test_what_is_no_version_has_no_holes_to_tell(text: str) -> None:
    assert parse_version(text) is None
    assert open_holes(Component("runc", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "1.1.5+ds1-1+deb12u1",
        "20.10.24+dfsg1",
        "1.6.20~ds1-1+deb12u3",
        "1.0.0~rc93+ds1-5",
        "27.5.1-0ubuntu3~24.04.2",
        "4.9.4-rhel",
        "1.14.1-1.fc39",
        "20.10.25+azure-2",
    ],
)
def test_a_distributions_version_is_known_by_its_end(text: str) -> None:
    assert from_distribution(text)


@pytest.mark.parametrize(
    "text",
    ["27.5.1", "v1.7.25", "v1.2.4-0-g6c52b3f", "1.4.0-rc.3", "18.09.1-ce", "5.4.0-dev", "N/A"],
)
def test_a_projects_own_version_is_not_taken_for_one(text: str) -> None:
    assert not from_distribution(text)


def cves(name: str, version: str) -> set[str]:
    return {hole.cve for hole in open_holes(Component(name, version))}


LEAK, MASKED = "CVE-2024-21626", "CVE-2025-31133"


@pytest.mark.parametrize(
    ("version", "has", "lacks"),
    [
        ("1.0-rc6", "CVE-2019-5736", LEAK),
        ("1.0.0-rc7", "CVE-2021-30465", "CVE-2019-5736"),
        ("1.0.0-rc92", MASKED, LEAK),
        ("1.0.0-rc93", LEAK, "CVE-2023-27561"),
        ("1.0.0~rc95+ds1-1", "CVE-2023-27561", "CVE-2021-30465"),
        ("1.1.11", LEAK, "CVE-2023-27561"),
        ("1.1.12", "CVE-2024-45310", LEAK),
        ("1.1.14", MASKED, "CVE-2024-45310"),
        ("1.2.0-rc.2", "CVE-2024-45310", LEAK),
        ("1.2.7", MASKED, "CVE-2024-45310"),
        ("1.2.8", "CVE-2026-41579", MASKED),
        ("1.3.2", MASKED, LEAK),
        ("1.3.3", "CVE-2026-41579", MASKED),
        ("1.4.0-rc.2", MASKED, LEAK),
        ("1.4.0-rc.3", "CVE-2026-41579", MASKED),
    ],
)
def test_runc_has_the_holes_of_its_branch_and_no_others(version: str, has: str, lacks: str) -> None:
    assert has in cves("runc", version)
    assert lacks not in cves("runc", version)


@pytest.mark.parametrize("version", ["1.3.6", "1.4.3", "1.5.0-rc.3", "1.5.0", "2.0.0"])
def test_a_runc_of_today_has_none(version: str) -> None:
    assert cves("runc", version) == set()


@pytest.mark.parametrize(
    ("name", "version", "has", "lacks"),
    [
        ("docker", "20.10.8", "CVE-2021-41091", "CVE-2019-14271"),
        ("docker", "20.10.9", "CVE-2024-41110", "CVE-2021-41091"),
        ("docker", "27.1.0", "CVE-2024-41110", "CVE-2024-29018"),
        ("docker", "27.1.1", "CVE-2025-54410", "CVE-2024-41110"),
        ("docker", "28.0.0", "CVE-2026-41567", "CVE-2025-54410"),
        ("docker", "29.5.0", "CVE-2026-41567", "CVE-2026-34040"),
        ("docker", "29.5.1", "CVE-2026-17106", "CVE-2026-41567"),
        ("containerd", "1.6.0", "CVE-2022-23648", "CVE-2021-41103"),
        ("containerd", "1.6.1", "CVE-2024-40635", "CVE-2022-23648"),
        ("containerd", "1.7.26", "CVE-2024-40635", "CVE-2026-46680"),
        ("containerd", "1.7.27", "CVE-2026-46680", "CVE-2024-40635"),
        ("containerd", "2.1.4", "CVE-2024-25621", "CVE-2024-40635"),
        ("crun", "1.4.3", "CVE-2022-27650", "CVE-2019-18837"),
        ("crun", "1.29.1", "CVE-2026-88264", "CVE-2026-47766"),
        ("podman", "5.7.0", "CVE-2026-55686", "CVE-2022-27649"),
    ],
)
def test_engines_have_the_holes_of_their_version(
    name: str, version: str, has: str, lacks: str
) -> None:
    assert has in cves(name, version)
    assert lacks not in cves(name, version)


@pytest.mark.parametrize(
    ("name", "version", "fix"),
    [
        ("runc", "1.1.5", "1.3.6"),
        ("runc", "1.4.0-rc.1", "1.4.3"),
        ("docker", "27.5.1", "29.7.0"),
        ("containerd", "2.2.0", "2.2.5"),
    ],
)
def test_the_version_to_update_to_has_none_of_these_holes(
    name: str, version: str, fix: str
) -> None:
    component = Component(name, version)
    assert fixed_in(component, open_holes(component)) == fix
    assert cves(name, fix) == set()


@pytest.mark.parametrize("name", HOLES)
def test_the_tables_are_sound(name: str) -> None:
    assert len({hole.cve for hole in HOLES[name]}) == len(HOLES[name])
    for hole in HOLES[name]:
        assert re.fullmatch(r"CVE-\d{4}-\d{4,}", hole.cve)
        assert hole.needs
        bounds = [parse_version(text) for pair in hole.affected for text in pair]
        assert None not in bounds
        assert bounds == sorted(bound for bound in bounds if bound)


CHANGELOG = """\
runc (1.1.5+ds1-1+deb12u2) bookworm-security; urgency=high

  * CVE-2025-31133 and CVE-2025-52881

 -- Somebody <somebody@example.org>  Fri, 07 Nov 2025 10:00:00 +0000

runc (1.1.5+ds1-1+deb12u1) bookworm-security; urgency=high

  * CVE-2024-21626: several container breakouts (see CVE-2024-21626)

 -- Somebody <somebody@example.org>  Fri, 02 Feb 2024 21:53:05 +0800

runc (1.1.5+ds1-1) unstable; urgency=medium

  * New upstream version 1.1.5+ds1
    + CVE-2023-27561: Incorrect Authorization vulnerability

 -- Somebody <somebody@example.org>  Wed, 29 Mar 2023 17:24:36 +0800
"""


def test_a_changelog_is_read_by_version() -> None:
    entries = parse_changelog(CHANGELOG)
    assert [entry.version for entry in entries] == [
        "1.1.5+ds1-1+deb12u2",
        "1.1.5+ds1-1+deb12u1",
        "1.1.5+ds1-1",
    ]
    assert entries[1].cves == ["CVE-2024-21626"]


def test_a_package_newer_than_what_runs_fixes_nothing_yet() -> None:
    entries = parse_changelog(CHANGELOG)
    older = {"CVE-2023-27561", "CVE-2024-21626"}
    assert fixed_by("1.1.5+ds1-1+deb12u1", entries) == older
    assert fixed_by("1.1.5+ds1-1+deb12u2", entries) == older | {"CVE-2025-31133", "CVE-2025-52881"}


def test_an_engine_that_tells_less_of_its_version_gets_the_newest_of_it() -> None:
    entries = parse_changelog(CHANGELOG)
    assert "CVE-2025-31133" in fixed_by("1.1.5+ds1", entries)
    assert fixed_by("1.2.4", entries) == frozenset()
    assert fixed_by("", entries) == frozenset()
    assert parse_changelog("no changelog at all") == []
