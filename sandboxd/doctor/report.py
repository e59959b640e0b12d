"""From what was found to a verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sandboxd.doctor.findings import Findings, Probe, Row, State
from sandboxd.doctor.of_container import container_rows
from sandboxd.doctor.of_daemon import daemon_rows
from sandboxd.doctor.of_engine import absent, engine_rows


class Report(Struct, frozen=True):
    """What `sandboxd doctor --json` prints."""

    exit_code: int
    verdict: str
    rows: list[Row]
    probe: Probe | None


def check(findings: Findings) -> list[Row]:
    """A row for each layer."""
    if findings.engine is None:
        return [absent(findings), *daemon_rows(findings)]
    return [
        *engine_rows(findings, findings.engine),
        *container_rows(findings, findings.engine),
        *daemon_rows(findings),
    ]


def blockers(findings: Findings) -> list[str]:
    """Why the daemon must not serve with this engine: what is never to be silent.

    The engine's word is enough; an engine that is away says nothing, and may come yet.
    """
    engine = findings.engine
    if engine is None:
        return []
    rows = [*engine_rows(findings, engine), *container_rows(findings, engine)]
    return [
        f"{row.name}: {row.detail}; to have it: {row.remedy}"
        for row in rows
        if row.state is State.BROKEN
    ]


def exit_code(rows: Sequence[Row]) -> int:
    """For scripts: 0 all is in force, 1 something is missing, 2 nothing would be run."""
    states = {row.state for row in rows}
    return 2 if State.BROKEN in states else 1 if State.MISSING in states else 0


def verdict(rows: Sequence[Row]) -> str:
    broken = [row.name for row in rows if row.state is State.BROKEN]
    missing = [row.name for row in rows if row.state is State.MISSING]
    if broken:
        return f"No program would be run here: {', '.join(broken)}."
    if missing:
        return (
            f"{len(rows) - len(missing)} of {len(rows)} in force. "
            f"The daemon serves, and safely; missing: {', '.join(missing)}."
        )
    return "All is in force."


def report(findings: Findings) -> Report:
    rows = check(findings)
    return Report(exit_code(rows), verdict(rows), rows, findings.probe)
